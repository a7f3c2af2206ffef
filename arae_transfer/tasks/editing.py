"""Task editing: decoders that rewrite spans of their source and keep the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from arae_transfer.errors import AraeError
from arae_transfer.tasks.rewriting import RewritingTask
from arae_transfer.tasks.task import DataSource, ExportRequest, PreparedData, RunSetting

if TYPE_CHECKING:
    from arae_transfer.model.arae import Autoencoder
    from arae_transfer.model.encoder import Encoder
    from arae_transfer.recipe import Recipe


class EditingTask(RewritingTask):
    """Learn to rewrite text between classes by editing it."""

    description = "a rewriting by edits"
    several_devices = False
    writes_from_codes = False

    def refused_keys(self, recipe: Recipe) -> Iterable[tuple[str, object, str]]:
        """Return the keys that shape a code for decoders without access to the source."""
        model = recipe.model
        return (
            ("adversary.weight", recipe.adversary.weight, "0"),
            ("attribute.weight", recipe.attribute.weight, "0"),
            ("cycle.weight", recipe.cycle.weight, "0"),
            ("self_training.rewrites", recipe.self_training.rewrites, "0"),
            ("labels.sentence_pairs", recipe.labels.sentence_pairs, "false"),
            ("model.code", model.code != "sequence", '"sequence"'),
            ("model.encoder", model.encoder != "transformer", '"transformer"'),
            ("training.tokens_at_once", recipe.training.tokens_at_once != 16_384, "16384"),
            ("training.schedule", recipe.training.schedule != "joint", '"joint"'),
        )

    def require_sentences(self, what: str) -> None:
        """Raise an error, because no sentence is decoded from a code alone."""
        raise AraeError(
            f"{what} is {self.description}: it decodes no sentence from a code alone",
            "arae evaluate measures its rewrites.",
        )

    def check(self, recipe: Recipe, source: str) -> None:
        """Refuse keys that this task ignores, and sizes that do not match."""
        super().check(recipe, source)
        model = recipe.model
        if model.code_size % model.attention_heads:
            raise AraeError(
                f"{source}: model.code_size = {model.code_size} is not divisible by {model.attention_heads} heads",
                "set model.attention_heads to a divisor of model.code_size.",
            )
        if model.frozen_layers > model.encoder_layers:
            raise AraeError(
                f"{source}: model.frozen_layers = {model.frozen_layers} exceeds {model.encoder_layers} layers",
                "freeze at most model.encoder_layers.",
            )
        if recipe.quality.layers > model.encoder_layers - model.frozen_layers:
            raise AraeError(
                f"{source}: quality.layers = {recipe.quality.layers} is too high above {model.frozen_layers} "
                f"frozen layers of {model.encoder_layers}",
                "set quality.layers to at most the number of layers that learn.",
            )

    def prepare(self, recipe: Recipe, data: DataSource, setting: RunSetting) -> PreparedData:
        """Tokenize the lines and the examples."""
        from arae_transfer.training.data import TrainingData
        from arae_transfer.training.editing import PreparedEdits

        assert isinstance(data, TrainingData)
        return PreparedEdits(recipe, data, setting)

    def build_autoencoder(
        self, recipe: Recipe, classes: Sequence[str], vocabulary_size: int, maximum_vectors: int
    ) -> Autoencoder:
        """Build a Transformer encoder and an edit decoder for each class."""
        from arae_transfer.model.arae import Autoencoder
        from arae_transfer.model.edit_decoder import EditDecoder, EditNetwork
        from arae_transfer.model.quality import QualityEstimator
        from arae_transfer.model.transformer import TransformerEncoder

        model = recipe.model
        encoder = TransformerEncoder(vocabulary_size, model, maximum_vectors)
        network = EditNetwork(vocabulary_size, model, encoder.embedding)
        encoder.freeze()
        quality = None
        if recipe.quality.layers > 0:
            quality = QualityEstimator(encoder, recipe.quality, len(classes), model.dropout)
        # It is called as an LSTM encoder is; what only that has is asked for by other tasks.
        return Autoencoder(
            cast("Encoder", encoder), [EditDecoder(network, model) for _ in classes], initialized=True, quality=quality
        )

    def export(self, request: ExportRequest) -> list[str]:
        """Export graphs that edit."""
        from arae_transfer.export.editing import export_editor

        return export_editor(request, self.probes(request), self.training_lines(request))
