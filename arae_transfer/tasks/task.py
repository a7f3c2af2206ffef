"""What every task answers. Modules of tasks import nothing heavy: commands ask a task before anything is loaded."""

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
    """Who is told while data are read.

    Attributes:
        message: Takes what is remarkable about the data, in sentences.
        progress: Opens a display of how far the reading is; it yields a callback, or None where nobody looks.
    """

    message: Callable[[str], None] = lambda message: None
    progress: Callable[[], AbstractContextManager[ReadingProgress | None]] = nullcontext


class DataSource(Protocol):
    """What a run learns from, as it was read."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What ``--data`` named, so that a run can be continued without saying it again."""


@dataclass(frozen=True)
class RunSetting:
    """Where data are prepared for a run.

    Attributes:
        layout: The files of the run.
        reporter: Who shows the run to a person.
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
    """Where a run stands.

    Attributes:
        step: The number of the step, from 0.
        steps: The number of all steps.
        generator: The source of randomness for the data of the step.
        device: Where the networks are.
    """

    step: int
    steps: int
    generator: np.random.Generator
    device: torch.device


class PreparedData(Protocol):
    """The data of a run as ids or pixels, and what a step and a validation do with them.

    Attributes:
        noun: What the data are, in messages.
        classes: The classes that the data stand in.
    """

    noun: str
    classes: tuple[str, ...]

    @property
    def model_classes(self) -> tuple[str, ...]:
        """The classes that the model tells apart."""

    @property
    def vocabulary_size(self) -> int:
        """The number of ids that a position may have."""

    @property
    def schedule(self) -> BatchSchedule:
        """Which training data are in the batch of a step."""

    @property
    def train(self) -> Mapping[str, BatchSource]:
        """Training data by class."""

    @property
    def valid(self) -> Mapping[str, BatchSource]:
        """Held-out data by class."""

    def fingerprint(self) -> str:
        """Return a hash of the training data."""

    def save(self) -> None:
        """Write into the run what its data are read by."""

    def initialize(self, model: ARAE) -> None:
        """Start the weights of a new run from those of another kind of model, where the recipe says so."""

    def prepare_parallel(self, model: ARAE) -> None:
        """Read, mine or generate parallel examples, where the recipe learns from such."""

    def step(self, networks: Networks, context: StepContext) -> Metrics:
        """Move every network once."""

    def validate(self, model: ARAE, device: torch.device) -> ValidationReport | None:
        """Score a model on held-out data; None in all processes but the leading one."""


@dataclass(frozen=True)
class ExportRequest:
    """What `arae export` was asked for.

    Attributes:
        run: The folder of the run.
        loaded: The run.
        folder: The folder to write.
        checkpoint: Which checkpoint was loaded: best or latest.
        weights: How weights are stored; None: nobody said, and the task has its own way.
        probes: Sentences to check with; None: the run's held-out ones.
        further: Sentences whose rewrites tell which tokens decoders write.
        beam: The candidates that are searched for a line by default; None: the task's own number.
        evaluation: The report of an evaluation as Markdown, for the card; empty: none.
        languages: The language codes of the text, for the card.
        notice: Takes what a person should know, and what to do about it.
        progress: Is told what is being done.
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


class Task(ABC):
    """What a recipe learns.

    Attributes:
        description: What a recipe of this task is, in messages.
        several_devices: Whether several processes may share a training.
        learns_style: Whether there are classes of text for the style scorer to tell apart.
        reads_style: Whether the data bear style at all.
        writes_from_codes: Whether decoders write from codes alone, so that it can be measured what codes are worth.
    """

    description: ClassVar[str]
    several_devices: ClassVar[bool] = True
    learns_style: ClassVar[bool] = True
    writes_from_codes: ClassVar[bool] = True

    # --- the recipe -------------------------------------------------------------------------------------------

    def check(self, recipe: Recipe, source: str) -> None:
        """Refuse keys that this task would ignore.

        Raises:
            AraeError: Naming the key.
        """
        for key, value, remedy in self.refused_keys(recipe):
            if value:
                raise AraeError(f"{source}: {key} has no place in {self.description}", f"set {key}={remedy}.")

    def refused_keys(self, recipe: Recipe) -> Iterable[tuple[str, object, str]]:
        """Return keys without a place, whether the recipe sets them, and what to set them to."""
        return ()

    def check_devices(self, recipe: Recipe, devices: int) -> None:
        """Refuse several processes for what trains in one.

        Raises:
            AraeError: Saying so.
        """
        if devices > 1 and not self.several_devices:
            raise AraeError(
                f"the recipe {recipe.name} is {self.description}, which trains on one device", "use --devices 1."
            )

    def learns_from_parallel(self, recipe: Recipe) -> bool:
        """Say whether sentences with given rewrites can be learned from."""
        return False

    def decoders_learn(self, recipe: Recipe) -> bool:
        """Say whether decoders learn anything: a code that none reads is not ignored."""
        return True

    def require_rewriting(self, what: str) -> None:
        """Refuse to rewrite with a run (``what``) that does not.

        Raises:
            AraeError: Saying so.
        """
        raise AraeError(
            f"{what} is {self.description}, which rewrites nothing", "give a run of a recipe that rewrites."
        )

    def require_sentences(self, what: str) -> None:  # noqa: B027 -- most tasks write some
        """Refuse to look into a run (``what``) that writes no sentences.

        Raises:
            AraeError: Saying so.
        """

    @abstractmethod
    def use_command(self, model: str, classes: Sequence[str]) -> str:
        """Return the command that uses an exported model of this task.

        Args:
            model: The folder of the model, as a shell reads it.
            classes: The classes that it knows.
        """

    # --- data -------------------------------------------------------------------------------------------------

    def data_forms(self, recipe: Recipe) -> str:
        """Return what ``--data`` takes, for a recipe that needs some."""
        return DEFAULT_FORMS

    def require_data(self, recipe: Recipe, sources: Sequence[str]) -> None:
        """Refuse to train without data.

        Raises:
            AraeError: There are none, and the recipe brings none; the message says where to find some.
        """
        if not sources and not recipe.data.builtin:
            where = f" The data: {recipe.data_source}" if recipe.data_source else ""
            raise AraeError(f"the recipe {recipe.name} needs data", f"give {self.data_forms(recipe)}{where}")

    def find_writing(self, recipe: Recipe, sources: list[str]) -> Recipe:
        """Return a recipe that says how its data are written, where it leaves that open (``data.writing``).

        Raises:
            AraeError: The data cannot be read.
        """
        return recipe

    def adapt(
        self, recipe: Recipe, data: DataSource, name: str, given: Collection[str], initial: Path | None
    ) -> tuple[Recipe, str]:
        """Size a recipe by its data, where it asks for that (``data.adapt``).

        Args:
            recipe: The recipe.
            data: What was read for it.
            name: The name of the run, which the model gets.
            given: The keys that the user has set, which stay.
            initial: The run or the exported model that the run starts from.

        Returns:
            The recipe, and a sentence that says what was found.

        Raises:
            AraeError: No recipe of this task is sized by its data.
        """
        raise AraeError(f"data.adapt has no place in {self.description}", "set data.adapt=false.")

    @abstractmethod
    def read(self, recipe: Recipe, sources: list[str], reading: Reading) -> DataSource:
        """Read what a recipe learns from.

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
        """Turn data into what batches are cut from.

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
        """Return how many sentences or images a step reads."""
        return recipe.training.batch_size * len(classes)

    # --- export -----------------------------------------------------------------------------------------------

    def unfit_export_options(self, name: str, *, beam: bool, sentences: bool, scores: bool) -> Iterator[str]:
        """Yield what is wrong with options of `arae export` that mean nothing for this task.

        Args:
            name: The name of the recipe.
            beam: Whether a beam of several candidates was asked for.
            sentences: Whether sentences to rewrite were given.
            scores: Whether the report of an evaluation was given.
        """
        if beam:
            yield f"--beam searches rewrites of text, which {name} does not make."
        if sentences:
            yield f"--sentences are rewritten, which {name} does not do."

    @abstractmethod
    def export(self, request: ExportRequest) -> list[str]:
        """Write an exported model; return what a person should know of it, in lines.

        Raises:
            AraeError: It cannot be written, or does not answer as the trained model does.
        """
