"""Interface of a task; modules of tasks import nothing heavy, because commands query a task before loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from arae_transfer.corpus.batches import BatchSchedule, BatchSource
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.export.facts import ModelFacts
    from arae_transfer.layout import RunLayout
    from arae_transfer.model.arae import ARAE, Autoencoder
    from arae_transfer.model.code_space import AttributeClassifier, CodeClassifier
    from arae_transfer.recipe import Recipe
    from arae_transfer.tokenizer import Tokenizer
    from arae_transfer.training.checkpoint import LoadedRun
    from arae_transfer.training.networks import Metrics, Networks
    from arae_transfer.training.processes import Processes
    from arae_transfer.training.reporter import Reporter
    from arae_transfer.training.validation import ValidationReport

# Bytes read, bytes in all.
ReadingProgress = Callable[[int, int], None]
DEFAULT_FORMS = "--data CLASS=FILE for each class, a folder of SPLIT.CLASS.txt, a .csv, .tsv, .jsonl or .parquet."
SNLI_FORM = "--data FOLDER with SNLI's files: https://nlp.stanford.edu/projects/snli/snli_1.0.zip"


@dataclass(frozen=True)
class Reading:
    """Receivers of progress and findings while data are read.

    Attributes:
        message: Receives findings about the data, in sentences.
        progress: Opens a display of the reading's progress; it yields a callback, or None without a display.
    """

    message: Callable[[str], None] = lambda message: None
    progress: Callable[[], AbstractContextManager[ReadingProgress | None]] = nullcontext


class DataSource(Protocol):
    """Training data of a run."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Values of ``--data``, recorded to continue the run."""


@dataclass(frozen=True)
class RunSetting:
    """Context for preparing the data of a run.

    Attributes:
        layout: The files of the run.
        reporter: Shows the progress to the user.
        resume: Whether the run is continued.
        initial: The files of the run that this one starts from.
        processes: The processes that train the model.
    """

    layout: RunLayout
    reporter: Reporter
    resume: bool
    initial: RunLayout | None
    processes: Processes


@dataclass(frozen=True)
class StepContext:
    """State of a run at a step.

    Attributes:
        step: The index of the step, from 0.
        steps: The number of all steps.
        generator: The source of randomness for the data of the step.
        device: Where the networks are.
    """

    step: int
    steps: int
    generator: np.random.Generator
    device: torch.device


class PreparedData(Protocol):
    """Prepared data of a run as ids or pixels, with its training step and validation.

    Attributes:
        noun: The word for the data in messages.
        classes: The classes of the data.
    """

    noun: str
    classes: tuple[str, ...]

    @property
    def model_classes(self) -> tuple[str, ...]:
        """Classes that the model distinguishes."""

    @property
    def vocabulary_size(self) -> int:
        """Number of different ids."""

    @property
    def schedule(self) -> BatchSchedule:
        """Choice of training data for the batch of each step."""

    @property
    def train(self) -> Mapping[str, BatchSource]:
        """Training data by class."""

    @property
    def valid(self) -> Mapping[str, BatchSource]:
        """Held-out data by class."""

    def fingerprint(self) -> str:
        """Return a hash of the training data."""

    def save(self) -> None:
        """Save the tokenizer and similar files into the run."""

    def initialize(self, model: ARAE) -> None:
        """Initialize the weights of a new run from pretrained ones, if the recipe names some."""

    def prepare_parallel(self, model: ARAE) -> None:
        """Load, mine or generate parallel examples, if the recipe uses them."""

    def step(self, networks: Networks, context: StepContext) -> Metrics:
        """Update every network once."""

    def validate(self, model: ARAE, device: torch.device) -> ValidationReport | None:
        """Score a model on held-out data; return None except in the leading process."""


@dataclass(frozen=True)
class ExportRequest:
    """Options of `arae export`.

    Attributes:
        run: The folder of the run.
        loaded: The run.
        folder: The folder to write.
        checkpoint: Which checkpoint was loaded: best or latest.
        weights: The precision of stored weights; None: the task's default.
        probes: Sentences to check with; None: the run's held-out ones.
        further: Sentences whose rewrites show which tokens decoders write.
        beam: The default beam width; None: the task's default.
        evaluation: The report of an evaluation as Markdown, for the card; empty: none.
        languages: The language codes of the text, for the card.
        notice: Receives a notice for the user, and what to do about it.
        progress: Receives messages on the progress.
        quality: The run whose quality estimator the model gets; None: its own, if it has one.
    """

    run: Path
    loaded: LoadedRun
    folder: Path
    checkpoint: str
    weights: Literal["fp16", "fp32"] | None
    probes: Sequence[str] | None
    further: Sequence[str]
    beam: int | None
    evaluation: str
    languages: Sequence[str]
    notice: Callable[[str, str], None]
    progress: Callable[[str], None]
    quality: LoadedRun | None = None

    def facts(self, noun: str = "sentences") -> ModelFacts:
        """Return the facts of the model for its export; ``noun`` names its training examples.

        Raises:
            AraeError: The run cannot be read.
        """
        from arae_transfer.training.lineage import trained_in_all

        return {
            "name": self.folder.name,
            "scores": self.loaded.state.scores,
            "training": trained_in_all(self.run, self.checkpoint).to_table(noun),
            "evaluation": self.evaluation,
            "languages": self.languages,
        }


class Task(ABC):
    """A task that a recipe learns.

    Attributes:
        description: The name of a recipe of this task in messages.
        several_devices: Whether several processes can train one model.
        learns_style: Whether there are several classes of text, so that a style scorer can be trained.
        reads_style: Whether the data have style-bearing tokens.
        writes_from_codes: Whether decoders write from codes alone, so that the use of codes can be measured.
    """

    description: ClassVar[str]
    several_devices: ClassVar[bool] = True
    learns_style: ClassVar[bool] = True
    writes_from_codes: ClassVar[bool] = True

    # --- the recipe -------------------------------------------------------------------------------------------

    def check(self, recipe: Recipe, source: str) -> None:
        """Raise an error for keys that this task ignores.

        Raises:
            AraeError: The message names the key.
        """
        for key, value, remedy in self.refused_keys(recipe):
            if value:
                raise AraeError(f"{source}: {key} has no effect in {self.description}", f"set {key}={remedy}.")

    def refused_keys(self, recipe: Recipe) -> Iterable[tuple[str, object, str]]:
        """Return ignored keys, whether the recipe sets them, and their values without effect."""
        return ()

    def check_devices(self, recipe: Recipe, devices: int) -> None:
        """Raise an error for several processes if the task trains in one.

        Raises:
            AraeError: The task cannot do it.
        """
        if devices > 1 and not self.several_devices:
            raise AraeError(
                f"the recipe {recipe.name} is {self.description}, which trains on one device", "use --devices 1."
            )

    def learns_from_parallel(self, recipe: Recipe) -> bool:
        """Return whether parallel examples can be used."""
        return False

    def decoders_learn(self, recipe: Recipe) -> bool:
        """Return whether decoders learn."""
        return True

    def require_rewriting(self, what: str) -> None:
        """Raise an error for a run (``what``) that cannot rewrite.

        Raises:
            AraeError: The task cannot do it.
        """
        raise AraeError(f"{what} is {self.description} and cannot rewrite", "give a run of a recipe for rewriting.")

    def require_sentences(self, what: str) -> None:  # noqa: B027 -- most tasks write some
        """Raise an error for a run (``what``) that writes no sentences.

        Raises:
            AraeError: The task cannot do it.
        """

    @abstractmethod
    def use_command(self, model: str, classes: Sequence[str]) -> str:
        """Return the command that uses an exported model of this task.

        Args:
            model: The folder of the model, as a shell reads it.
            classes: Its classes.
        """

    # --- data -------------------------------------------------------------------------------------------------

    def data_forms(self, recipe: Recipe) -> str:
        """Return the help on ``--data``."""
        return DEFAULT_FORMS

    def require_data(self, recipe: Recipe, sources: Sequence[str]) -> None:
        """Raise an error if there are no data.

        Raises:
            AraeError: There are none, and the recipe has none; the message says where to find some.
        """
        if not sources and not recipe.data.builtin:
            where = f" Source of the data: {recipe.data_source}" if recipe.data_source else ""
            raise AraeError(f"the recipe {recipe.name} needs data", f"give {self.data_forms(recipe)}{where}")

    def find_writing(self, recipe: Recipe, sources: list[str]) -> Recipe:
        """Return the recipe with the text format of its data, if it leaves it open (``data.writing``).

        Raises:
            AraeError: The data cannot be read.
        """
        return recipe

    def adapt(
        self, recipe: Recipe, data: DataSource, name: str, given: Collection[str], initial: Path | None
    ) -> tuple[Recipe, str]:
        """Size a recipe by its data, if it asks for that (``data.adapt``).

        Args:
            recipe: The recipe.
            data: The data of the recipe.
            name: The name of the run, which becomes that of the model.
            given: The keys that the user has set; they stay unchanged.
            initial: The run or the exported model that the run starts from.

        Returns:
            The recipe, and a sentence about the findings.

        Raises:
            AraeError: No recipe of this task is sized by its data.
        """
        raise AraeError(f"data.adapt has no effect in {self.description}", "set data.adapt=false.")

    @abstractmethod
    def read(self, recipe: Recipe, sources: list[str], reading: Reading) -> DataSource:
        """Read the training data of a recipe.

        Raises:
            AraeError: It cannot be read.
        """

    @abstractmethod
    def read_part(self, recipe: Recipe, sources: list[str], part: str, classes: Sequence[str]) -> LabelledLines:
        """Read the sentences of a split by class.

        Raises:
            AraeError: They cannot be read, or there are none.
        """

    @abstractmethod
    def prepare(self, recipe: Recipe, data: DataSource, setting: RunSetting) -> PreparedData:
        """Prepare data for batches.

        Raises:
            AraeError: The data cannot be used.
        """

    # --- networks ---------------------------------------------------------------------------------------------

    @abstractmethod
    def build_autoencoder(
        self, recipe: Recipe, classes: Sequence[str], vocabulary_size: int, maximum_vectors: int
    ) -> Autoencoder:
        """Build encoder and decoders."""

    def build_classifier(
        self, recipe: Recipe, classes: Sequence[str], maximum_vectors: int
    ) -> AttributeClassifier | CodeClassifier:
        """Build the classifier of codes."""
        from arae_transfer.model.code_space import AttributeClassifier

        return AttributeClassifier(recipe.model, recipe.attribute, len(classes), maximum_vectors)

    def load_vocabulary(self, recipe: Recipe, layout: RunLayout) -> tuple[Tokenizer | None, int]:
        """Return a run's tokenizer, if it has one, and the number of ids."""
        from arae_transfer.tokenizer import Tokenizer

        tokenizer = Tokenizer.load(layout.tokenizer)
        return tokenizer, tokenizer.vocabulary_size

    def examples_per_step(self, recipe: Recipe, classes: Sequence[str]) -> int:
        """Return the number of sentences or images per step."""
        return recipe.training.batch_size * len(classes)

    # --- export -----------------------------------------------------------------------------------------------

    def unfit_export_options(self, name: str, *, beam: bool, sentences: bool, scores: bool) -> Iterator[str]:
        """Yield errors for options of `arae export` that do not apply to this task.

        Args:
            name: The name of the recipe.
            beam: Whether a beam of several hypotheses was requested.
            sentences: Whether sentences to rewrite were given.
            scores: Whether the report of an evaluation was given.
        """
        if beam:
            yield f"Option '--beam' is for rewriting, which {name} does not do."
        if sentences:
            yield f"Option '--sentences' is for rewriting, which {name} does not do."

    @abstractmethod
    def export(self, request: ExportRequest) -> list[str]:
        """Export a model, and return lines about it for the user.

        Raises:
            AraeError: It cannot be written, or its answers differ from the trained model's.
        """
