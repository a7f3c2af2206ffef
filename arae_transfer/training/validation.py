"""Scores and probe rewrites on held-out sentences while training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from arae_transfer.corpus.batches import Examples, TokenizedSentences
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer
from arae_transfer.training import losses

_BATCH = 128


@dataclass(frozen=True)
class Probe:
    """One fixed held-out sentence, as it comes back and as it is rewritten.

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
    """What a validation found.

    Attributes:
        scores: ``nll`` per token of reconstruction, ``exact`` share of exact reconstructions in percent, ``style``
            percent of rewrites that the training's own scorer accepts (an optimistic judge: use `arae evaluate` for
            an independent one), ``self_bleu`` of rewrites to their sources, ``copies`` percent, and ``score``, the
            geometric mean of style and self-BLEU that chooses the best checkpoint. Of images: see
            ``validate_images``.
        probes: The probe sentences.
        picture: A PNG of held-out images, their reconstructions and generated ones; None for text.
    """

    scores: dict[str, float]
    probes: list[Probe]
    picture: bytes | None = None


def length_batches(sentences: Examples, count: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the first ``count`` sentences in batches of about equal lengths."""
    order = np.argsort(sentences.lengths[:count], kind="stable")
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]


def _decode(rows: Tensor, tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode(row) for row in rows.tolist()]


@torch.no_grad()
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
    from sacrebleu.metrics.bleu import BLEU

    was_training = model.training
    model.eval()
    number = len(model.classes)
    nll, tokens_seen, exact, total = 0.0, 0, 0, 0
    accepted, copies, pairs = 0.0, 0, 0
    sources: list[str] = []
    rewritten: list[str] = []
    probes: list[Probe] = []
    for index, corpus in enumerate(sentences):
        texts: dict[int, tuple[str, str, dict[str, str]]] = {}
        for chosen in length_batches(corpus, min(recipe.validation.sentences, len(corpus))):
            tokens, lengths = (torch.from_numpy(array).to(device) for array in corpus.whole(chosen))
            bound = min(tokens.size(1) + recipe.cycle.extra_tokens, model.maximum_vectors)
            code, mask = model.encoder(tokens, lengths)
            logits, wanted = model.decoder(index)(tokens, code, mask)
            nll += float(losses.reconstruction_loss(logits, wanted)) * len(wanted)
            tokens_seen += len(wanted)
            source = _decode(tokens, tokenizer)
            back = _decode(model.decoder(index).greedy(code, mask, bound), tokenizer)
            exact += sum(a == b for a, b in zip(source, back, strict=True))
            total += len(source)
            others: dict[str, list[str]] = {}
            for target in range(number):
                if target == index:
                    continue
                rows = model.decoder(target).greedy(code, mask, bound)  # (batch, steps)
                answers = _decode(rows, tokenizer)
                real = (rows != PAD_ID) & (rows != END_ID)
                belief = model.scorer(rows, real)  # (batch, classes)
                accepted += int((belief.argmax(1) == target).sum())
                copies += sum(a == b for a, b in zip(source, answers, strict=True))
                pairs += len(answers)
                sources += source
                rewritten += answers
                others[model.classes[target]] = answers
            for place, row in enumerate(chosen.tolist()):
                if row < recipe.validation.probes:
                    texts[row] = (
                        source[place],
                        back[place],
                        {name: found[place] for name, found in others.items()},
                    )
        for row in sorted(texts):
            probes.append(Probe(model.classes[index], *texts[row]))
    model.train(was_training)
    bleu = BLEU(tokenize="none", force=True).corpus_score(rewritten, [sources]).score
    style = 100.0 * accepted / max(pairs, 1)
    scores = {
        "nll": nll / max(tokens_seen, 1),
        "exact": 100.0 * exact / max(total, 1),
        "style": style,
        "self_bleu": float(bleu),
        "copies": 100.0 * copies / max(pairs, 1),
        "score": float(np.sqrt(style * bleu)),
    }
    return ValidationReport({name: round(value, 4) for name, value in scores.items()}, probes)
