"""Common parts of tasks on text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from arae_transfer.errors import AraeError
from arae_transfer.tasks.task import ExportRequest, Task

if TYPE_CHECKING:
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.model.arae import Autoencoder
    from arae_transfer.recipe import Recipe

# Sentences, classes together, that language models learn from: more make their files larger, and hardly better.
_MOST_LEARNED = 600_000


class TextTask(Task):
    """A task on sentences."""

    def build_autoencoder(
        self, recipe: Recipe, classes: Sequence[str], vocabulary_size: int, maximum_vectors: int
    ) -> Autoencoder:
        """Build encoder and decoders of text, a decoder for each class."""
        from arae_transfer.model.arae import text_autoencoder

        return text_autoencoder(recipe.model, len(classes), vocabulary_size, maximum_vectors)

    def probes(self, request: ExportRequest) -> Sequence[str]:
        """Return the sentences to check an export with; none if the run's held-out ones are missing."""
        if request.probes is not None:
            return request.probes
        try:
            corpus = self.read_run_part(request, "valid")
        except AraeError as error:
            request.notice(f"cannot read the run's held-out sentences: {error.message}", "checking with random ones.")
            return []
        from arae_transfer.export.parity import interleave

        return interleave(corpus)

    def read_run_part(self, request: ExportRequest, part: str) -> LabelledLines:
        """Read a split of the run's training data.

        Raises:
            AraeError: The run does not say where they are, or they cannot be read.
        """
        from arae_transfer.training.run_data import recorded_sources

        recipe = request.loaded.recipe
        return self.read_part(recipe, recorded_sources(request.run), part, request.loaded.classes)

    def training_lines(self, request: ExportRequest) -> Mapping[str, Sequence[str]] | None:
        """Return training sentences of each class, or None if they are missing."""
        from arae_transfer.corpus.tokenizing import sample_lines

        try:
            lines = self.read_run_part(request, "train")
        except AraeError as error:
            request.notice(
                f"cannot read the run's training sentences: {error.message}",
                "the export does not know the words of the corpus, and has no language models to rank candidates by.",
            )
            return None
        return sample_lines(lines, _MOST_LEARNED, request.loaded.recipe.training.seed)

    def export_decoders(
        self, request: ExportRequest, class_lines: Mapping[str, Sequence[str]] | None, lines: Sequence[str]
    ) -> list[str]:
        """Export a model that writes sentences."""
        from arae_transfer.export.export import export_model

        loaded = request.loaded
        exported = export_model(
            loaded.model,
            loaded.recipe,
            loaded.tokenizer,
            request.folder,
            probe_lines=lines,
            class_lines=class_lines,
            further_lines=request.further,
            weights=request.weights or "fp16",
            beam=request.beam or 1,
            searching=self.learns_style,
            progress=request.progress,
            **request.facts(),
        )
        return exported.describe(request.weights or "fp16")


def builtin_part(recipe: Recipe, part: str) -> LabelledLines:
    """Return a split of the built-in corpus.

    Raises:
        AraeError: The recipe does not learn from it: sentences of another corpus would check less.
    """
    if not recipe.data.builtin:
        raise AraeError("the run does not record where its data are", "name them with --data, as for `arae train`.")
    from arae_transfer.corpus.quickstart import make_sentences

    return make_sentences()[part]
