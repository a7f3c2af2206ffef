"""Scores and probe rewrites on held-out sentences during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from arae_transfer.corpus.batches import BatchSource, TokenizedSentences
from arae_transfer.language_model.ngram import NgramLanguageModel
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer
from arae_transfer.training import losses
from arae_transfer.training.processes import ALONE, Processes

_BATCH = 128
# Of longer sentences fewer are taken at once: each position has a logit of every token.
_POSITIONS = 8192
# Generated sentences for each held-out one: of fewer, a language model says more of their number than of the generator.
GENERATED_PER_SENTENCE = 5


@dataclass(frozen=True)
class Probe:
    """A fixed held-out sentence with its reconstruction and rewrites.

    Attributes:
        label: Its class.
        source: The sentence.
        reconstruction: Decoded with its own class's decoder.
        rewrites: Decoded with each other class's decoder, by class.
    """

    label: str
    source: str
    reconstruction: str
    rewrites: dict[str, str]


@dataclass(frozen=True)
class ValidationReport:
    """Results of a validation.

    Attributes:
        scores: ``nll`` per token of reconstruction, ``exact`` share of exact reconstructions in percent, ``style``
            percent of rewrites in the target class, by the training's own scorer (which is optimistic: use `arae
            evaluate` for an independent one), ``self_bleu`` of rewrites to their sources, ``copies`` percent, and
            ``score``, the geometric mean of style and self-BLEU that chooses the best checkpoint. Of a generation
            ``nll``, ``exact``, ``reverse_perplexity`` of the held-out sentences under an n-gram model of generated
            ones, ``distinct`` percent of these, and ``score``, 1,000 over the reverse perplexity (the paper too stops
            by it); without a generator 100 times the probability of a token. Of images: see ``validate_images``.
        probes: The probe sentences.
        picture: A PNG of held-out images, their reconstructions and generated ones; None for text.
    """

    scores: dict[str, float]
    probes: list[Probe]
    picture: bytes | None = None


def length_batches(sentences: BatchSource, count: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the first ``count`` sentences in batches of similar lengths and bounded memory."""
    lengths = sentences.lengths_of(np.arange(count))
    order = np.argsort(lengths, kind="stable")
    batches = []
    while len(order):
        rows = min(_BATCH, len(order))
        while rows > 1 and rows * int(lengths[order[rows - 1]]) > _POSITIONS:
            rows = rows // 2
        batches.append(order[:rows])
        order = order[rows:]
    return batches


@dataclass
class ValidationPart:
    """Results of one process on its share of the held-out sentences: sums and texts.

    Attributes:
        nll: Summed over tokens.
        tokens: Tokens, end ids included.
        exact: Sentences that were reconstructed exactly.
        sentences: The number of sentences.
        accepted: Rewrites in the target class, by the style scorer.
        copies: Rewrites that equal their sources.
        sources: The source of each rewrite.
        rewrites: The rewrites.
        whole: The held-out sentences of a generation task.
        generated: Sentences of generated codes.
        probes: Probe sentences, by class index and sentence number.
    """

    nll: float = 0.0
    tokens: int = 0
    exact: int = 0
    sentences: int = 0
    accepted: int = 0
    copies: int = 0
    sources: list[str] = field(default_factory=list)
    rewrites: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    generated: list[str] = field(default_factory=list)
    probes: dict[tuple[int, int], Probe] = field(default_factory=dict)


# The shares of all processes and their negative log-likelihood of a token, to a task's scores, ``score`` among them.
Scores = Callable[[Sequence[ValidationPart], float], dict[str, float]]


def validate(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer,
    sentences: list[TokenizedSentences],
    device: torch.device,
) -> ValidationReport:
    """Reconstruct and rewrite the first ``validation.sentences`` held-out sentences of each class, without noise.

    Args:
        model: The model (its averaged weights, where the recipe averages).
        recipe: The recipe.
        tokenizer: The tokenizer.
        sentences: Held-out sentences of each class, in the order of the classes.
        device: Where the model is.
    """
    return report_validation([validate_part(model, recipe, tokenizer, sentences, device)], rewriting_scores)


@torch.no_grad()
def validate_part(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer,
    sentences: list[TokenizedSentences],
    device: torch.device,
    processes: Processes = ALONE,
) -> ValidationPart:
    """Process this process's share of a validation's batches; see ``validate``."""
    was_training = model.training
    model.eval()
    number = len(model.classes)
    part = ValidationPart()
    for index, corpus in enumerate(sentences):
        batches = length_batches(corpus, min(recipe.validation.sentences, len(corpus)))
        for chosen in batches[processes.rank :: processes.size]:
            tokens, lengths = (torch.from_numpy(array).to(device) for array in corpus.whole(chosen))
            bound = min(tokens.size(1) + recipe.cycle.extra_tokens, model.maximum_vectors)
            code, mask = model.encoder(tokens, lengths)
            logits, wanted = model.decoder(index)(tokens, code, mask)
            part.nll += float(losses.reconstruction_loss(logits, wanted)) * len(wanted)
            part.tokens += len(wanted)
            source = tokenizer.decode_rows(tokens.tolist())
            back = tokenizer.decode_rows(model.decoder(index).greedy(code, mask, bound).tolist())
            part.exact += sum(a == b for a, b in zip(source, back, strict=True))
            part.sentences += len(source)
            others: dict[str, list[str]] = {}
            for target in range(number):
                if target == index:
                    continue
                rows = model.decoder(target).greedy(code, mask, bound)  # (batch, steps)
                answers = tokenizer.decode_rows(rows.tolist())
                real = (rows != PAD_ID) & (rows != END_ID)
                belief = model.scorer(rows, real)  # (batch, classes)
                part.accepted += int((belief.argmax(1) == target).sum())
                part.copies += sum(a == b for a, b in zip(source, answers, strict=True))
                part.sources += source
                part.rewrites += answers
                others[model.classes[target]] = answers
            for place, row in enumerate(chosen.tolist()):
                if row < recipe.validation.probes:
                    part.probes[index, row] = Probe(
                        model.classes[index],
                        source[place],
                        back[place],
                        {name: found[place] for name, found in others.items()},
                    )
            part.whole += source
    model.train(was_training)
    return part


@torch.no_grad()
def generate_part(
    model: ARAE,
    recipe: Recipe,
    tokenizer: Tokenizer,
    part: ValidationPart,
    device: torch.device,
    processes: Processes = ALONE,
) -> None:
    """Generate this process's share of sentences, from the same noise at every validation."""
    was_training = model.training
    model.eval()
    number = GENERATED_PER_SENTENCE * recipe.validation.sentences
    draw = torch.Generator().manual_seed(recipe.training.seed)
    noise = torch.randn(number, recipe.adversary.noise_size, generator=draw)
    rows = np.arange(number)[processes.rank :: processes.size]
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        mask = torch.ones(len(chosen), 1, dtype=torch.bool, device=device)
        code = model.generator(noise[chosen].to(device), mask)
        written = tokenizer.decode_rows(model.decoder(0).greedy(code, mask, recipe.data.maximum_tokens).tolist())
        part.generated += written
        for row, text in zip(chosen.tolist(), written, strict=True):
            if row < recipe.validation.probes:
                part.probes[len(model.classes), row] = Probe(model.classes[0], "(noise)", text, {})
    model.train(was_training)


def report_validation(parts: Sequence[ValidationPart], further: Scores) -> ValidationReport:
    """Combine the results of all processes; ``further`` adds a task's own scores."""
    probes = {place: probe for part in parts for place, probe in part.probes.items()}
    scores = {
        "nll": sum(part.nll for part in parts) / max(sum(part.tokens for part in parts), 1),
        "exact": 100.0 * sum(part.exact for part in parts) / max(sum(part.sentences for part in parts), 1),
    }
    scores |= further(parts, scores["nll"])
    return ValidationReport(
        {name: round(value, 4) for name, value in scores.items()}, [probes[place] for place in sorted(probes)]
    )


def generation_scores(parts: Sequence[ValidationPart], nll: float) -> dict[str, float]:
    """Score how well generated sentences predict held-out ones; words are separated by spaces."""
    generated = [text.split() for part in parts for text in part.generated]
    if not generated:
        return {"score": 100.0 * math.exp(-nll)}
    held_out = [text.split() for part in parts for text in part.whole]
    # One vocabulary for every validation, so that their figures can be compared.
    model = NgramLanguageModel.train(generated, vocabulary=sorted({word for words in held_out for word in words}))
    perplexity = model.score(held_out).perplexity
    distinct = 100.0 * len(set(map(tuple, generated))) / len(generated)
    return {"reverse_perplexity": perplexity, "distinct": distinct, "score": 1000.0 / perplexity}


def rewriting_scores(parts: Sequence[ValidationPart], nll: float) -> dict[str, float]:
    """Score the style of rewrites and their overlap with the source."""
    from sacrebleu.metrics.bleu import BLEU

    sources = [text for part in parts for text in part.sources]
    rewrites = [text for part in parts for text in part.rewrites]
    bleu = BLEU(tokenize="none", force=True).corpus_score(rewrites, [sources]).score
    style = 100.0 * sum(part.accepted for part in parts) / max(len(rewrites), 1)
    return {
        "style": style,
        "self_bleu": float(bleu),
        "copies": 100.0 * sum(part.copies for part in parts) / max(len(rewrites), 1),
        "score": float(np.sqrt(style * bleu)),
    }
