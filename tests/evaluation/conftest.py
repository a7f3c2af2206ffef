"""A small corpus, and one evaluation of known rewrites of it that many tests look at."""

from __future__ import annotations

import pytest

from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate
from arae_transfer.evaluation.outputs import Direction, Outputs, References
from arae_transfer.evaluation.real_text import LabelledText

LINES = 60
FORTH, BACK = Direction("negative", "positive"), Direction("positive", "negative")


class Known:
    """Texts whose scores can be foretold: rewrites that copy, that are real text, and human ones."""

    def __init__(self) -> None:
        sentences = make_sentences(5, train_lines=400, held_out_lines=LINES)
        self.source = LabelledText("made test", sentences["test"])
        self.judges = LabelledText("made train", sentences["train"], caution="the judges are made up")
        test = sentences["test"]
        self.copies: Outputs = {FORTH: list(test["negative"]), BACK: list(test["positive"])}
        self.real: Outputs = {FORTH: list(test["positive"]), BACK: list(test["negative"])}
        valid = sentences["valid"]
        self.human: References = {
            FORTH: [[f"{line} indeed" for line in test["negative"]], valid["positive"]],
            BACK: [[f"{line} indeed" for line in test["positive"]], valid["negative"]],
        }
        self.options = EvaluationOptions(resamples=200)

    def evaluate(self) -> Evaluation:
        """Evaluate the copies against the real text."""
        return evaluate(
            self.source, {"copies": self.copies, "real": self.real}, self.judges, None, self.human, self.options
        )


@pytest.fixture(scope="session")
def known() -> Known:
    """Return the texts."""
    return Known()


@pytest.fixture(scope="session")
def evaluation(known: Known) -> Evaluation:
    """Return their evaluation."""
    return known.evaluate()
