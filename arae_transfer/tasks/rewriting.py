"""Task rewriting: one decoder per class, which rewrites sentences of the others (the paper, Section 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from arae_transfer.errors import quoted
from arae_transfer.tasks.task import DataSource, ExportRequest, PreparedData, Reading, RunSetting
from arae_transfer.tasks.text import TextTask, builtin_part

if TYPE_CHECKING:
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.recipe import Recipe
    from arae_transfer.training.data import TrainingData


class RewritingTask(TextTask):
    """Learn to rewrite text between classes."""

    description = "a rewriting of text"

    def learns_from_parallel(self, recipe: Recipe) -> bool:
        """Return whether parallel examples are used: in the joint schedule, not in the paper's alternating one."""
        return recipe.training.schedule == "joint"

    def require_rewriting(self, what: str) -> None:
        """Accept every run."""

    def use_command(self, model: str, classes: Sequence[str]) -> str:
        """Return the command that rewrites to the last class."""
        return f"arae transfer --model {model} --to {quoted(classes[-1])}"

    def find_writing(self, recipe: Recipe, sources: list[str]) -> Recipe:
        """Detect the text format from the first lines; the built-in corpus is in a corpus's text format."""
        from arae_transfer.corpus import adaptation

        self.require_data(recipe, sources)
        if recipe.data.writing == "auto" and not sources:
            return replace(recipe, data=replace(recipe.data, writing="corpus"))
        return adaptation.find_writing(recipe, sources)

    def adapt(
        self, recipe: Recipe, data: DataSource, name: str, given: Collection[str], initial: Path | None
    ) -> tuple[Recipe, str]:
        """Size a recipe by its lines; a run that starts from another keeps its tokenizer and line length."""
        from arae_transfer.corpus import adaptation
        from arae_transfer.layout import RunLayout
        from arae_transfer.recipe import load_recipe
        from arae_transfer.training.data import TrainingData

        assert isinstance(data, TrainingData)
        if initial is not None:
            given = {*given, "tokenizer.vocabulary_size", "data.maximum_tokens"}
            if RunLayout(initial).recipe.is_file():
                maximum = load_recipe(RunLayout(initial).recipe, recorded=True).data.maximum_tokens
                recipe = replace(recipe, data=replace(recipe.data, maximum_tokens=maximum))
        return adaptation.adapt(recipe, data.train, name, given)

    def read(self, recipe: Recipe, sources: list[str], reading: Reading) -> TrainingData:
        """Read the lines of each class, or make the recipe's built-in corpus."""
        from arae_transfer.corpus.reading import ReadingOptions, is_large, read_corpus, stream_corpus
        from arae_transfer.corpus.sources import absolute_source
        from arae_transfer.training.data import TrainingData

        self.require_data(recipe, sources)
        if not sources:
            return TrainingData(builtin_part(recipe, "train"), builtin_part(recipe, "valid"))
        options = replace(ReadingOptions.of(recipe), classes_key="data.classes")
        classes = recipe.data.classes or None
        with reading.progress() as progress:
            read = stream_corpus if is_large(sources) else read_corpus
            training = read(sources, "train", options, classes=classes, progress=progress)
            held_out = read_corpus(sources, "valid", options, classes=training.classes)
        for sentence in training.report.lines():
            reading.message(sentence)
        return TrainingData(training.lines, held_out.lines, tuple(absolute_source(source) for source in sources))

    def read_part(self, recipe: Recipe, sources: list[str], part: str, classes: Sequence[str]) -> LabelledLines:
        """Read the lines of each class of a split."""
        from arae_transfer.corpus.reading import ReadingOptions, read_corpus

        if not sources:
            return builtin_part(recipe, part)
        return read_corpus(sources, part, ReadingOptions.of(recipe), classes=classes).lines

    def prepare(self, recipe: Recipe, data: DataSource, setting: RunSetting) -> PreparedData:
        """Tokenize the lines."""
        from arae_transfer.training.data import PreparedText, TrainingData

        assert isinstance(data, TrainingData)
        return PreparedText(recipe, data, setting)

    def unfit_export_options(self, name: str, *, beam: bool, sentences: bool, scores: bool) -> Iterator[str]:
        """Yield nothing: all options apply."""
        yield from ()

    def export(self, request: ExportRequest) -> list[str]:
        """Export graphs that rewrite, with the language models that rank candidates."""
        lines = self.probes(request)
        return self.export_decoders(request, self.training_lines(request), lines)
