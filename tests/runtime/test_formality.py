"""The formality model reads and writes ordinary text: capitals and marks are its own, what is protected stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.rewrite import Status
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.text.protected import Protector

FOLDER = Path(__file__).resolve().parents[2] / "exported" / "formality"
PROTECTED = [
    "yeah the invoice is like $1,299.50, it's at https://example.com/a?b=1 btw",
    "gonna ask Dana Kowalski (dana@example.com), she's super nice",
    "don't forget the 3 bags, flight 3056 leaves at 7:30pm!",
    "can't open notes.txt on my ThinkPad X1, any ideas? 😡",
    "We have not received 2 of the 12 units that @northwind sent on 3/14.",
]


@pytest.fixture(scope="module")
def rewriter() -> Rewriter:
    return Rewriter.load("formality", device="cpu", threads=1)


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 15e6


def test_contractions_are_written_out_and_back(rewriter: Rewriter) -> None:
    assert list(rewriter.transfer(["It wasn't good, and they don't care."], "formal")) == [
        "It was not good, and they do not care."
    ]
    (casual,) = rewriter.transfer(["It was not good, and they do not care."], "casual")
    assert "n't" in casual and " n't" not in casual
    assert casual[0] == "I"


@pytest.mark.parametrize("to", ["casual", "formal"])
@pytest.mark.parametrize("options", [DecodingOptions(), DecodingOptions(beam=1)], ids=["beam", "greedy"])
def test_what_is_protected_stays(rewriter: Rewriter, to: str, options: DecodingOptions) -> None:
    protector = Protector()
    answers = list(rewriter.rewrites(PROTECTED, to, options=options))
    for line, answer in zip(PROTECTED, answers, strict=True):
        assert protector.sequence(answer.output) == protector.sequence(line), answer.output
    assert any(answer.status is Status.REWRITTEN for answer in answers)
    assert "Dana Kowalski" in answers[1].output
