"""Compares graphs in another precision with the trained model, and decides if their answers are close enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from arae_transfer.export.graph_files import GraphFiles
from arae_transfer.export.parity import Row, decoding_feed, open_graphs
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.batching import pad
from arae_transfer.tokenizer import END_ID, PAD_ID

# What another precision may cost, in percentage points, before it has to be asked for. Both are losses against the
# trained model on the same sentences: the share of rewrites in the target class by the training's own style scorer,
# and BLEU to the source.
GREATEST_COST = 0.5

_BATCH = 64


@dataclass(frozen=True)
class Agreement:
    """How a variant's answers compare with the trained model's.

    Attributes:
        compared: Rewrites compared: every sentence to every class.
        identical: The share of rewrites that are the model's, token by token.
        tokens: The share of the model's tokens that the variant writes at the same position of the same rewrite.
        style_cost: By how many points the share of rewrites in the target class is lower, by the style scorer.
        self_bleu_cost: By how many points BLEU to the source is lower.
    """

    compared: int
    identical: float
    tokens: float
    style_cost: float
    self_bleu_cost: float

    @property
    def accepted(self) -> bool:
        """Whether the variant may run by default."""
        return max(self.style_cost, self.self_bleu_cost) <= GREATEST_COST

    def to_table(self) -> dict[str, Any]:
        """Return the figures and their bounds as JSON types."""
        return {
            "compared": self.compared,
            "identical": round(self.identical, 4),
            "tokens": round(self.tokens, 4),
            "style_cost": round(self.style_cost, 2),
            "self_bleu_cost": round(self.self_bleu_cost, 2),
            "greatest_cost": GREATEST_COST,
        }


def measure_agreement(
    model: ARAE, graphs: GraphFiles, rows: Sequence[Row], expected: Mapping[str, Sequence[Row]], maximum_length: int
) -> Agreement:
    """Rewrite rows to every class with a variant's graphs and compare the answers to the model's.

    Args:
        model: The trained model on the CPU, whose scorer judges style.
        graphs: The variant's graphs.
        rows: Ids with end ids.
        expected: The model's rewrites, by class.
        maximum_length: The length limit of a rewrite in tokens.
    """
    return compare_answers(model, rows, expected, rewrites_by_graphs(graphs, rows, maximum_length))


def compare_answers(
    model: ARAE, rows: Sequence[Row], expected: Mapping[str, Sequence[Row]], answers: Mapping[str, Sequence[Row]]
) -> Agreement:
    """Compare answers to the model's.

    Args:
        model: The trained model on the CPU, whose scorer judges style.
        rows: Ids with end ids.
        expected: The model's rewrites of the rows, by class.
        answers: The rewrites to compare with these.
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


def rewrites_by_graphs(graphs: GraphFiles, rows: Sequence[Row], maximum_length: int) -> dict[str, list[Row]]:
    """Rewrite rows to every class with graphs; arguments are those of ``measure_agreement``."""
    encode, sessions = open_graphs(graphs)
    answers: dict[str, list[Row]] = {name: [[] for _ in rows] for name in sessions}
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
    """Return the percentage of rewrites in the target class, by the style scorer."""
    accepted = total = 0
    for index, name in enumerate(model.classes):
        for start in range(0, len(answers[name]), _BATCH):
            tokens = torch.from_numpy(pad(answers[name][start : start + _BATCH])[0])
            real = (tokens != PAD_ID) & (tokens != END_ID)
            accepted += int((model.scorer(tokens, real).argmax(1) == index).sum())
            total += len(tokens)
    return 100.0 * accepted / total


def _self_bleu(rows: Sequence[Row], answers: Mapping[str, Sequence[Row]]) -> float:
    """Return the BLEU of rewrites against their sources, over tokens, 0 to 100."""
    from sacrebleu.metrics.bleu import BLEU

    def text(row: Row) -> str:
        return " ".join(map(str, (token for token in row if token != END_ID)))

    sources = [text(row) for _ in answers for row in rows]
    rewrites = [text(row) for own in answers.values() for row in own]
    return float(BLEU(tokenize="none", force=True).corpus_score(rewrites, [sources]).score)
