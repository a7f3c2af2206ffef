"""Task generation: a generator of new sentences of one class (the paper's language model)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from arae_transfer.errors import AraeError
from arae_transfer.tasks.task import DataSource, ExportRequest, PreparedData, Reading, RunSetting
from arae_transfer.tasks.text import TextTask

if TYPE_CHECKING:
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.recipe import Recipe
    from arae_transfer.training.data import TrainingData


class GenerationTask(TextTask):
    """Learn to generate sentences of one class."""

    description = "a generation"
    learns_style = False

    def refused_keys(self, recipe: Recipe) -> Iterable[tuple[str, object, str]]:
        """Return the keys for several classes, labels, or codes of many vectors."""
        return (
            *rewriting_keys(recipe),
            # A code of one vector per token would come from noise one vector at a time, its length guessed.
            ("model.code", not recipe.model.one_vector, "single"),
            ("attribute.weight", recipe.attribute.weight, "0"),
            ("labels.sentence_pairs", recipe.labels.sentence_pairs, "false"),
        )

    def use_command(self, model: str, classes: Sequence[str]) -> str:
        """Return the command that generates sentences."""
        return f"arae sample --model {model} -n 20"

    def data_forms(self, recipe: Recipe) -> str:
        """Return the help on ``--data``, which has no classes."""
        return "--data FILE.txt with one sentence per line, or --data FOLDER with SNLI's files"

    def read(self, recipe: Recipe, sources: list[str], reading: Reading) -> TrainingData:
        """Read training and held-out sentences."""
        from arae_transfer.corpus.sources import absolute_source
        from arae_transfer.training.data import TrainingData

        self.require_data(recipe, sources)
        if not sources:
            raise AraeError(f"the recipe {recipe.name} needs data", f"give {self.data_forms(recipe)}")
        train, valid = self.read_splits(recipe, sources, ("train", "valid"), reading)
        return TrainingData(train, valid, tuple(absolute_source(source) for source in sources))

    def read_splits(
        self, recipe: Recipe, sources: list[str], splits: Sequence[str], reading: Reading
    ) -> list[LabelledLines]:
        """Read splits of one class of text, each as lines by the name of the class.

        Raises:
            AraeError: They cannot be read, or have several classes.
        """
        from arae_transfer.corpus.reading import ReadingOptions
        from arae_transfer.corpus.single_class import read_single_class

        options = replace(ReadingOptions.of(recipe), minimum_classes=1, form=None)
        found = []
        for split in splits:
            with reading.progress() as progress:
                text = read_single_class(
                    sources, split, recipe.form, options, classes=recipe.data.classes or None, progress=progress
                )
            for sentence in text.messages:
                reading.message(sentence)
            found.append(text.lines)
        return found

    def read_part(self, recipe: Recipe, sources: list[str], part: str, classes: Sequence[str]) -> LabelledLines:
        """Read the sentences of a split into memory."""
        if not sources:
            raise AraeError("the run does not record where its data are", "name them with --data, as for `arae train`.")
        (lines,) = self.read_splits(recipe, sources, [part], Reading())
        return {name: list(own) for name, own in lines.items()}

    def prepare(self, recipe: Recipe, data: DataSource, setting: RunSetting) -> PreparedData:
        """Tokenize the sentences."""
        from arae_transfer.training.data import TrainingData
        from arae_transfer.training.generation import PreparedGeneration

        assert isinstance(data, TrainingData)
        return PreparedGeneration(recipe, data, setting)

    def export(self, request: ExportRequest) -> list[str]:
        """Export graphs of encoder, decoder and generator."""
        return self.export_decoders(request, None, self.probes(request))


def rewriting_keys(recipe: Recipe) -> tuple[tuple[str, object, str], ...]:
    """Return the keys that only rewriting reads, whether the recipe sets them, and their values without effect."""
    return (
        # How its sentences are written is found line by line.
        ("data.writing", recipe.data.writing != "corpus", "corpus"),
        ("data.adapt", recipe.data.adapt, "false"),
        ("noise.style_share", recipe.noise.style_share, "0"),
        ("parallel.sentences", recipe.parallel.sentences, "0"),
        ("self_training.rewrites", recipe.self_training.rewrites, "0"),
        ("cycle.weight", recipe.cycle.weight, "0"),
        ("cycle.delete", recipe.cycle.delete, "0"),
    )
