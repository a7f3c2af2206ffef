"""How far the answers of graphs in another arithmetic are from the trained model's, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from arae_transfer.export.parity import Row, decoding_feed, open_graph
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.batching import pad
from arae_transfer.tokenizer import END_ID, PAD_ID

# What another arithmetic may cost, in points of a hundred, before it has to be asked for. Both are losses against the
# trained model on the same sentences: the share of rewrites that the training's own scorer takes for the target class,
# and BLEU to the source.
GREATEST_COST = 0.5

_BATCH = 64


@dataclass(frozen=True)
class Agreement:
    """How the answers of a variant's graphs compare to the trained model's.

    Attributes:
        compared: Rewrites compared: every sentence to every class.
        identical: The share of rewrites that are the model's, token by token.
        tokens: The share of the model's tokens that stand at the same place of the same rewrite.
        style_cost: By how many points fewer of the rewrites the training's scorer takes for the target class.
        self_bleu_cost: By how many points BLEU to the source is lower.
    """

    compared: int
    identical: float
    tokens: float
    style_cost: float
    self_bleu_cost: float

    @property
    def accepted(self) -> bool:
        """Whether the variant may be used without being asked for."""
        return max(self.style_cost, self.self_bleu_cost) <= GREATEST_COST

    def to_table(self) -> dict[str, Any]:
        """Return the figures with the bound that they were held to, as JSON types."""
        return {
            "compared": self.compared,
            "identical": round(self.identical, 4),
            "tokens": round(self.tokens, 4),
            "style_cost": round(self.style_cost, 2),
            "self_bleu_cost": round(self.self_bleu_cost, 2),
            "greatest_cost": GREATEST_COST,
        }


def measure_agreement(
    model: ARAE,
    encoder: bytes,
    decoders: Mapping[str, bytes],
    weights: tuple[str, bytes] | None,
    rows: Sequence[Row],
    expected: Mapping[str, Sequence[Row]],
    maximum_length: int,
    further: Sequence[tuple[str, bytes]] = (),
) -> Agreement:
    """Rewrite rows to every class with a variant's graphs and compare the answers to the model's.

    Args:
        model: The trained model on the CPU, whose scorer judges style.
        encoder: The variant's encoder, serialized.
        decoders: Its decoders.
        weights: Name and content of the file of weights that they share, or None.
        rows: Ids with end ids.
        expected: The model's rewrites, by class.
        maximum_length: The greatest number of tokens of a rewrite.
        further: The names and the contents of further files that hold weights of the graphs.
    """
    answers = rewrites_by_graphs(encoder, decoders, weights, rows, maximum_length, further)
    return compare_answers(model, rows, expected, answers)


def compare_answers(
    model: ARAE, rows: Sequence[Row], expected: Mapping[str, Sequence[Row]], answers: Mapping[str, Sequence[Row]]
) -> Agreement:
    """Compare answers to the model's.

    Args:
        model: The trained model on the CPU, whose scorer judges style.
        rows: Ids with end ids.
        expected: The model's rewrites of the rows, by class.
        answers: The rewrites that are compared with these.
    """
    pairs = [pair for name in model.classes for pair in zip(expected[name], answers[name], strict=True)]
    same = sum(sum(a == b for a, b in zip(wanted, answer, strict=False)) for wanted, answer in pairs)
    return Agreement(
        compared=len(pairs),
        identical=sum(list(wanted) == answer for wanted, answer in pairs) / len(pairs),
        tokens=same / sum(len(wanted) for wanted, _ in pairs),
        style_cost=_accepted(model, expected) - _accepted(model, answers),
        self_bleu_cost=_self_bleu(rows, expected) - _self_bleu(rows, answers),
    )


def rewrites_by_graphs(
    encoder: bytes,
    decoders: Mapping[str, bytes],
    weights: tuple[str, bytes] | None,
    rows: Sequence[Row],
    maximum_length: int,
    further: Sequence[tuple[str, bytes]] = (),
) -> dict[str, list[Row]]:
    """Rewrite rows to every class with graphs; arguments and answers are as those of ``measure_agreement``."""
    encode = open_graph(encoder, weights, *further)
    sessions = {name: open_graph(content, weights, *further) for name, content in decoders.items()}
    answers: dict[str, list[Row]] = {name: [[] for _ in rows] for name in decoders}
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        tokens, lengths = pad([rows[number] for number in chosen])
        code, mask = encode.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
        for name, session in sessions.items():
            feed = decoding_feed(session, code, mask, maximum_length, tokens)
            (found,) = session.run(["tokens"], feed)
            for number, answer in zip(chosen, found.tolist(), strict=True):
                answers[name][number] = answer[: answer.index(END_ID) + 1] if END_ID in answer else answer
    return answers


@torch.no_grad()
def _accepted(model: ARAE, answers: Mapping[str, Sequence[Row]]) -> float:
    """Return how many percent of rewrites the training's scorer takes for the target class."""
    accepted = total = 0
    for index, name in enumerate(model.classes):
        for start in range(0, len(answers[name]), _BATCH):
            tokens = torch.from_numpy(pad(answers[name][start : start + _BATCH])[0])
            real = (tokens != PAD_ID) & (tokens != END_ID)
            accepted += int((model.scorer(tokens, real).argmax(1) == index).sum())
            total += len(tokens)
    return 100.0 * accepted / total


def _self_bleu(rows: Sequence[Row], answers: Mapping[str, Sequence[Row]]) -> float:
    """Return BLEU of rewrites to their sources, over tokens, 0 to 100."""
    from sacrebleu.metrics.bleu import BLEU

    def text(row: Row) -> str:
        return " ".join(map(str, (token for token in row if token != END_ID)))

    sources = [text(row) for _ in answers for row in rows]
    rewrites = [text(row) for own in answers.values() for row in own]
    return float(BLEU(tokenize="none", force=True).corpus_score(rewrites, [sources]).score)
