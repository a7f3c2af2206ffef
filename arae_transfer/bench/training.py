"""Speed of training a recipe on this machine: time per network, and share of the peak performance."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arae_transfer.bench.operations import count_sentence
from arae_transfer.bench.reference import reference_optimizers, reference_step
from arae_transfer.bench.released import ReleasedProcess
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.training.batch import Batch, make_batch
from arae_transfer.training.data import TrainingData
from arae_transfer.training.loop import Trainer
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.processor import prepare_processor, torchs_own_products
from arae_transfer.training.reporter import SilentReporter

# A training soon has seen batches of all lengths; until then the processor's library writes programs for their sizes.
_WARM_UP_STEPS, _WARM_UP_SECONDS, _LEAST_WARM_UP_STEPS = 40, 10.0, 2
AUTOENCODER = "encoder and decoders"
# A step after another's work finds neither its data in the caches nor its threads awake, as no step of a training does.
_STEPS_A_TURN = 5
MATRIX_SIZE = 1024
MATRIX_SIZE_ON_GPU = 8192


@dataclass(frozen=True)
class TrainingSpeed:
    """Measured speed.

    Attributes:
        recipe: Its name.
        device: Where it ran, in words.
        threads: CPU threads.
        precision: ``fp32`` or ``bf16``.
        sentences_per_step: Classes together.
        steps: Steps that were measured.
        mean_tokens: Of a sentence, the end id included.
        vocabulary: Tokens.
        sentences_per_second: The median over steps.
        network_milliseconds: Time per step by network, batches included; measured in steps of its own.
        operations_per_sentence: Counted from the sizes; see ``operations``.
        fp32_rate: Operations per second of the machine's own single-precision matrix product.
        bf16_rate: Likewise in bfloat16; None where it cannot.
        share_of_ceiling: Operations per second of training over those of the matrix product in its precision.
        reference_ratio: How many times as long the plain reference step takes; None where it was not asked for.
        released_ratio: How many times as long an iteration of the authors' released code takes for the same number of
            sentences; None where it was not asked for or is none of theirs (other devices, other numbers of classes).
    """

    recipe: str
    device: str
    threads: int
    precision: str
    sentences_per_step: int
    steps: int
    mean_tokens: float
    vocabulary: int
    sentences_per_second: float
    network_milliseconds: dict[str, float]
    operations_per_sentence: dict[str, float]
    fp32_rate: float
    bf16_rate: float | None
    share_of_ceiling: float
    reference_ratio: float | None
    released_ratio: float | None

    def table(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)


def matrix_product_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float | None:
    """Return the operations per second of the fastest of several square matrix products, or None if unsupported."""
    size = MATRIX_SIZE_ON_GPU if device.type == "cuda" else MATRIX_SIZE
    try:
        left = torch.randn(size, size, device=device).to(dtype)
        result = left @ left
    except RuntimeError:
        return None
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        _finish(device)
        start = time.perf_counter()
        torch.mm(left, left, out=result)
        _finish(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def _finish(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _TimedNetworks(Networks):
    """Networks that measure the time of each.

    What is encoded counts for the network that reads the code next, and an update of encoder and decoders for the
    network whose term it follows; a joint update follows them all and counts for encoder and decoders.
    """

    def __init__(self, networks: Networks) -> None:
        super().__init__(networks.model, networks.recipe, networks.optimizers, networks.device)
        self.code_noise, self.rewriting = networks.code_noise, networks.rewriting
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._encoding = 0.0
        self._turn = AUTOENCODER

    @contextmanager
    def _measuring(self, name: str) -> Iterator[None]:
        _finish(self.device)
        start = time.perf_counter()
        yield
        _finish(self.device)
        self.seconds[name] += time.perf_counter() - start + self._encoding
        self._encoding = 0.0

    def encode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        _finish(self.device)
        start = time.perf_counter()
        code = super().encode(tokens, lengths)
        _finish(self.device)
        self._encoding += time.perf_counter() - start
        return code

    def _term(self, name: str) -> str:
        self._turn = name if self.recipe.training.schedule == "alternating" else AUTOENCODER
        return name

    def reconstruct(self, code: Tensor, mask: Tensor, batch: Batch, sentence_weights: Tensor | None = None) -> Tensor:
        with self._measuring(self._term(AUTOENCODER)):
            return super().reconstruct(code, mask, batch, sentence_weights)

    def confusion_term(self, code: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
        with self._measuring(self._term("encoder against classifier")):
            return super().confusion_term(code, mask, classes)

    def adversarial_term(self, code: Tensor, mask: Tensor) -> Tensor:
        with self._measuring(self._term("encoder against critic")):
            return super().adversarial_term(code, mask)

    def update_autoencoder(self, loss: Tensor) -> float:
        with self._measuring(self._turn):
            return super().update_autoencoder(loss)

    def update_critic(self, real: Tensor, mask: Tensor) -> Metrics:
        with self._measuring("critic"):
            return super().update_critic(real, mask)

    def update_generator(self, mask: Tensor) -> Metrics:
        with self._measuring("generator"):
            return super().update_generator(mask)

    def update_classifier(self, code: Tensor, mask: Tensor, classes: Tensor) -> Metrics:
        with self._measuring("classifier"):
            return super().update_classifier(code, mask, classes)

    def update_scorer(self, batch: Batch) -> Metrics:
        with self._measuring("style scorer"):
            return super().update_scorer(batch)

    def rewrites(
        self, batch: Batch, sources: Tensor, source_lengths: Tensor, shift: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        with self._measuring("rewriting"):
            return super().rewrites(batch, sources, source_lengths, shift)


def _reference_runner(recipe: Recipe, trainer: Trainer) -> Callable[[int], None]:
    """Return a function that runs a reference step on networks of its own."""
    torch.manual_seed(recipe.training.seed)
    model = ARAE(recipe, trainer.classes, trainer.data.vocabulary_size).to(trainer.device)
    networks = Networks(model, recipe, reference_optimizers(model, recipe), trainer.device)
    data = trainer.text
    sentences = list(data.train.values())

    def run(step: int) -> None:
        generator = np.random.default_rng([recipe.training.seed, step, 3])
        size = recipe.training.batch_size
        chosen = [generator.integers(0, len(corpus), size) for corpus in sentences]
        batch = make_batch(sentences, chosen, recipe.noise, data.style, generator, trainer.device)
        with torchs_own_products():
            reference_step(networks, batch, lambda: data.random_batch(generator, trainer.device))

    return run


def _timed(device: torch.device, run: Callable[[int], object], step: int) -> float:
    _finish(device)
    start = time.perf_counter()
    run(step)
    _finish(device)
    return time.perf_counter() - start


def _warm_up(trainer: Trainer, run_reference: Callable[[int], None] | None) -> int:
    """Train until steps reach full speed, or for some seconds, and return the next step."""
    end, step = time.perf_counter() + _WARM_UP_SECONDS, 0
    while step < _LEAST_WARM_UP_STEPS or (step < _WARM_UP_STEPS and time.perf_counter() < end):
        trainer._step(step)
        if run_reference is not None:
            run_reference(step)
        step += 1
    _finish(trainer.device)
    return step


def _network_times(trainer: Trainer, steps: Sequence[int]) -> dict[str, float]:
    """Return milliseconds per step by network."""
    plain = trainer.networks
    timed = _TimedNetworks(plain)
    trainer.networks = timed
    whole = sum(_timed(trainer.device, trainer._step, step) for step in steps)
    trainer.networks = plain
    timed.seconds["batches and the rest"] = whole - sum(timed.seconds.values())
    return {name: 1000 * seconds / len(steps) for name, seconds in timed.seconds.items()}


def measure_training(
    recipe: Recipe, data: TrainingData, *, device: str = "auto", steps: int = 10, reference: bool = True
) -> TrainingSpeed:
    """Measure some training steps of a recipe.

    The steps of the recipe, of the reference and of the released code take turns, so that other work on the machine
    slows all alike, and medians are compared. A joint recipe is measured before its cycle begins unless ``cycle.start``
    is 0.

    Args:
        recipe: The recipe.
        data: Lines to learn from.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        steps: How many steps to measure, after some seconds to warm up.
        reference: Whether to measure the plain reference step and the authors' released code as well.

    Raises:
        AraeError: The device does not exist, or the data do not fit the recipe.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, data, Path(folder) / "run", SilentReporter(), device=device)
    prepare_processor()
    trainer.model.train()
    ours: list[float] = []
    theirs: list[float] = []
    released: list[float] = []
    run_reference = _reference_runner(recipe, trainer) if reference else None
    comparable = len(trainer.classes) == 2 and trainer.device.type == "cpu" and recipe.model.code == "single"
    with ExitStack() as stack:
        release: ReleasedProcess | None = None
        if reference and comparable:
            corpora = list(trainer.text.train.values())
            release = stack.enter_context(ReleasedProcess(recipe, corpora, trainer.text.vocabulary_size))
        first = _warm_up(trainer, run_reference)
        if release is not None:
            for _ in range(_LEAST_WARM_UP_STEPS):
                release.iterate()
        for start in range(first, first + steps, _STEPS_A_TURN):
            turn = range(start, min(start + _STEPS_A_TURN, first + steps))
            ours += [_timed(trainer.device, trainer._step, step) for step in turn]
            if run_reference is not None:
                theirs += [_timed(trainer.device, run_reference, step) for step in turn]
            if release is not None:
                released += [release.iterate() for _ in turn]
    networks = _network_times(trainer, range(first + steps, first + 2 * steps))
    rates = {dtype: matrix_product_rate(trainer.device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    vocabulary = trainer.data.vocabulary_size
    # Classes have the same number of rows in a batch, however many sentences they have.
    length = statistics.fmean(float(corpus.lengths.mean()) + 1 for corpus in trainer.text.train.values())
    choices = min(vocabulary, recipe.training.sampled_softmax or vocabulary)
    operations = count_sentence(recipe, choices, len(trainer.classes), length)
    rate = trainer.sentences_per_step / statistics.median(ours)
    ceiling = rates[torch.bfloat16 if trainer.precision == "bf16" else torch.float32] or float("inf")
    gpu = trainer.device.type == "cuda"
    return TrainingSpeed(
        recipe=recipe.name,
        device=torch.cuda.get_device_name(trainer.device) if gpu else platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        precision=trainer.precision,
        sentences_per_step=trainer.sentences_per_step,
        steps=steps,
        mean_tokens=length,
        vocabulary=vocabulary,
        sentences_per_second=rate,
        network_milliseconds=networks,
        operations_per_sentence=operations,
        fp32_rate=rates[torch.float32] or 0.0,
        bf16_rate=rates[torch.bfloat16],
        share_of_ceiling=rate * sum(operations.values()) / ceiling,
        reference_ratio=statistics.median(theirs) / statistics.median(ours) if reference else None,
        released_ratio=statistics.median(released) / statistics.median(ours) if release is not None else None,
    )
