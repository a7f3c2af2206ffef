"""The training of one recipe: set up, resume, loop."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import platform
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch

from arae_transfer.atomic import write_text
from arae_transfer.corpus.batches import BatchSchedule, TokenizedSentences, tokenize
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.pairs.find import find_pairs
from arae_transfer.pairs.pair import read_pairs, write_pairs
from arae_transfer.recipe import Recipe, recipe_to_toml
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.batch import (
    Batch,
    CandidateSampler,
    ParallelSentences,
    make_batch,
    make_parallel_batch,
    parallel_sentences,
)
from arae_transfer.training.checkpoint import (
    State,
    find_checkpoint,
    load_run,
    load_state,
    model_tensors,
    restore,
    save_checkpoint,
)
from arae_transfer.training.guard import CollapseGuard
from arae_transfer.training.log import RunLog
from arae_transfer.training.memory import keep_freed_memory
from arae_transfer.training.players import Metrics, Optimizers, Players, TrainingDiverged
from arae_transfer.training.schedules import alternating_step, joint_step
from arae_transfer.training.tensorboard import open_tensorboard
from arae_transfer.training.validation import ValidationReport, validate
from arae_transfer.training.watch import watch_codes, watch_players

CODE_NOISE_DECAY_STEPS = 100


@dataclass(frozen=True)
class Progress:
    """What a line of progress tells.

    Attributes:
        step: Finished steps.
        steps: Steps in all.
        sentences: Sentences seen.
        rate: Sentences per second since the last line.
        seconds_left: Estimated seconds to the end.
        metrics: Means of every player's figures since the last line.
    """

    step: int
    steps: int
    sentences: int
    rate: float
    seconds_left: float
    metrics: Metrics


class Reporter(Protocol):
    """Whoever shows a run to a person."""

    def message(self, text: str) -> None:
        """Show a sentence."""

    def search(self, done: int, total: int) -> None:
        """Show how many sentences the search for pairs has done."""

    def progress(self, progress: Progress) -> None:
        """Show a line of progress."""

    def validation(self, step: int, report: ValidationReport, best: bool) -> None:
        """Show scores and probe sentences."""


@dataclass(frozen=True)
class TrainingData:
    """Lines by class, in the order of the classes.

    Attributes:
        train: Lines to learn from.
        valid: Held-out lines.
        sources: What ``--data`` named, so that a run can be continued without saying it again.
    """

    train: Mapping[str, Sequence[str]]
    valid: Mapping[str, Sequence[str]]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: Its folder.
        finished: Whether it reached its end; otherwise it was interrupted and can be resumed.
        state: Where it stands.
    """

    run: Path
    finished: bool
    state: State


def choose_device(wish: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda[:N]``.

    Raises:
        AraeError: The device does not exist here.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise AraeError(f"there is no device {wish!r}", "use --device auto, cpu, cuda or cuda:N.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise AraeError(
                f"--device {wish}: {count} CUDA devices can be used here",
                "use --device cpu, or install a CUDA build of torch and a driver.",
            )
    return device


def use_threads(wish: int | None) -> None:
    """Let torch use a number of CPU threads; None: as many as this process may use."""
    if wish is None:
        affinity = getattr(os, "sched_getaffinity", None)
        wish = len(affinity(0)) if affinity else os.cpu_count() or 1
    torch.set_num_threads(wish)


def choose_precision(wish: str, device: torch.device) -> str:
    """Return ``fp32`` or ``bf16``.

    Raises:
        AraeError: bf16 is asked for and the GPU does not have it.
    """
    capable = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    if wish == "auto":
        return "bf16" if capable else "fp32"
    if wish == "bf16" and device.type == "cuda" and not capable:
        raise AraeError(f"{device} has no bf16", "set training.precision to auto or fp32.")
    return wish


def fingerprint(sentences: Mapping[str, TokenizedSentences]) -> str:
    """Return a hash of tokenized data."""
    digest = hashlib.sha256()
    for name, corpus in sentences.items():
        digest.update(name.encode("utf-8", "surrogatepass"))
        digest.update(corpus.starts.tobytes())
        digest.update(corpus.ids.tobytes())
    return digest.hexdigest()[:16]


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop after the step; the second Ctrl-C acts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        except ValueError:
            pass  # not the main thread: whoever started the thread decides when to stop
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Trainer:
    """One run: its data, its players and its folder."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        run: Path,
        reporter: Reporter,
        *,
        device: str = "auto",
        resume: bool = False,
        initial: Path | None = None,
    ) -> None:
        """Set a run up.

        Args:
            recipe: Its recipe.
            data: The sentences of each class.
            run: Its folder.
            reporter: Who shows it to a person.
            device: ``"auto"``, ``"cpu"`` or ``"cuda"``, with or without a number.
            resume: Whether the folder holds a run that is continued.
            initial: A run whose best weights, tokenizer and pairs this one starts from.

        Raises:
            AraeError: The data, the device or a folder cannot be used.
        """
        self.recipe = recipe
        self.layout = RunLayout(run)
        self.reporter = reporter
        self.device = choose_device(device)
        self.precision = choose_precision(recipe.training.precision, self.device)
        self.classes = tuple(data.train)
        self.initial = None if resume or initial is None else RunLayout(initial)
        self.sources = data.sources
        torch.manual_seed(recipe.training.seed)
        # Probabilities far below any that matter would otherwise slow the processor down a hundredfold.
        torch.set_flush_denormal(True)
        keep_freed_memory()
        self.tokenizer = self._tokenizer(data, resume)
        self.train_sentences = self._tokenize(data.train, "training")
        self.valid_sentences = self._tokenize(data.valid, "validation")
        self.schedule = BatchSchedule(self.train_sentences, recipe.training.batch_size, recipe.training.seed)
        # The sentences that pairs are searched for; without pairs nothing keeps them.
        self._lines = data.train if recipe.pairs.sentences > 0 else {}
        self.parallel: dict[str, ParallelSentences] = {}
        self.parallel_schedule: BatchSchedule | None = None
        self.style = None
        if recipe.noise.style_share > 0 or recipe.cycle.delete > 0:
            self.style = StyleTokens.count(list(self.train_sentences.values()), self.tokenizer.vocabulary_size)
        self.sampler = None
        if 0 < recipe.training.candidates < self.tokenizer.vocabulary_size:
            self.sampler = CandidateSampler(
                list(self.train_sentences.values()),
                self.tokenizer.vocabulary_size,
                recipe.training.candidates,
            )
        self.model = ARAE(recipe, self._model_classes(), self.tokenizer.vocabulary_size).to(self.device)
        if self.initial is not None:
            self._take_weights(self.initial)
        self.average = copy.deepcopy(self.model).eval() if recipe.training.averaging > 0 else None
        self.optimizers = Optimizers.build(self.model, recipe)
        self.players = Players(self.model, recipe, self.optimizers, self.device)
        if self.average is not None:
            self.players.rewriting = self.average
        self.state = State(classes=self.model.classes, corpus=fingerprint(self.train_sentences))
        self.sentences_per_step = recipe.training.batch_size * len(self.classes)
        self.steps = max(1, recipe.training.sentences // self.sentences_per_step)
        self.log = RunLog(
            self.layout, self.sentences_per_step, open_tensorboard(self.layout.tensorboard, reporter.message)
        )
        self.guard = CollapseGuard(recipe, len(self.classes), self.steps)
        self._saved_step: int | None = None
        if resume:
            self._resume()

    # --- set-up -----------------------------------------------------------------------------------------------

    def _model_classes(self) -> tuple[str, ...]:
        """Return the classes that the model tells apart: those that the sentences stand in."""
        return self.classes

    def _tokenizer(self, data: TrainingData, resume: bool) -> Tokenizer:
        if resume and self.layout.tokenizer.is_file():
            return Tokenizer.load(self.layout.tokenizer)
        if self.initial is not None:
            return Tokenizer.load(self.initial.tokenizer)
        if self.recipe.tokenizer.model:
            return Tokenizer.load(Path(self.recipe.tokenizer.model))
        lines = [line for name in self.classes for line in data.train[name]]
        tokenizer = Tokenizer.train(
            lines,
            self.recipe.tokenizer.vocabulary_size,
            whole=[self.recipe.form.number] if self.recipe.form.number else [],
        )
        if tokenizer.vocabulary_size < self.recipe.tokenizer.vocabulary_size:
            self.reporter.message(
                f"the corpus fills a vocabulary of {tokenizer.vocabulary_size} pieces, "
                f"not {self.recipe.tokenizer.vocabulary_size}"
            )
        return tokenizer

    def _take_weights(self, initial: RunLayout) -> None:
        loaded = load_run(initial.root, "best")
        if loaded.classes != self.model.classes:
            raise AraeError(
                f"{initial.root} knows the classes {', '.join(loaded.classes)}, "
                f"the data has {', '.join(self.model.classes)}",
                "give data of the same classes in the same order.",
            )
        try:
            self.model.load_state_dict(loaded.model.state_dict())
        except RuntimeError as error:
            raise AraeError(
                f"the weights of {initial.root} do not fit the recipe's players",
                "take over its sections [data], [model], [adversary] and [attribute].",
            ) from error
        self.reporter.message(f"starting from {initial.root}, step {loaded.state.step:,}")

    def _tokenize(self, lines: Mapping[str, Sequence[str]], purpose: str) -> dict[str, TokenizedSentences]:
        sentences = {
            name: tokenize(lines[name], self.tokenizer, self.recipe.data.maximum_tokens) for name in self.classes
        }
        left_out = sum(corpus.too_long for corpus in sentences.values())
        if left_out:
            self.reporter.message(
                f"{left_out:,} {purpose} sentences have more than {self.recipe.data.maximum_tokens} tokens "
                "and are left out (data.maximum_tokens)"
            )
        for name, corpus in sentences.items():
            if len(corpus) == 0:
                raise AraeError(
                    f"no {purpose} sentence of class {name!r} is left",
                    "raise data.maximum_tokens, or give other data.",
                )
        return sentences

    def _resume(self) -> None:
        if self.layout.recipe.is_file() and not self.layout.latest.is_file():
            # Killed before its first checkpoint: the same steps come again from the start.
            self.reporter.message(f"{self.layout.root} has no checkpoint yet: starting at step 0")
        else:
            checkpoint = find_checkpoint(self.layout, "latest")
            state = load_state(checkpoint, self.layout)
            if state.corpus != self.state.corpus or state.classes != self.model.classes:
                raise AraeError(
                    f"the data are not those that {self.layout.root} was trained on",
                    "give the same --data, or start a new run without --resume.",
                )
            self.state = restore(self.layout, checkpoint, self.model, self.average, self.optimizers)
            self._saved_step = self.state.step
            self.reporter.message(f"continuing {self.layout.root} at step {self.state.step:,} of {self.steps:,}")
        for record in self.log.trim(self.state.step):
            self.guard.observe(record["step"], record)  # what it has to say was said

    def _write_header(self) -> None:
        write_text(self.layout.recipe, recipe_to_toml(self.recipe))
        self.tokenizer.save(self.layout.tokenizer)
        environment: dict[str, Any] = {
            "data": list(self.sources),
            "initial": str(self.initial.root) if self.initial is not None else None,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            "device": str(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
        }
        if self.device.type == "cuda":
            environment["gpu"] = torch.cuda.get_device_name(self.device)
        write_text(self.layout.environment, json.dumps(environment, indent=1) + "\n")

    def _prepare_pairs(self) -> None:
        """Take the run's pairs, or search them and keep them for a resumed run."""
        recipe = self.recipe
        if recipe.pairs.sentences == 0:
            return
        if self.layout.pairs.is_file():
            pairs = read_pairs(self.layout.pairs)
        elif self.initial is not None and self.initial.pairs.is_file():
            pairs = read_pairs(self.initial.pairs)
            write_pairs(self.layout.pairs, pairs)
        else:
            pairs = find_pairs(self._lines, recipe.pairs.sentences, recipe.training.seed, self.reporter.search)
            write_pairs(self.layout.pairs, pairs)
        self._lines = {}
        self.parallel = parallel_sentences(
            pairs, self.classes, self.tokenizer, recipe.data.maximum_tokens, recipe.pairs
        )
        poor = [name for name, sentences in self.parallel.items() if len(sentences.targets) == 0]
        if poor:
            raise AraeError(
                f"no rewrite to or from {', '.join(poor)} was found by exchanging phrases",
                "set pairs.sentences=0, or raise it.",
            )
        self.reporter.message(f"{len(pairs):,} sentences with a rewrite, in {self.layout.pairs}")
        self.parallel_schedule = BatchSchedule(
            {name: sentences.targets for name, sentences in self.parallel.items()},
            recipe.training.batch_size,
            recipe.training.seed + 1,
        )

    # --- the loop ---------------------------------------------------------------------------------------------

    def train(self) -> Outcome:
        """Train to the end of the recipe, or until asked to stop; either way the run can be loaded afterwards."""
        recipe = self.recipe
        self._write_header()
        self._prepare_pairs()
        self.reporter.message(
            f"{' · '.join(self.classes)} · {sum(map(len, self.train_sentences.values())):,} sentences · "
            f"{sum(p.numel() for p in self.model.autoencoder_parameters()):,} parameters in encoder and decoders · "
            f"{self.device} {self.precision} · {self.steps:,} steps of {self.sentences_per_step} sentences"
        )
        sums: dict[str, list[float]] = {}
        validate_every = max(1, recipe.validation.every // self.sentences_per_step)
        window_start, window_step = time.monotonic(), self.state.step
        last_saved, last_tick = time.monotonic(), time.monotonic()
        self.model.train()
        with StopRequest() as stop:
            while self.state.step < self.steps and not stop.asked:
                for name, value in self._step(self.state.step).items():
                    sums.setdefault(name, []).append(value)
                self.state.step += 1
                step = self.state.step
                now = time.monotonic()
                self.state.minutes += (now - last_tick) / 60
                last_tick = now
                if step % recipe.validation.log_every == 0 or step == self.steps:
                    rate = (step - window_step) * self.sentences_per_step / max(now - window_start, 1e-9)
                    means = {name: sum(values) / len(values) for name, values in sums.items()}
                    left = (self.steps - step) * self.sentences_per_step / max(rate, 1e-9)
                    progress = Progress(step, self.steps, step * self.sentences_per_step, rate, left, means)
                    self._log("train", means | watch_players(self.optimizers) | {"sentences_per_second": rate})
                    self.reporter.progress(progress)
                    sums.clear()
                    window_start, window_step = now, step
                if step % validate_every == 0 or step == self.steps:
                    self._validate()
                    last_saved = time.monotonic()
                    # Rates speak of training alone.
                    window_start, window_step = last_saved, step
                elif now - last_saved > recipe.validation.checkpoint_minutes * 60:
                    self._save(best=False)
                    last_saved = time.monotonic()
            if self.state.step != self._saved_step:  # asked to stop between checkpoints
                self._save(best=False)
        self.log.close()
        return Outcome(self.layout.root, self.state.step >= self.steps, self.state)

    def _step(self, step: int) -> Metrics:
        recipe = self.recipe
        # Everything random about the input follows from seed and step, so that a resumed run repeats it exactly.
        generator = np.random.default_rng([recipe.training.seed, step, 3])
        rate = self._set_pace(step)
        sentences = list(self.train_sentences.values())
        batch = make_batch(
            sentences,
            self.schedule.indices(step),
            recipe.noise,
            self.style,
            generator,
            self.device,
            self.sampler,
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if recipe.training.schedule == "joint":
                cycling = recipe.cycle.weight > 0 and step >= recipe.cycle.start * self.steps
                parallel = self._parallel_batch(step, generator)
                metrics = joint_step(self.players, batch, self.style, generator, cycling, parallel)
            else:

                def draw() -> Batch:
                    size = recipe.training.batch_size
                    chosen = [generator.integers(0, len(corpus), size) for corpus in sentences]
                    return make_batch(sentences, chosen, recipe.noise, self.style, generator, self.device, self.sampler)

                metrics = alternating_step(self.players, batch, draw)
        self._update_average()
        return metrics | {"learning_rate": rate, "code_noise": self.players.code_noise}

    def _set_pace(self, step: int) -> float:
        """Set the code noise and the learning rate of a step, and return the latter."""
        model, rate = self.recipe.model, self._learning_rate(step)
        self.players.code_noise = model.code_noise * model.code_noise_decay ** (step // CODE_NOISE_DECAY_STEPS)
        for group in self.optimizers.autoencoder.param_groups:
            group["lr"] = rate
        return rate

    def _parallel_batch(self, step: int, generator: np.random.Generator) -> Batch | None:
        if self.parallel_schedule is None:
            return None
        return make_parallel_batch(
            list(self.parallel.values()),
            self.parallel_schedule.indices(step),
            self.recipe.noise,
            generator,
            self.device,
            self.sampler,
        )

    def _learning_rate(self, step: int) -> float:
        training = self.recipe.training
        share = step / self.steps
        factor = 1.0
        if training.warmup > 0:
            factor = min(1.0, (step + 1) / (training.warmup * self.steps))
        if training.decay == "linear":
            factor = min(factor, (1.0 - share) / max(1.0 - training.warmup, 1e-9))
        return training.learning_rate * factor

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        # A young average follows fast, so that it does not remember the initial weights for long.
        decay = min(self.recipe.training.averaging, (1 + self.state.step) / (10 + self.state.step))
        targets: list[torch.Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(targets, list(self.model.parameters()), 1.0 - decay)
        for mine, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(current)

    # --- once in a while --------------------------------------------------------------------------------------

    def _log(self, kind: str, values: Mapping[str, float]) -> None:
        """Write figures, and say what the guard sees in them."""
        for text in self.guard.observe(self.state.step, self.log.metrics(kind, self.state.step, values)):
            self.reporter.message(text)

    def _check_weights(self) -> None:
        """Refuse to save what no longer holds numbers, so that the last good checkpoint stays the latest.

        Raises:
            TrainingDiverged: Naming the player.
        """
        for name, tensor in model_tensors(self.model).items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise TrainingDiverged(
                    f"the weights of the {name.partition('.')[0]} are no longer numbers",
                    "lower the learning rates; the last good checkpoint is kept.",
                )

    def _validate(self) -> None:
        self._check_weights()
        model = self.average if self.average is not None else self.model
        sentences = list(self.valid_sentences.values())
        report = self._examine(model)
        # Before the cycle has begun, rewrites are not yet what the recipe is after.
        cycling = self.recipe.cycle.weight == 0 or self.state.step > self.recipe.cycle.start * self.steps
        best = cycling and report.scores["score"] > self.state.best_score
        if best or self.state.best_step == 0:
            best = True
            self.state.best_score = report.scores["score"] if cycling else -1.0
            self.state.best_step = self.state.step
        self.state.scores = dict(report.scores)
        self._log("valid", report.scores)
        self._log("watch", watch_codes(model, sentences, self.device))
        self.log.samples(self.state.step, report)
        self._save(best=best)
        self.reporter.validation(self.state.step, report, best)
        self.model.train()

    def _examine(self, model: ARAE) -> ValidationReport:
        """Measure a model on held-out sentences."""
        return validate(model, self.recipe, self.tokenizer, list(self.valid_sentences.values()), self.device)

    def _save(self, *, best: bool) -> None:
        self._check_weights()
        self._saved_step = self.state.step
        save_checkpoint(self.layout, self.state, self.model, self.average, self.optimizers, best=best)
