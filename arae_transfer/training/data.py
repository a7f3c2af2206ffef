"""Data of a run: tokenized lines, and the batches made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from arae_transfer.corpus.batches import BatchSchedule, TokenizedSentences
from arae_transfer.corpus.reading import LabelledLines, StreamedLines
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.corpus.tokenizing import sample_lines, tokenize_lines
from arae_transfer.errors import AraeError
from arae_transfer.folders import corpus_cache_directory
from arae_transfer.model.arae import ARAE
from arae_transfer.parallel.examples import ParallelExample, read_parallel, write_parallel
from arae_transfer.parallel.mining import MiningOptions, mine_parallel
from arae_transfer.parallel.self_training import SelfTrainingGenerator
from arae_transfer.quality.ratings import Rating, read_ratings, write_ratings
from arae_transfer.recipe import InputNoise, Recipe
from arae_transfer.tasks.task import RunSetting, StepContext
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.batch import (
    Batch,
    ParallelSentences,
    SoftmaxSampler,
    make_batch,
    make_parallel_batch,
    parallel_sentences,
)
from arae_transfer.training.device import choose_precision
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.schedules import scheduled_step
from arae_transfer.training.validation import ValidationReport, report_validation, rewriting_scores, validate_part

# The lines of a corpus on disk that are kept in memory for training the tokenizer and mining parallel examples. More
# would hardly change a token or a phrase.
SAMPLED_LINES = 1_000_000
_LINES_PER_PAIR = 2


@dataclass(frozen=True)
class TrainingData:
    """Lines by class, in the order of the classes.

    Attributes:
        train: Lines to learn from.
        valid: Held-out lines.
        sources: The values of ``--data``, so that a run can be continued without them.
        pairs: Given parallel examples, in place of mined ones.
        ratings: Readers' ratings of rewrites.
    """

    train: LabelledLines
    valid: LabelledLines
    sources: tuple[str, ...] = ()
    pairs: tuple[ParallelExample, ...] = ()
    ratings: tuple[Rating, ...] = ()


def fingerprint(sentences: Mapping[str, TokenizedSentences]) -> str:
    """Return a hash of tokenized data."""
    digest = hashlib.sha256()
    for name, corpus in sentences.items():
        digest.update(name.encode("utf-8", "surrogatepass"))
        digest.update(corpus.starts.data)
        digest.update(corpus.ids.data)
    return digest.hexdigest()[:16]


class PreparedText:
    """The tokenized sentences of a run, and the batches of each step: ``tasks.task.PreparedData`` for text.

    Attributes:
        classes: The classes, in order.
        tokenizer: The run's tokenizer.
        train: Training sentences by class.
        valid: Held-out sentences by class.
        style: The style-bearing tokens, where the recipe needs them.
        sampler: Draws the sampled vocabulary of a step, if the recipe samples the softmax.
        noun: The word for the data in messages.
        schedule: Which training sentences are in the batch of a step.
    """

    noun = "sentences"

    def __init__(self, recipe: Recipe, data: TrainingData, setting: RunSetting) -> None:
        """Tokenize the lines of each class.

        Raises:
            AraeError: The data cannot be used.
        """
        processes = setting.processes
        self.recipe = recipe
        self.classes = tuple(data.train)
        self.processes = processes
        self._layout = setting.layout
        self._reporter = setting.reporter
        self._initial = setting.initial
        processes.check_batch_size(recipe.training.batch_size)
        self.tokenizer = Tokenizer(processes.from_leader(lambda: self._find_tokenizer(data, setting.resume).serialized))
        self.train = self._tokenize(data.train, "training")
        self.valid = self._tokenize(data.valid, "validation")
        self.schedule = BatchSchedule(self.train, recipe.training.batch_size, recipe.training.seed)
        # The sentences that pairs are searched for; without pairs nothing keeps them.
        self._lines: LabelledLines = data.train if recipe.parallel.sentences > 0 else {}
        self._given_pairs = data.pairs
        self._given_ratings = data.ratings
        self._parallel: dict[str, ParallelSentences] = {}
        self._parallel_schedule: BatchSchedule | None = None
        self.style = None
        if recipe.noise.style_share > 0 or recipe.cycle.delete > 0:
            self.style = StyleTokens.count(list(self.train.values()), self.tokenizer.vocabulary_size)
        self.sampler = None
        if 0 < recipe.training.sampled_softmax < self.tokenizer.vocabulary_size:
            self.sampler = SoftmaxSampler(
                list(self.train.values()), self.tokenizer.vocabulary_size, recipe.training.sampled_softmax
            )

    @property
    def model_classes(self) -> tuple[str, ...]:
        """Classes that the model distinguishes."""
        return self.classes

    @property
    def vocabulary_size(self) -> int:
        """Number of different token ids."""
        return self.tokenizer.vocabulary_size

    def fingerprint(self) -> str:
        """Return a hash of the training sentences."""
        return fingerprint(self.train)

    def save(self) -> None:
        """Save the tokenizer and the given parallel examples into the run.

        Raises:
            AraeError: The run has other examples already, or a file cannot be written.
        """
        self.tokenizer.save(self._layout.tokenizer)
        self._save_ratings()
        if not self._given_pairs:
            return
        if self._layout.pairs.is_file():
            if read_parallel(self._layout.pairs) != list(self._given_pairs):
                raise AraeError(
                    f"the run has other parallel examples than --examples, in {self._layout.pairs}",
                    "leave --examples out to continue the run, or start another run with --name.",
                )
            return
        write_parallel(self._layout.pairs, self._given_pairs)

    def _save_ratings(self) -> None:
        if not self._given_ratings:
            return
        path = self._layout.ratings
        if not path.is_file():
            write_ratings(path, self._given_ratings)
        elif read_ratings(path, self.classes) != list(self._given_ratings):
            raise AraeError(
                f"the run has other ratings than --ratings, in {path}",
                "leave --ratings out to continue the run, or start another run with --name.",
            )

    def validate(self, model: ARAE, device: torch.device) -> ValidationReport | None:
        """Score a model on the held-out sentences in all processes; only the leading process gets the report."""
        sentences = list(self.valid.values())
        part = validate_part(model, self.recipe, self.tokenizer, sentences, device, self.processes)
        parts = self.processes.to_leader(part)
        return report_validation(parts, rewriting_scores) if self.processes.leads else None

    def step(self, networks: Networks, context: StepContext) -> Metrics:
        """Update every network once, in the order of the recipe's schedule."""
        return scheduled_step(self, networks, context)

    def _find_tokenizer(self, data: TrainingData, resume: bool) -> Tokenizer:
        if resume and self._layout.tokenizer.is_file():
            return Tokenizer.load(self._layout.tokenizer)
        if self._initial is not None:
            return Tokenizer.load(self._initial.tokenizer)
        if self.recipe.tokenizer.model:
            return Tokenizer.load(Path(self.recipe.tokenizer.model))
        lines = sample_lines(data.train, SAMPLED_LINES, self.recipe.training.seed)
        tokenizer = Tokenizer.train(
            chain.from_iterable(lines.values()),
            self.recipe.tokenizer.vocabulary_size,
            whole=[self.recipe.form.number] if self.recipe.form.number else [],
        )
        if tokenizer.vocabulary_size < self.recipe.tokenizer.vocabulary_size:
            self._reporter.message(
                f"the corpus has only {tokenizer.vocabulary_size} different tokens, not "
                f"{self.recipe.tokenizer.vocabulary_size}"
            )
        return tokenizer

    def _tokenize(self, lines: LabelledLines, purpose: str) -> dict[str, TokenizedSentences]:
        streamed = isinstance(lines, StreamedLines)

        def make() -> dict[str, TokenizedSentences]:
            return tokenize_lines(
                lines,
                self.tokenizer,
                self.recipe.data.maximum_tokens,
                corpus_cache_directory() if streamed else None,
                self._reporter.tokenizing if streamed else None,
            )

        # What the first process puts into the cache the others find there.
        found = self.processes.first_on_each_machine(make) if streamed else make()
        if streamed:
            self._reporter.message(f"the {purpose} tokens are cached in {corpus_cache_directory()}")
        sentences = {name: found[name] for name in self.classes}
        left_out = sum(corpus.too_long for corpus in sentences.values())
        if left_out:
            self._reporter.message(
                f"left out {left_out:,} {purpose} sentences of more than {self.recipe.data.maximum_tokens} "
                "tokens (data.maximum_tokens)"
            )
        for name, corpus in sentences.items():
            if len(corpus) == 0:
                raise AraeError(
                    f"class {name!r} has no {purpose} sentence that is short enough",
                    "raise data.maximum_tokens, or add shorter sentences.",
                )
        return sentences

    def initialize(self, model: ARAE) -> None:
        """Keep the weights as they are."""

    def prepare_parallel(self, model: ARAE) -> None:
        """Load the run's parallel examples, or mine them and save them for a resumed run.

        Args:
            model: The model of an earlier run, which generates rewrites if the recipe uses self-training.

        Raises:
            AraeError: No example was found for a class, or they cannot be written.
        """
        recipe = self.recipe
        if recipe.parallel.sentences == 0 and not self._given_pairs and not self._layout.pairs.is_file():
            return
        pairs = self.processes.from_leader(partial(self._find_pairs, model))
        self._lines = {}
        self._parallel = parallel_sentences(
            pairs, self.classes, self.tokenizer, recipe.data.maximum_tokens, recipe.parallel
        )
        poor = [name for name, sentences in self._parallel.items() if len(sentences.targets) == 0]
        if poor:
            raise AraeError(
                f"found no rewrites to or from {', '.join(poor)}",
                "raise parallel.sentences, set it to 0, or give rewrites with --examples.",
            )
        self._reporter.message(f"{len(pairs):,} parallel examples in {self._layout.pairs}")
        self._parallel_schedule = BatchSchedule(
            {name: sentences.targets for name, sentences in self._parallel.items()},
            recipe.training.batch_size,
            recipe.training.seed + 1,
        )

    def _find_pairs(self, model: ARAE) -> list[ParallelExample]:
        recipe = self.recipe
        if self._layout.pairs.is_file():
            return read_parallel(self._layout.pairs)
        if self._initial is not None and self._initial.pairs.is_file() and recipe.self_training.rewrites == 0:
            pairs = read_parallel(self._initial.pairs)
        else:
            most = max(SAMPLED_LINES, _LINES_PER_PAIR * recipe.parallel.sentences)
            lines = sample_lines(self._lines, most, recipe.training.seed)
            candidate_model = None
            if recipe.self_training.rewrites > 0:
                told = partial(self._reporter.search, what="rewrites generated by the model")
                # What is generated need not be exact, only fast.
                precision = choose_precision("fast", next(model.parameters()).device)
                seed = recipe.training.seed
                candidate_model = SelfTrainingGenerator(
                    model.eval(),
                    self.tokenizer,
                    self.style,
                    recipe.self_training.rewrites,
                    seed,
                    told,
                    precision,
                    recipe.self_training,
                )
            pairs = mine_parallel(
                lines,
                recipe.parallel.sentences,
                recipe.training.seed,
                self._reporter.search,
                candidate_model=candidate_model,
                options=MiningOptions.of(recipe),
            )
        write_parallel(self._layout.pairs, pairs)
        return pairs

    def batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return the batch of a step, of sentences of similar length."""
        sentences = list(self.train.values())
        chosen = self.schedule.indices(step)
        return make_batch(
            sentences, chosen, self.recipe.noise, self.style, generator, device, self.sampler, self.processes
        )

    def random_batch(self, generator: np.random.Generator, device: torch.device) -> Batch:
        """Return a random batch of undamaged sentences for generator and critic."""
        size = self.recipe.adversary.batch_size or self.recipe.training.batch_size
        chosen = [generator.integers(0, len(corpus), size) for corpus in self.train.values()]
        return make_batch(
            list(self.train.values()), chosen, InputNoise(), None, generator, device, processes=self.processes
        )

    def parallel_batch(self, step: int, generator: np.random.Generator, device: torch.device) -> Batch | None:
        """Return the parallel examples of a step, or None if the recipe has none."""
        if self._parallel_schedule is None:
            return None
        return make_parallel_batch(
            list(self._parallel.values()),
            self._parallel_schedule.indices(step),
            self.recipe.noise,
            generator,
            device,
            self.sampler,
            self.processes,
        )
