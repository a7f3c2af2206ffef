"""Rewriting by edits: a line for a line, the same answers however lines are batched, and the rest as it was typed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.editing.edits import find_edits
from arae_transfer.errors import AraeError
from arae_transfer.runtime.classifier import Classifier
from arae_transfer.runtime.code_space import CodeSpace
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.editing import edit_hypotheses
from arae_transfer.runtime.faithful import Restorer
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.preparation import PreparedSentence
from arae_transfer.runtime.rewrite import Status
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions

WORDS = ("cold", "warm", "rude", "slow", "quick", "lovely")
LINES = [
    *(f"The {thing} was {word} and {other}." for thing in ("food", "Soup") for word in WORDS for other in WORDS[:3]),
    "",
    "I paid 12 dollars to Mary-Jane at the Ritz; it was good!",
    "   ",
    "slow",
    "One sentence was slow. Another one was quick!",
    "日本語 だけ",
]


@pytest.fixture(scope="module")
def rewriter(exported_editor: Path) -> Rewriter:
    return Rewriter.load(exported_editor, threads=1, variant="int8")


@pytest.mark.parametrize("variant", ["int8", "fp32"])
@pytest.mark.parametrize("options", [DecodingOptions(beam=1), DecodingOptions(beam=3), DecodingOptions(sample=3)])
def test_batch_size_threads_and_order_change_nothing(
    exported_editor: Path, variant: str, options: DecodingOptions
) -> None:
    one = Rewriter.load(exported_editor, threads=1, variant=variant)
    answers = list(one.rewrites(LINES, "good", options=options))
    assert len(answers) == len(LINES)
    assert list(one.rewrites(LINES, "good", batch_size=1, options=options)) == answers
    assert list(one.rewrites(LINES, "good", batch_size=5, options=options)) == answers
    several = Rewriter.load(exported_editor, threads=3, variant=variant)
    assert list(several.rewrites(LINES[::-1], "good", batch_size=7, options=options)) == answers[::-1]
    assert len({answer.output for answer in answers}) > 10


def test_a_line_has_a_line_for_an_answer(rewriter: Rewriter) -> None:
    answers = list(rewriter.rewrites(LINES, "bad", options=DecodingOptions(beam=1)))
    assert [answer.source for answer in answers] == LINES
    assert not any("\n" in answer.output for answer in answers)
    by_line = dict(zip(LINES, answers, strict=True))
    assert by_line[""].status is Status.BLANK
    assert by_line["日本語 だけ"].status is Status.UNREAD
    assert by_line["One sentence was slow. Another one was quick!"].pieces == 2


def test_what_no_edit_touches_comes_back_as_it_was_typed(exported_editor: Path, editor: Any) -> None:
    rewriter = Rewriter.load(exported_editor, threads=1, variant="fp32")
    tokenizer = editor[2]
    line = "I paid 12 dollars to Mary-Jane at the Ritz; it was good!"
    (answer,) = rewriter.rewrites([line], "good", options=DecodingOptions(sample=24, seed=3))
    answers = answer.candidates
    source = tokenizer.encode("i paid _num_ dollars to mary-jane at the ritz ; it was good !")
    kept = 0
    for word, typed in (("_num_", "12"), ("mary-jane", "Mary-Jane"), ("ritz", "Ritz")):
        for each in answers:
            if f" {word.lower()} " in f" {each.output.lower()} " or typed in each.output:
                assert typed in each.output
                kept += 1
    assert kept > 10
    assert find_edits(source, source, tokenizer.begins_word) == []


def test_a_copy_is_the_last_resort_unless_it_is_sure(rewriter: Rewriter, exported_editor: Path) -> None:
    sure = DecodingOptions(beam=1, copy_above=0.0)
    copied = list(rewriter.rewrites(LINES[:12], "good", options=sure))
    assert {answer.status for answer in copied} == {Status.UNCHANGED}
    edited = list(rewriter.rewrites(LINES[:12], "good", options=DecodingOptions(beam=1, copy_above=1.0)))
    assert sum(answer.status is Status.REWRITTEN for answer in edited) > 8
    assert [answer.keep for answer in edited] == [answer.keep for answer in copied]
    assert all(answer.keep is not None and 0 < answer.keep < 1 for answer in edited)
    # In a search the copy is among the candidates: behind all others, or before them.
    options = DecodingOptions(beam=4, copy_above=1.0)
    for line, answer in zip(LINES[:12], rewriter.rewrites(LINES[:12], "good", options=options), strict=True):
        outputs = [each.output for each in answer.candidates]
        # Only what is not faithful, such as a word twice in a row, stands behind the copy.
        assert line in outputs[1:]
        assert answer.output in (outputs[0], line)
    options = DecodingOptions(beam=4, copy_above=0.0)
    for line, answer in zip(LINES[:12], rewriter.rewrites(LINES[:12], "good", options=options), strict=True):
        assert (answer.output, answer.status) == (line, Status.UNCHANGED)
    with pytest.raises(AraeError, match="no probability"):
        DecodingOptions(copy_above=1.5)


def test_a_line_stays_where_only_its_copy_keeps_what_must(rewriter: Rewriter) -> None:
    lines = [
        f"{thing} at 3 , 4 , {number} and 6 pm ." for thing in ("Food", "Soup", "Rooms") for number in range(7, 11)
    ]
    for options in (DecodingOptions(beam=1, copy_above=1.0), DecodingOptions(beam=4, copy_above=1.0)):
        answers = list(rewriter.rewrites(lines, "good", options=options))
        assert not any(answer.status is Status.UNCHANGED for answer in answers)
        kept = [answer for answer in answers if answer.status is Status.KEPT]
        assert len(kept) > 2
        for answer in kept:
            assert answer.output == answer.source
            assert answer.unfaithful > 0
            assert answer.keep is not None
            assert {each.output for each in answer.candidates} <= {answer.source}


def test_a_line_of_sentences_keeps_where_each_does(rewriter: Rewriter) -> None:
    sentences = ["One sentence was slow.", "Another one was quick!"]
    options = DecodingOptions(beam=1)
    alone = [answer.keep for answer in rewriter.rewrites(sentences, "good", options=options)]
    (joined,) = rewriter.rewrites([" ".join(sentences)], "good", options=options)
    assert joined.keep == pytest.approx(math.prod(each or 0.0 for each in alone))


def test_hypotheses_have_the_fluency_of_their_choices(exported_editor: Path, editor: Any) -> None:
    sessions = Sessions(ModelFolder.find(exported_editor), "cpu", 1, "fp32")
    row = [*editor[2].encode("the food was cold ."), 3]
    (found,) = edit_hypotheses(sessions, [row], "bad", 4)
    *edits, copy = found
    assert len(edits) == 4
    assert [each.total for each in edits] == sorted((each.total for each in edits), reverse=True)
    for each in edits:
        assert each.choices >= 3
        assert each.fluency == pytest.approx(each.total / each.choices)
        assert each.finished
    assert (copy.tokens, copy.choices) == (row, 1)
    assert copy.keep == pytest.approx(math.exp(copy.total))


def test_a_step_calls_the_decoder_once_for_all_lines(exported_editor: Path, editor: Any) -> None:
    sessions = Sessions(ModelFolder.find(exported_editor), "cpu", 1, "int8")
    rows = [[*editor[2].encode(line.lower()), 3] for line in LINES[:32]]
    rows = [row for row in rows if 8 < len(row) <= 16]
    ran: list[list[str]] = []
    run = sessions.run_graph

    def counted(session: Any, outputs: list[str], feed: Any) -> Any:
        ran.append(outputs)
        return run(session, outputs, feed)

    sessions.run_graph = counted  # type: ignore[method-assign]
    found = edit_hypotheses(sessions, rows, "good", 3)
    steps = sum("start" in outputs for outputs in ran)
    assert len(ran) == steps + 1
    longest = max(each.choices for own in found for each in own)
    assert longest <= steps <= longest + 20
    assert len(rows) > 20


def test_the_style_scorer_classifies(exported_editor: Path) -> None:
    (verdict,) = Classifier.load(exported_editor, threads=1).classify(["the food was cold ."])
    assert verdict.label in ("bad", "good")
    assert sum(verdict.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_the_command_tells_how_sure_it_is(exported_editor: Path) -> None:
    arguments = ["transfer", "--model", str(exported_editor), "--to", "good", "--threads", "1", "--json", "--beam", "2"]
    arguments += ["--copy-above", "1", "--from", "auto", "--if-already", "rewrite", "--min-confidence", "0"]
    import subprocess
    import sys

    ran = subprocess.run(
        [sys.executable, "-m", "arae_transfer", *arguments],
        input="the food was cold .\n\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second = map(json.loads, ran.stdout.splitlines())
    assert 0 < first["keep"] < 1
    assert first["candidates"][-1]["output"] == "the food was cold ."
    assert first["from"] in ("bad", "good")
    assert second["output"] == ""
    assert "keep" not in second
    assert CliRunner().invoke(app, ["transfer", "--copy-above"]).exit_code == 2


def test_articles_agree_and_no_word_comes_twice(rewriter: Rewriter) -> None:
    normalizer = rewriter._normalizer("auto")
    restorer = Restorer(normalizer, rewriter._vocabulary, edits=True)
    text, surface = normalizer.normalize("It was an awful soup.")
    sentence = PreparedSentence("It was an awful soup.", text, [4, 3], surface, truncated=False)
    assert restorer.restore(sentence, "it was an lovely soup .") == "It was a lovely soup."
    assert Restorer(normalizer, rewriter._vocabulary, edits=False).restore(sentence, "it was an lovely soup .") == (
        "It was an lovely soup."
    )
    assert restorer.is_faithful(sentence, "it was a good soup .", "It was a good soup.")
    assert not restorer.is_faithful(sentence, "it was a good good soup .", "It was a good good soup.")


def test_models_with_a_code_space_are_named_where_there_is_none(exported_editor: Path) -> None:
    with pytest.raises(AraeError, match="from a code") as raised:
        CodeSpace(Sessions(ModelFolder.find(exported_editor)))
    hint = raised.value.hint or ""
    assert "yelp-sentiment" in hint
    assert "reviews-sentiment" not in hint
