"""Long lines: cut where sentences end, put together again as they were, and one line in remains one line out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.runtime.preparation import LONGEST_SPLIT
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.text.sentences import split_in_two, split_sentences

SENTENCES = ["the food was cold .", "great place , i will come back !", "we waited an hour ?"]


@pytest.fixture(scope="module")
def rewriter(pristine_model: Path) -> Rewriter:
    return Rewriter.load(pristine_model, device="cpu", threads=1)


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("the food was cold . the waiter was rude .", ["the food was cold .", "the waiter was rude ."]),
        ("It was cold. We left!  Why?\tNo idea", ["It was cold.", "We left!", "Why?", "No idea"]),
        ("it was cold. we left", ["it was cold.", "we left"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("awful!!! never again", ["awful!!!", "never again"]),
        ("wait ... what ? ok", ["wait ... what ?", "ok"]),
        ("so... we left. Fine... We stayed", ["so... we left.", "Fine...", "We stayed"]),
        ("Dr. Smith came at 5 p.m. on time, e.g. today, for $3.50 at J. Smith's", None),
        ("My wife and I. We left", ["My wife and I.", "We left"]),
        ("We tried plan B. It failed", None),
        ("visit www.example.com or call 1.800.555", None),
        ("<li>Cold.</li> <li>Rude!</li>", ["<li>Cold.</li>", "<li>Rude!</li>"]),
        ("It was cold.<br>We left.<BR /> \tBad", ["It was cold.", "We left.", "Bad"]),
        ("ends here.", None),
        ("ends here .  ", None),
        ("!!! ? .", None),
        ("", None),
    ],
)
def test_lines_are_cut_where_sentences_end(line: str, pieces: list[str] | None) -> None:
    assert list(split_sentences(line).texts) == (pieces or [line])


@pytest.mark.parametrize("seed", range(20))
def test_pieces_joined_are_the_line(seed: int) -> None:
    generator = random.Random(seed)
    parts = [
        "word",
        ".",
        "!",
        "?",
        "...",
        " ",
        "  ",
        "\t",
        "\u00a0",
        "Dr.",
        "<br>",
        "</li>",
        "p.m.",
        "'",
        '"',
        ")",
        "A",
        "…",
        "3.5",
        ",",
    ]
    for _ in range(200):
        line = "".join(generator.choices(parts, k=generator.randrange(20)))
        cut = split_sentences(line)
        assert cut.join(list(cut.texts)) == line
        if (halves := split_in_two(line)) is not None:
            assert halves.join(list(halves.texts)) == line
            assert all(text.strip() for text in halves.texts)


def test_a_text_is_cut_between_clauses_near_its_middle() -> None:
    cut = split_in_two("it was cold and we were tired, so we left before the meal")
    assert cut is not None and cut.texts == ("it was cold and we were tired,", "so we left before the meal")
    # A clause far from the middle is no better than a word in it.
    cut = split_in_two("so, one two three four five six seven eight")
    assert cut is not None and cut.texts == ("so, one two three four", "five six seven eight")
    cut = split_in_two("one two three four")
    assert cut is not None and cut.texts == ("one two", "three four")
    assert split_in_two("unbreakable") is None


@pytest.mark.parametrize("gap", [" ", "   ", "\t", "\u00a0 "])
def test_long_lines_are_rewritten_whole_and_keep_their_blanks(rewriter: Rewriter, gap: str) -> None:
    line = gap.join(SENTENCES * 5)
    (rewrite,) = rewriter.rewrites([line], "positive")  # a class that copies
    assert rewrite.output == line
    assert (rewrite.pieces, rewrite.truncated, rewrite.kept) == (15, False, False)


def test_a_line_without_sentence_ends_is_cut_until_it_fits(rewriter: Rewriter) -> None:
    line = " ".join(["the food was cold and the waiter was rude"] * 12)
    (rewrite,) = rewriter.rewrites([line], "positive")
    assert rewrite.output == line
    assert rewrite.pieces > 3 and not rewrite.truncated
    (word,) = rewriter.rewrites(["x" * 2000], "positive")
    assert word.truncated and word.pieces == 1


@pytest.mark.parametrize("to", ["positive", "negative", "neutral tone"])
def test_the_pieces_of_a_line_are_answered_as_lines_of_their_own(rewriter: Rewriter, to: str) -> None:
    (together,) = rewriter.transfer([" ".join(SENTENCES)], to)
    assert together == " ".join(rewriter.transfer(SENTENCES, to))


@pytest.mark.parametrize("long", ["split", "keep", "truncate"])
def test_one_line_in_is_one_line_out_in_any_batch(rewriter: Rewriter, long: str) -> None:
    generator = random.Random(3)
    lines = [" ".join(generator.choices(SENTENCES, k=generator.randrange(8))) for _ in range(60)]
    answers = list(rewriter.transfer(lines, "negative", long=long))
    assert len(answers) == len(lines)
    assert list(rewriter.transfer(lines, "negative", long=long, batch_size=3)) == answers
    assert [next(rewriter.transfer([line], "negative", long=long)) for line in lines] == answers


def test_too_long_lines_are_kept_or_truncated_on_demand(rewriter: Rewriter) -> None:
    lines = [SENTENCES[0], " ".join(SENTENCES * 5), ""]
    short, kept, blank = rewriter.rewrites(lines, "neutral tone", long="keep")
    assert (kept.output, kept.kept, kept.pieces) == (lines[1], True, 0)
    assert short.output != short.source and not short.kept and not blank.kept
    _, cut, _ = rewriter.rewrites(lines, "positive", long="truncate")
    assert cut.truncated and cut.output and lines[1].startswith(cut.output) and cut.output != lines[1]
    with pytest.raises(AraeError, match="unknown way 'drop'"):
        rewriter.rewrites(lines, "positive", long="drop")


@pytest.mark.parametrize(
    "line", ["a " * 500_000, "x" * 1_000_000, "a. " * 300_000, ". " * 500_000, " " * 900_000 + "."]
)
def test_a_huge_line_is_bounded(rewriter: Rewriter, line: str) -> None:
    (rewrite,) = rewriter.rewrites([line], "positive")
    assert rewrite.truncated == (len(line.split()[0]) * len(line.split()) > LONGEST_SPLIT)
    assert rewrite.pieces < 2000 and len(rewrite.output) <= LONGEST_SPLIT
