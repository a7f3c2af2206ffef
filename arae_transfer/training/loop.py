"""Train one recipe: start or resume, loop, validate, save."""

from __future__ import annotations

import copy
import json
import platform
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arae_transfer.atomic import write_text
from arae_transfer.errors import AraeError, quoted
from arae_transfer.layout import RunLayout, WhichCheckpoint
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_to_toml
from arae_transfer.tasks import task_of
from arae_transfer.tasks.task import DataSource, PreparedData, RunSetting, StepContext
from arae_transfer.training.checkpoint import (
    State,
    find_checkpoint,
    load_state,
    model_tensors,
    restore,
    save_checkpoint,
)
from arae_transfer.training.data import PreparedText
from arae_transfer.training.device import choose_device, choose_precision
from arae_transfer.training.diagnostics import code_diagnostics, optimizer_statistics
from arae_transfer.training.guard import CollapseGuard
from arae_transfer.training.initial_weights import InitialWeights, recorded_initial_weights, take_initial_weights
from arae_transfer.training.interruption import StopRequest
from arae_transfer.training.log import RunLog
from arae_transfer.training.networks import Metrics, Networks, TrainingDiverged
from arae_transfer.training.optimizers import Optimizers
from arae_transfer.training.processes import ALONE, Processes
from arae_transfer.training.processor import prepare_processor
from arae_transfer.training.reporter import Progress, Reporter
from arae_transfer.training.run_lock import lock_run
from arae_transfer.training.sparse_gradients import use_sparse_gradients
from arae_transfer.training.tensorboard import open_tensorboard

CODE_NOISE_DECAY_STEPS = 100


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        run: Its folder.
        finished: Whether it reached its end; otherwise it was interrupted and can be resumed.
        state: Where it stands.
    """

    run: Path
    finished: bool
    state: State


def _torch_seed(*parts: int) -> int:
    """Combine numbers into a seed for torch."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Trainer:
    """One run: its data, its networks and its folder."""

    def __init__(
        self,
        recipe: Recipe,
        data: DataSource,
        run: Path,
        reporter: Reporter,
        *,
        device: str = "auto",
        resume: bool = False,
        initial: Path | None = None,
        initial_checkpoint: WhichCheckpoint = "best",
        processes: Processes = ALONE,
    ) -> None:
        """Set up a run.

        Args:
            recipe: Its recipe.
            data: The data of its task: the sentences or images of each class, or labelled examples.
            run: Its folder.
            reporter: Shows the progress to the user.
            device: ``"auto"``, ``"cpu"`` or ``"cuda"``, with or without a number.
            resume: Whether to continue the run in the folder.
            initial: A run whose weights, tokenizer and parallel examples this one starts from, or an exported model,
                which has no examples.
            initial_checkpoint: The weights of that run: the best or the latest ones.
            processes: The processes that train the model; the leading one of them logs and saves.

        Raises:
            AraeError: The data, the device or a folder cannot be used.
        """
        self.recipe = recipe
        self.layout = RunLayout(run)
        self.reporter = reporter
        self.processes = processes
        self.device = choose_device(device, processes)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self.precision = choose_precision(recipe.training.precision, self.device)
        start = self._resumed_initial_weights() if resume else InitialWeights(initial, initial_checkpoint)
        self.initial = None if start.initial is None else RunLayout(start.initial)
        self.initial_checkpoint = start.checkpoint
        if recipe.self_training.rewrites > 0 and self.initial is None and not self.layout.pairs.is_file():
            raise AraeError(
                f"self_training.rewrites = {recipe.self_training.rewrites} needs the model of an earlier run",
                "name it with --from RUN, or set self_training.rewrites=0.",
            )
        self.sources = data.sources
        torch.manual_seed(recipe.training.seed)
        setting = RunSetting(self.layout, reporter, resume, self.initial, processes)
        self.data: PreparedData = task_of(recipe).prepare(recipe, data, setting)
        self.classes = self.data.classes
        self.model = ARAE(recipe, self.data.model_classes, self.data.vocabulary_size).to(self.device)
        if self.initial is not None:
            take_initial_weights(self.model, recipe, start, reporter)
        elif not resume:
            self.data.initialize(self.model)
        self.average = copy.deepcopy(self.model).eval() if recipe.training.averaging > 0 else None
        use_sparse_gradients(self.model, recipe, self.device, processes.size)
        self.optimizers = Optimizers.build(self.model, recipe)
        self.networks = Networks(self.model, recipe, self.optimizers, self.device, processes)
        self.networks.noise = torch.Generator(self.device)
        if self.average is not None:
            self.networks.rewriting = self.average
        self.state = State(classes=self.model.classes, corpus=self.data.fingerprint())
        if len(set(processes.to_leader(self.state.corpus))) > 1:
            raise AraeError("the processes read different data", "give the same files to all of them.")
        self.sentences_per_step = recipe.training.batch_size * len(self.classes)
        self.steps = max(1, recipe.training.sentences // self.sentences_per_step)
        scalars = open_tensorboard(self.layout.tensorboard, reporter.message) if processes.leads else None
        self.log = RunLog(self.layout, self.sentences_per_step, scalars)
        self.guard = CollapseGuard(recipe, len(self.classes), self.steps)
        self._saved_step: int | None = None
        self._resumes = resume
        if resume:
            with lock_run(self.layout, resume=True) if processes.leads else nullcontext():
                self._resume()

    @property
    def text(self) -> PreparedText:
        """Prepared sentences of a run on text.

        Raises:
            AraeError: The run is on images.
        """
        if not isinstance(self.data, PreparedText):
            raise AraeError(f"{self.recipe.name} is a recipe for images, not for text", "give a recipe for text.")
        return self.data

    # --- set-up -----------------------------------------------------------------------------------------------

    def _initial_weights(self) -> InitialWeights:
        """Return the initial weights of a run, even after its first checkpoint."""
        if self.initial is not None:
            return InitialWeights(self.initial.root, self.initial_checkpoint)
        try:
            return recorded_initial_weights(self.layout)
        except AraeError:
            return InitialWeights()  # a new run, or one that says nothing

    def _resumed_initial_weights(self) -> InitialWeights:
        """Return the initial weights that a resumed run must load again: it was killed before its first checkpoint."""
        if self.layout.latest.is_file() or not self.layout.environment.is_file():
            return InitialWeights()
        return recorded_initial_weights(self.layout)

    def _resume(self) -> None:
        if self.layout.recipe.is_file() and not self.layout.latest.is_file():
            # Killed before its first checkpoint: the same steps come again from the start.
            self.reporter.message(f"{self.layout.root} has no checkpoint yet: starting at step 0")
        else:
            checkpoint = find_checkpoint(self.layout, "latest")
            state = load_state(checkpoint, self.layout)
            if state.corpus != self.state.corpus or state.classes != self.model.classes:
                raise AraeError(
                    f"{self.layout.root} was trained on other data",
                    f"give the same --data; to learn from other data, start a run --from {quoted(self.layout.root)}",
                )
            self.state = restore(self.layout, checkpoint, self.model, self.average, self.optimizers)
            self._saved_step = self.state.step
            self.reporter.message(f"continuing {self.layout.root} at step {self.state.step:,} of {self.steps:,}")
        for record in self.log.trim(self.state.step) if self.processes.leads else []:
            self.guard.observe(record["step"], record)  # what it has to say was said

    def _write_header(self) -> None:
        # What the data are read by first: a run that has a recipe can be resumed, and then needs no --examples again.
        self.data.save()
        write_text(self.layout.recipe, recipe_to_toml(self.recipe))
        environment: dict[str, Any] = {
            "data": list(self.sources),
            **self._initial_weights().to_table(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            "device": str(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "processes": self.processes.size,
        }
        if self.device.type == "cuda":
            environment["gpu"] = torch.cuda.get_device_name(self.device)
        write_text(self.layout.environment, json.dumps(environment, indent=1) + "\n")

    # --- the loop ---------------------------------------------------------------------------------------------

    def train(self) -> Outcome:
        """Train to the end of the recipe, or until a request to stop; the run is usable afterwards.

        Raises:
            AraeError: Another process trains the run, or it cannot be written.
        """
        with lock_run(self.layout, resume=self._resumes) if self.processes.leads else nullcontext():
            return self._train()

    def _train(self) -> Outcome:
        recipe, processes = self.recipe, self.processes
        prepare_processor()
        if processes.leads:
            self._write_header()
        self.data.prepare_parallel(self.model)
        # All have the same weights already, unless their processors round in different ways.
        for model in (self.model, self.average):
            if model is not None:
                processes.take_over(model_tensors(model).values())
        self.reporter.message(
            f"{' · '.join(self.classes)} · {sum(map(len, self.data.train.values())):,} {self.data.noun} · "
            f"{sum(p.numel() for p in self.model.autoencoder_parameters()):,} parameters in encoder and decoders · "
            f"{self.device} {self.precision} · {processes.description()}"
            f"{self.steps:,} steps of {self.sentences_per_step} {self.data.noun}"
        )
        sums: dict[str, list[float]] = {}
        validate_every = max(1, recipe.validation.every // self.sentences_per_step)
        window_start, window_step = time.monotonic(), self.state.step
        last_saved, last_tick = time.monotonic(), time.monotonic()
        self.model.train()
        with StopRequest() as stop:
            while self.state.step < self.steps and not processes.any(stop.asked):
                for name, value in self._step(self.state.step).items():
                    sums.setdefault(name, []).append(value)
                self.state.step += 1
                step = self.state.step
                now = time.monotonic()
                self.state.minutes += (now - last_tick) / 60
                last_tick = now
                if step % recipe.validation.log_every == 0 or step == self.steps:
                    rate = (step - window_step) * self.sentences_per_step / max(now - window_start, 1e-9)
                    means = processes.mean({name: sum(values) / len(values) for name, values in sums.items()})
                    left = (self.steps - step) * self.sentences_per_step / max(rate, 1e-9)
                    progress = Progress(step, self.steps, step * self.sentences_per_step, rate, left, means)
                    if processes.leads:
                        self._log(
                            "train", means | optimizer_statistics(self.optimizers) | {"sentences_per_second": rate}
                        )
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
        # Everything random about the input follows from seed and step, so that a resumed run repeats it exactly.
        generator = np.random.default_rng([self.recipe.training.seed, step, 3])
        rate = self._begin_step(step)
        with self._arithmetic():
            metrics = self.data.step(self.networks, StepContext(step, self.steps, generator, self.device))
        self._update_average()
        return metrics | {"learning_rate": rate, "code_noise": self.networks.code_noise}

    def _begin_step(self, step: int) -> float:
        """Seed the noise of a step, set its code noise and learning rate, and return the latter."""
        self._seed_noise(step)
        model, rate = self.recipe.model, self._learning_rate(step)
        self.networks.code_noise = model.code_noise * model.code_noise_decay ** (step // CODE_NOISE_DECAY_STEPS)
        for optimizer in self.optimizers.scheduled():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"]
        return rate

    def _arithmetic(self) -> torch.autocast:
        """Return the precision context of a step.

        The cache of autocast is off: a network's copies in bfloat16 would be kept after its update until the end of the
        step.
        """
        half = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False)

    def _seed_noise(self, step: int) -> None:
        """Seed the noise on codes and of the generator from seed and step, independently of dropout."""
        seed, processes = self.recipe.training.seed, self.processes
        if self.networks.noise is not None:
            self.networks.noise.manual_seed(_torch_seed(seed, step, 8))
        if processes.size > 1:
            # Dropout is each process's own.
            torch.manual_seed(_torch_seed(seed, step, 9, processes.rank))

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
        """Log figures, and report warnings of the guard."""
        for text in self.guard.observe(self.state.step, self.log.metrics(kind, self.state.step, values)):
            self.reporter.message(text)

    def _check_weights(self) -> None:
        """Refuse to save weights with NaN or infinity, so that the last good checkpoint stays the latest.

        Raises:
            TrainingDiverged: Naming the network.
        """
        for name, tensor in model_tensors(self.model).items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise TrainingDiverged(
                    f"the weights of the {name.partition('.')[0]} are no longer finite",
                    "lower the learning rates; the last good checkpoint is kept.",
                )

    def _validate(self) -> None:
        self._check_weights()
        model = self.average if self.average is not None else self.model
        report = self.data.validate(model, self.device)
        if report is None:
            return
        # Before the cycle has begun, rewrites are not yet what the recipe is after.
        cycling = self.recipe.cycle.weight == 0 or self.state.step > self.recipe.cycle.start * self.steps
        best = cycling and report.scores["score"] > self.state.best_score
        if best or self.state.best_step == 0:
            best = True
            self.state.best_score = report.scores["score"] if cycling else -1.0
            self.state.best_step = self.state.step
        self.state.scores = dict(report.scores)
        self._log("valid", report.scores)
        if task_of(self.recipe).writes_from_codes:
            self._log("diagnostics", code_diagnostics(model, list(self.data.valid.values()), self.device))
        self.log.samples(self.state.step, report)
        self._save(best=best)
        self.reporter.validation(self.state.step, report, best)
        self.model.train()

    def _save(self, *, best: bool) -> None:
        if not self.processes.leads:
            return
        self._check_weights()
        self._saved_step = self.state.step
        save_checkpoint(self.layout, self.state, self.model, self.average, self.optimizers, best=best)
