"""Task classification: one decoder, and a classifier of codes trained on labels (the paper's semi-supervision)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from arae_transfer.errors import AraeError
from arae_transfer.tasks.generation import rewriting_keys
from arae_transfer.tasks.task import (
    DEFAULT_FORMS,
    SNLI_FORM,
    DataSource,
    ExportRequest,
    PreparedData,
    Reading,
    RunSetting,
)
from arae_transfer.tasks.text import TextTask, builtin_part

if TYPE_CHECKING:
    from arae_transfer.corpus.labelled import LabelledData
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.model.arae import Autoencoder
    from arae_transfer.model.code_space import AttributeClassifier, CodeClassifier
    from arae_transfer.recipe import Recipe


class ClassificationTask(TextTask):
    """Learn the labels of sentences or sentence pairs."""

    description = "a classification"
    several_devices = False

    def refused_keys(self, recipe: Recipe) -> Iterable[tuple[str, object, str]]:
        """Return the keys that only rewriting reads, and those that this schedule ignores."""
        return (
            *rewriting_keys(recipe),
            ("training.averaging", recipe.training.averaging, "0"),
            ("training.schedule", recipe.training.schedule != "joint", "joint"),
        )

    def decoders_learn(self, recipe: Recipe) -> bool:
        """Return whether a decoder learns; it does not if only labels are learned."""
        return recipe.training.reconstruction > 0

    def require_sentences(self, what: str) -> None:
        """Raise an error."""
        raise AraeError(f"{what} is a classification", "arae diagnose needs a run that writes sentences.")

    def use_command(self, model: str, classes: Sequence[str]) -> str:
        """Return the command that classifies."""
        return f"arae classify --model {model}"

    def data_forms(self, recipe: Recipe) -> str:
        """Return the help on ``--data``; sentence pairs come from SNLI's files."""
        return SNLI_FORM if recipe.labels.sentence_pairs else DEFAULT_FORMS

    def read(self, recipe: Recipe, sources: list[str], reading: Reading) -> LabelledData:
        """Read labelled examples and unlabelled sentences."""
        from arae_transfer.corpus.labelled import read_labelled_data
        from arae_transfer.corpus.reading import ReadingOptions
        from arae_transfer.corpus.sources import absolute_source

        self.require_data(recipe, sources)
        options = ReadingOptions.of(recipe)
        pairs, classes = recipe.labels.sentence_pairs, recipe.data.classes
        found = read_labelled_data(sources, recipe.form, options, pairs=pairs, classes=classes)
        return replace(found, sources=tuple(absolute_source(source) for source in sources))

    def read_part(self, recipe: Recipe, sources: list[str], part: str, classes: Sequence[str]) -> LabelledLines:
        """Read the sentences of a split's examples: first sentences and second ones."""
        if not sources:
            return builtin_part(recipe, part)
        from arae_transfer.corpus.labelled import read_examples
        from arae_transfer.corpus.reading import ReadingOptions

        pairs, options = recipe.labels.sentence_pairs, ReadingOptions.of(recipe)
        examples = read_examples(sources, part, recipe.form, options, pairs=pairs, classes=tuple(classes))
        return {str(place): lines for place, lines in enumerate(examples.sentences)}

    def prepare(self, recipe: Recipe, data: DataSource, setting: RunSetting) -> PreparedData:
        """Tokenize all sentences, and choose the labels to use."""
        from arae_transfer.corpus.labelled import LabelledData
        from arae_transfer.training.classification import PreparedExamples

        assert isinstance(data, LabelledData)
        return PreparedExamples(recipe, data, setting)

    def build_autoencoder(
        self, recipe: Recipe, classes: Sequence[str], vocabulary_size: int, maximum_vectors: int
    ) -> Autoencoder:
        """Build an encoder and one decoder for sentences of all classes."""
        return super().build_autoencoder(recipe, classes[:1], vocabulary_size, maximum_vectors)

    def build_classifier(
        self, recipe: Recipe, classes: Sequence[str], maximum_vectors: int
    ) -> AttributeClassifier | CodeClassifier:
        """Build a classifier of one sentence's code, or of two."""
        from arae_transfer.model.code_space import CodeClassifier

        return CodeClassifier(recipe.model, recipe.attribute, recipe.labels, len(classes))

    def examples_per_step(self, recipe: Recipe, classes: Sequence[str]) -> int:
        """Return the number of sentences of a step; the classes share one batch."""
        return recipe.training.batch_size

    def unfit_export_options(self, name: str, *, beam: bool, sentences: bool, scores: bool) -> Iterator[str]:
        """Yield errors for options that are only for rewriting."""
        yield from super().unfit_export_options(name, beam=beam, sentences=sentences, scores=scores)
        if scores:
            yield "Option '--scores' takes a report of rewrites; this run is a classification."

    def export(self, request: ExportRequest) -> list[str]:
        """Export graphs of encoder and classifier."""
        from arae_transfer.export.classification import export_classifier

        loaded = request.loaded
        exported = export_classifier(
            loaded.model,
            loaded.recipe,
            loaded.tokenizer,
            request.folder,
            probe_lines=self.probes(request),
            weights=request.weights or "fp16",
            **request.facts(),
        )
        return exported.describe()
