"""Training data of a model that edits: parallel examples, and damaged sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from arae_transfer.corpus.batches import BatchSchedule, IntegerArray, TokenizedSentences
from arae_transfer.corpus.style_tokens import StyleTokens
from arae_transfer.editing.actions import stack_actions
from arae_transfer.editing.damage import damage_words
from arae_transfer.editing.edits import Edit, find_edits
from arae_transfer.errors import AraeError
from arae_transfer.model.arae import ARAE
from arae_transfer.model.edit_decoder import NEVER, EditDecoder, EditInputs, EditLogits, predict_edits
from arae_transfer.model.edit_search import edit_greedily
from arae_transfer.model.pretrained import load_pretrained
from arae_transfer.model.transformer import TransformerEncoder
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.quality.ratings import read_ratings
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.batching import pad
from arae_transfer.tasks.task import RunSetting, StepContext
from arae_transfer.tokenizer import END_ID
from arae_transfer.training.data import PreparedText, TrainingData
from arae_transfer.training.networks import Metrics, Networks
from arae_transfer.training.quality import EstimatorScores, QualityLessons
from arae_transfer.training.validation import (
    Probe,
    ValidationPart,
    ValidationReport,
    length_batches,
    report_validation,
    rewriting_scores,
)

_BATCH = 128


@dataclass(frozen=True)
class EditExamples:
    """The examples of the decoder of one class.

    Attributes:
        sources: The inputs of the encoder.
        edits: The edits of each source.
    """

    sources: TokenizedSentences
    edits: Sequence[Sequence[Edit]]


@dataclass(frozen=True)
class EditBatch:
    """Sources with their edits on the device, class by class.

    Attributes:
        tokens: (rows, time) sources with end ids.
        lengths: (rows,).
        allowed: (rows, time) where edits may start and end.
        inputs: The inputs of the decoder before each action.
        choice: (rows, steps) the actions.
        real: (rows, steps) which actions are no padding.
        rows: The rows of each class.
    """

    tokens: Tensor
    lengths: Tensor
    allowed: Tensor
    inputs: EditInputs
    choice: Tensor
    real: Tensor
    rows: Sequence[slice]


class PreparedEdits(PreparedText):
    """The sentences and the examples of a run that learns to edit."""

    def __init__(self, recipe: Recipe, data: TrainingData, setting: RunSetting) -> None:
        """Tokenize the lines of each class.

        Raises:
            AraeError: The data cannot be used.
        """
        super().__init__(recipe, data, setting)
        self.style = StyleTokens.count(list(self.train.values()), self.tokenizer.vocabulary_size)
        self._begins = np.array(self.tokenizer.begins_word)
        self._examples: dict[str, EditExamples] = {}
        self._held_out: dict[str, EditExamples] = {}
        self._example_schedule: BatchSchedule | None = None
        self._quality: QualityLessons | None = None

    def initialize(self, model: ARAE) -> None:
        """Start the encoder and the output layer from pretrained weights, where the recipe names some."""
        folder = self.recipe.model.pretrained
        if not folder:
            return
        encoder = cast("object", model.encoder)
        assert isinstance(encoder, TransformerEncoder)
        self._reporter.message(load_pretrained(encoder, folder, self.tokenizer.pieces))
        decoder = model.decoders[0]
        assert isinstance(decoder, EditDecoder)
        with torch.no_grad():
            table = model.encoder.embedding.weight
            # Of about the size that PyTorch starts a layer with.
            decoder.network.output.weight.copy_(table / (table.std() * table.size(1) ** 0.5))
        if model.quality is not None:
            model.quality.start_from(encoder)

    def prepare_parallel(self, model: ARAE) -> None:
        """Take the run's parallel examples, or mine some, and find the edits in them.

        Raises:
            AraeError: There are no examples, but a network learns from nothing else.
        """
        recipe = self.recipe
        if recipe.parallel.sentences == 0 and not self._given_pairs and not self._layout.pairs.is_file():
            self._require_no_examples()
            return
        pairs = self._find_pairs(model)
        self._lines = {}
        split = np.random.default_rng([recipe.training.seed, 11]).random(len(pairs)) < recipe.editing.held_out
        self._held_out = self._edit_examples([pair for pair, held in zip(pairs, split, strict=True) if held])
        self._examples = self._edit_examples([pair for pair, held in zip(pairs, split, strict=True) if not held])
        poor = [name for name, examples in self._examples.items() if len(examples.sources) == 0]
        if poor:
            raise AraeError(
                f"no example has a rewrite to or from {', '.join(poor)}", "give examples of both, or of each direction."
            )
        self._reporter.message(
            f"{len(pairs):,} sentences with a rewrite, {int(split.sum()):,} of them held out, in {self._layout.pairs}"
        )
        self._example_schedule = BatchSchedule(
            {name: examples.sources for name, examples in self._examples.items()},
            recipe.training.batch_size,
            recipe.training.seed + 1,
        )
        if recipe.quality.layers > 0:
            known, held = (
                {name: (each.sources, each.edits) for name, each in part.items()}
                for part in (self._examples, self._held_out)
            )
            ratings = read_ratings(self._layout.ratings, self.classes) if self._layout.ratings.is_file() else []
            self._quality = QualityLessons(recipe, self.tokenizer, self.classes, known, held, ratings)

    def _require_no_examples(self) -> None:
        """Raise an error if a network learns from examples alone."""
        recipe = self.recipe
        if recipe.editing.denoising == 0:
            raise AraeError(
                "there is nothing to learn from: no examples, and editing.denoising = 0",
                "give --examples, set parallel.sentences to mine some, or raise editing.denoising.",
            )
        if recipe.quality.layers > 0:
            raise AraeError(
                f"the quality estimator has nothing to learn from: no examples, and quality.layers = "
                f"{recipe.quality.layers}",
                "give --examples, set parallel.sentences to mine some, or set quality.layers=0.",
            )

    def _edit_examples(self, pairs: Sequence[ParallelExample]) -> dict[str, EditExamples]:
        """Return the examples of each class's decoder: both directions of pairs, and sentences that stay unchanged."""
        rows: dict[str, list[tuple[list[int], list[Edit]]]] = {name: [] for name in self.classes}
        sentences = self.tokenizer.encode_lines([pair.sentence for pair in pairs])
        rewrites = self.tokenizer.encode_lines([pair.rewrite for pair in pairs])
        left = np.random.default_rng([self.recipe.training.seed, 12]).random(len(pairs)) < self.recipe.editing.unchanged
        begins, most, weights = self.tokenizer.begins_word, self.recipe.data.maximum_tokens, self.recipe.parallel
        for pair, sentence, rewrite, unchanged in zip(pairs, sentences, rewrites, left, strict=True):
            if not sentence or not rewrite or max(len(sentence), len(rewrite)) + 1 > most:
                continue
            if weights.forward > 0:
                rows[pair.rewrite_label].append((sentence, find_edits(sentence, rewrite, begins)))
            if pair.kind != "rewrite":
                continue
            if weights.back > 0:
                rows[pair.label].append((rewrite, find_edits(rewrite, sentence, begins)))
            if unchanged:
                rows[pair.rewrite_label].append((rewrite, []))
        return {
            name: EditExamples(TokenizedSentences.join([row[0] for row in own]), [row[1] for row in own])
            for name, own in rows.items()
        }

    # --- a step -----------------------------------------------------------------------------------------------

    def step(self, networks: Networks, context: StepContext) -> Metrics:
        """Update encoder and decoders once, and the style scorer as often as the recipe says."""
        generator, step = context.generator, context.step
        if self._quality is not None and generator.random() < self.recipe.quality.share:
            loss = self._quality.loss(networks.model, generator, context.device)
            networks.update_quality(loss)
            return {"quality": float(loss.detach())}
        learns = self._example_schedule is not None and generator.random() >= self.recipe.editing.denoising
        batch = self._example_batch(step, context.device) if learns else self._damaged_batch(step, generator, context)
        loss = self._loss(networks.model, batch)
        kind = "examples" if learns else "denoising"
        metrics = {kind: float(loss.detach()), "gradient_norm": networks.update_autoencoder(loss)}
        if step % self.recipe.training.scorer_every == 0:
            metrics |= networks.update_scorer(self.batch(step, generator, context.device))
        return metrics

    def _loss(self, model: ARAE, batch: EditBatch) -> Tensor:
        """Return the mean loss of the actions of a batch."""
        found = predict(model, batch)
        smoothing = self.recipe.training.label_smoothing
        losses = [functional.cross_entropy(found.outside, found.outside_wanted, reduction="sum")]
        if len(found.inside_wanted):
            losses.append(_smoothed(found.inside, found.inside_wanted, smoothing))
        return torch.stack(losses).sum() / int(batch.real.sum())

    def _example_batch(self, step: int, device: torch.device) -> EditBatch:
        assert self._example_schedule is not None
        chosen = self._example_schedule.indices(step)
        sources, edits = [], []
        for examples, numbers in zip(self._examples.values(), chosen, strict=True):
            tokens, lengths = examples.sources.padded(numbers)
            sources.append([row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)])
            edits.append([examples.edits[number] for number in numbers.tolist()])
        return self._stack(sources, edits, device)

    def _damaged_batch(self, step: int, generator: np.random.Generator, context: StepContext) -> EditBatch:
        """Return damaged sentences, each with the edits that repair it."""
        sources, edits = [], []
        chosen, setting = self.schedule.indices(step), self.recipe.editing
        assert self.style is not None
        for number, (corpus, indices) in enumerate(zip(self.train.values(), chosen, strict=True)):
            tokens, lengths = corpus.padded(indices)
            rows = [
                damage_words(
                    row[:length],
                    number,
                    self.tokenizer.begins_word,
                    self.style,
                    setting.style_damage,
                    setting.plain_damage,
                    generator,
                )
                for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)
            ]
            sources.append([row[0] for row in rows])
            edits.append([row[1] for row in rows])
        return self._stack(sources, edits, context.device)

    def _stack(
        self, sources: Sequence[Sequence[list[int]]], edits: Sequence[Sequence[Sequence[Edit]]], device: torch.device
    ) -> EditBatch:
        """Concatenate the rows of all classes."""
        rows = [row for own in sources for row in own]
        tokens, lengths = pad([[*row, END_ID] for row in rows])
        actions = stack_actions([each for own in edits for each in own], self.vocabulary_size)
        ends = np.cumsum([len(own) for own in sources]).tolist()

        def move(array: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device, non_blocking=True)

        inputs = EditInputs(*map(move, (actions.token, actions.pointer, actions.cursor, actions.inside)))
        slices = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return EditBatch(
            move(tokens),
            move(lengths),
            move(self.allowed(tokens)),
            inputs,
            move(actions.choice),
            move(actions.real),
            slices,
        )

    def allowed(self, tokens: IntegerArray) -> npt.NDArray[np.bool_]:
        """Return where edits may start and end: (rows, time) to (rows, time)."""
        found = self._begins[tokens]
        found[:, 0] = True
        return found

    # --- validation -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, model: ARAE, device: torch.device) -> ValidationReport | None:
        """Score rewrites of held-out sentences, and the likelihood of held-out examples."""
        was_training = model.training
        model.eval()
        estimated = self._quality.validate(model, device) if self._quality is not None else EstimatorScores(None, None)
        if self._quality is not None and self.recipe.quality.share == 1:
            model.train(was_training)
            scores = estimated.by_name()
            return ValidationReport({"score": scores.get("rated", scores.get("corrupted", 0.0)), **scores}, [])
        part = ValidationPart()
        for index, corpus in enumerate(self.valid.values()):
            for chosen in length_batches(corpus, min(self.recipe.validation.sentences, len(corpus))):
                self._rewrite_others(model, index, corpus, chosen, part, device)
        total, actions = 0.0, 0
        for batch in self._held_out_batches(device):
            found = predict(model, batch)
            total += float(functional.cross_entropy(found.outside, found.outside_wanted, reduction="sum"))
            if len(found.inside_wanted):
                total += float(functional.cross_entropy(found.inside, found.inside_wanted, reduction="sum"))
            actions += int(batch.real.sum())
        model.train(was_training)
        part.nll, part.tokens, part.sentences = total, actions, 1
        report = report_validation([part], rewriting_scores)
        unknown = {"exact"} if actions else {"exact", "nll"}
        scores = {name: value for name, value in report.scores.items() if name not in unknown}
        if actions:
            # What people would write is a better judge of a rewrite than a scorer that looks for words.
            scores["score"] = 100.0 * float(np.exp(-total / actions))
        scores |= estimated.by_name()
        return ValidationReport(scores, report.probes)

    def _rewrite_others(
        self,
        model: ARAE,
        index: int,
        corpus: TokenizedSentences,
        chosen: IntegerArray,
        part: ValidationPart,
        device: torch.device,
    ) -> None:
        """Rewrite sentences of a class to the other classes, and add the results to ``part``."""
        rows, lengths = corpus.whole(chosen)
        tokens, reals = torch.from_numpy(rows).to(device), torch.from_numpy(lengths).to(device)
        allowed = torch.from_numpy(self.allowed(rows)).to(device)
        code, mask = model.encoder(tokens, reals)
        source = self.tokenizer.decode_rows(rows.tolist())
        others: dict[str, list[str]] = {}
        for target, name in enumerate(self.classes):
            if target == index:
                continue
            decoder = model.decoders[target]
            assert isinstance(decoder, EditDecoder)
            written = edit_greedily(decoder, tokens, code, mask, allowed)
            answers = self.tokenizer.decode_rows(written)
            ids, _ = pad([row or [END_ID] for row in written])
            padded = torch.from_numpy(ids).to(device)
            part.accepted += int((model.scorer(padded, padded > 0).argmax(1) == target).sum())
            part.copies += sum(a == b for a, b in zip(source, answers, strict=True))
            part.sources += source
            part.rewrites += answers
            others[name] = answers
        for place, row in enumerate(chosen.tolist()):
            if row < self.recipe.validation.probes:
                found = {name: answers[place] for name, answers in others.items()}
                part.probes[index, row] = Probe(self.classes[index], source[place], source[place], found)

    def _held_out_batches(self, device: torch.device) -> Iterator[EditBatch]:
        most = max((len(examples.edits) for examples in self._held_out.values()), default=0)
        for start in range(0, most, _BATCH):
            sources: list[list[list[int]]] = []
            edits: list[list[Sequence[Edit]]] = []
            for examples in self._held_out.values():
                numbers = np.arange(start, min(start + _BATCH, len(examples.edits)))
                if len(numbers) == 0:
                    sources.append([])
                    edits.append([])
                    continue
                tokens, lengths = examples.sources.padded(numbers)
                sources.append([row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)])
                edits.append([examples.edits[number] for number in numbers.tolist()])
            yield self._stack(sources, edits, device)


def predict(model: ARAE, batch: EditBatch) -> EditLogits:
    """Return the logits of the actions of a batch, each class's by its own decoder."""
    code, mask = model.encoder(batch.tokens, batch.lengths)
    decoders = [cast("EditDecoder", decoder) for decoder in model.decoders]
    numbers = [rows.stop - rows.start for rows in batch.rows]
    return predict_edits(decoders, numbers, code, mask, batch.allowed, batch.inputs, batch.choice, batch.real)


def _smoothed(logits: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """Return the summed cross entropy with label smoothing over the possible choices."""
    logs = logits.float().log_softmax(1)
    exact = functional.nll_loss(logs, wanted, reduction="sum")
    if smoothing == 0:
        return exact
    possible = logits > NEVER / 2
    spread = -(logs * possible).sum(1) / possible.sum(1)
    return (1 - smoothing) * exact + smoothing * spread.sum()
