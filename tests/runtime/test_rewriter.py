"""The promises of rewriting: one line in, one line out, in order, and nothing but speed depends on the batches."""

from __future__ import annotations

import json
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.layout import ExportLayout
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.rewrite import Status
from arae_transfer.runtime.rewriter import Rewriter

Expected = Callable[[str, str], str]

FRAGMENTS = (
    "the food was cold", "great place , i will come back !", " ", "\t", "\u00a0", "\u3000", "\u2028", "\u2029",
    "\u0085", "\x00", "\x07", "\x1b[31m", "\r", "\x0b", "\x0c", "\x1c", "\n", "é", "日本語", "💬👩\u200d👧",
    "\ufeff", "\ufffd", "\u200b", "\ud800", "\udc80", "a" * 500, "!" * 100, "[bold]x[/bold]", "%s {0} \\n",
    "<s> </s> <unk> <pad>", "▁▁▁", "<0x41>", "ﷺ", "\u0301" * 30, "\u202e", "-", "0", "",
)  # fmt: skip
LINE_BREAKS = set("\x00\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


def nasty_lines(seed: int, number: int = 120) -> list[str]:
    """Return lines that programs get wrong, the same ones for a seed."""
    generator = random.Random(seed)
    return ["".join(generator.choices(FRAGMENTS, k=generator.randrange(6))) for _ in range(number)]


@pytest.fixture(scope="module")
def rewriter(pristine_model: Path) -> Rewriter:
    return Rewriter.load(pristine_model, device="cpu", threads=1)


@pytest.mark.parametrize("to", ["positive", "negative", "neutral tone", "endless"])
@pytest.mark.parametrize("seed", range(4))
def test_any_lines_give_as_many_answers_without_line_breaks(rewriter: Rewriter, to: str, seed: int) -> None:
    lines = nasty_lines(seed)
    answers = list(rewriter.transfer(lines, to))
    assert len(answers) == len(lines)
    for line, answer in zip(lines, answers, strict=True):
        assert not LINE_BREAKS & set(answer)
        answer.encode()
        if not line.strip():
            assert answer == ""


@pytest.mark.parametrize("to", ["positive", "negative", "neutral tone"])
def test_answers_are_those_of_the_graphs_in_the_order_of_the_lines(
    rewriter: Rewriter, expected_rewrite: Expected, to: str
) -> None:
    generator = random.Random(5)
    words = [word for sentence in FRAGMENTS[:2] for word in sentence.split()] + ["terrible", "hungry", "hour"]
    lines = [" ".join(generator.choices(words, k=generator.randrange(0, 15))) for _ in range(400)]
    answers = list(rewriter.transfer(lines, to, long="truncate"))
    wanted = [expected_rewrite(line, to) if any(map(str.isalpha, line)) else line for line in lines]
    assert answers == wanted


@pytest.mark.parametrize("to", ["neutral tone", "endless"])
def test_the_batch_size_the_threads_and_the_chunks_change_nothing(pristine_model: Path, to: str) -> None:
    lines = nasty_lines(seed=7)
    rewrites = []
    for threads in (1, 2):
        rewriter = Rewriter.load(pristine_model, device="cpu", threads=threads)
        for size in (1, 2, 7, 64, 1000):
            rewrites.append(list(rewriter.rewrites(lines, to, batch_size=size)))
        rewrites.append([one for line in lines for one in rewriter.rewrites([line], to)])
    assert all(other == rewrites[0] for other in rewrites[1:])


def test_a_repeated_line_has_one_answer(rewriter: Rewriter) -> None:
    lines = [line for seed in range(3) for line in nasty_lines(seed)] * 2
    answers = list(rewriter.transfer(lines, "negative", batch_size=13))
    assert answers[: len(lines) // 2] == answers[len(lines) // 2 :]


@pytest.mark.parametrize(
    "blank", ["", " ", "\t", " \u00a0\u3000 ", "\r", "\u2028", "\x0c\x1c\x85", "\x00", " " * 100_000]
)
def test_a_blank_line_is_not_sent_to_the_model(rewriter: Rewriter, monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    monkeypatch.setattr(rewriter._sessions, "open", None)  # any use of the model would fail
    monkeypatch.setattr(rewriter._sessions, "run_file", None)
    (rewrite,) = rewriter.rewrites([blank], "endless")
    assert rewrite.output == ""
    assert rewrite.source == blank
    assert (rewrite.tokens, rewrite.truncated) == (0, False)


def test_a_long_line_is_cut_and_says_so(rewriter: Rewriter) -> None:
    most = rewriter.folder.maximum_tokens - 1
    lines = ["the food", "the " * most, "the " * (most + 1)]
    short, fitting, long = rewriter.rewrites(lines, "positive", long="truncate")
    assert (short.truncated, fitting.truncated, long.truncated) == (False, False, True)
    assert fitting.tokens == long.tokens == most
    assert long.output == fitting.output == " ".join(["the"] * most)


HUGE_LINES = {
    "words": "a " * 500_000,
    "one word": "x" * 1_000_000,
    "bytes": "💬" * 200_000,
    "leading blanks": " \t" * 400_000 + "the food",
    "trailing blanks": "the food" + " " * 900_000,
    "nul": "\x00" * 900_000 + ".",
}


@pytest.mark.parametrize("line", HUGE_LINES.values(), ids=HUGE_LINES.keys())
def test_a_huge_line_costs_little_more_than_a_long_one(rewriter: Rewriter, line: str) -> None:
    def seconds(read: str) -> float:
        began = time.process_time()
        list(rewriter.rewrites([read], "positive", long="truncate"))
        return time.process_time() - began

    # The square would be a hundred times as much.
    assert seconds(line) < 20 * seconds(line[: len(line) // 10]) + 0.1
    (rewrite,) = rewriter.rewrites([line], "positive", long="truncate")
    assert len(rewrite.output) < 2000 or rewrite.status is Status.NOT_PROSE
    assert rewrite.truncated == (len(line.split()) > 2 or len(line.strip(" \t\x00")) > 100)


def test_blanks_do_not_count_against_the_bound(rewriter: Rewriter) -> None:
    (rewrite,) = rewriter.rewrites([" " * 100_000 + "the" + " " * 100_000 + "food" + " " * 100_000], "positive")
    assert (rewrite.output.split(), rewrite.truncated) == (["the", "food"], False)


def test_an_answer_without_an_end_says_so(rewriter: Rewriter) -> None:
    ended, endless = (next(rewriter.rewrites(["the food"], to)) for to in ("positive", "endless"))
    assert (ended.unfinished, endless.unfinished) == (False, True)


def test_a_single_string_is_refused(rewriter: Rewriter) -> None:
    with pytest.raises(TypeError, match="list of lines"):
        rewriter.transfer("the food was cold", "positive")


@pytest.mark.parametrize(
    "arguments", [{"to": "nothing"}, {"to": "ne"}, {"form": "strange"}, {"batch_size": 0}], ids=repr
)
def test_a_wrong_wish_is_refused_before_the_first_answer(rewriter: Rewriter, arguments: dict[str, str]) -> None:
    with pytest.raises(AraeError):
        rewriter.transfer([], **{"to": "positive", **arguments})  # type: ignore[arg-type]


def test_with_a_batch_of_one_no_line_is_read_ahead(rewriter: Rewriter) -> None:
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for _ in range(5):
            taken += 1
            yield "the food"

    for number, _ in enumerate(rewriter.transfer(lines(), "positive", batch_size=1), start=1):
        assert taken == number


def test_the_class_may_be_shortened(rewriter: Rewriter) -> None:
    (rewrite,) = rewriter.rewrites(["the food"], "NEU")
    assert rewrite.to == "neutral tone"


def test_a_rewriter_survives_pickling(rewriter: Rewriter) -> None:
    again = pickle.loads(pickle.dumps(rewriter))
    assert list(again.transfer(["the food was cold"], "negative")) == list(
        rewriter.transfer(["the food was cold"], "negative")
    )
    assert again._sessions.wishes == ("cpu", 1, "auto")


def test_threads_may_share_a_rewriter(pristine_model: Path, expected_rewrite: Expected) -> None:
    rewriter = Rewriter.load(pristine_model, device="cpu", threads=1)
    lines = ["the food was cold", "great place !", "they were so nice"] * 20
    answers: dict[str, list[str]] = {}

    def work(to: str) -> None:
        answers[to] = list(rewriter.transfer(lines, to, batch_size=4))

    threads = [threading.Thread(target=work, args=(to,)) for to in ("positive", "negative", "neutral tone")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {to: [expected_rewrite(line, to) for line in lines] for to in answers}
    assert len(answers) == 3


def test_only_what_is_needed_is_opened(small_model: Path) -> None:
    ExportLayout(small_model).decoder("negative").unlink()
    rewriter = Rewriter.load(small_model, device="cpu")
    assert list(rewriter.transfer(["the food"], "positive")) == ["the food"]
    with pytest.raises(AraeError, match=r"decoder\.negative\.onnx is missing"):
        list(rewriter.transfer(["the food"], "negative"))


def test_a_form_from_the_future_is_refused(small_model: Path) -> None:
    path = ExportLayout(small_model).config
    config = json.loads(path.read_text())
    config["form"]["from_the_future"] = 1
    path.write_text(json.dumps(config))
    with pytest.raises(AraeError, match="from_the_future"):
        Rewriter.load(small_model, device="cpu").prepare("positive")


def test_accents_emoji_and_addresses_are_kept() -> None:
    shipped_rewriter = Rewriter.load(device="cpu")
    lines = [
        "The Café was awful, café staff rude!",
        "the soup was bad 😡",
        "the łódź pub was terrible .",
        "It was awful!",
    ]
    lines.append("The staff at www.Joe.com/a?b=C is rude!")
    parts = (
        ("The Café was ", ", café staff "),
        (" 😡",),
        ("the łódź pub was ",),
        (),
        ("The staff at www.Joe.com/a?b=C is ",),
    )
    rewrites = list(shipped_rewriter.rewrites(lines, "positive"))
    for part, each in zip(parts, rewrites, strict=True):
        assert all(words in each.output for words in part), each.output
        assert each.output != each.source
        assert (each.unread, each.pieces) == (0, 1)
    # One at a time, or ordered differently, they are read alike.
    assert [next(iter(shipped_rewriter.rewrites([line], "positive"))).output for line in lines] == [
        each.output for each in rewrites
    ]


def test_tags_stay_around_what_they_marked() -> None:
    rewriter = Rewriter.load(device="cpu")
    lines = [
        "<p>The food was bad</p>",
        "<p>Bad.</p>",
        "they were <b>rude</b> .",
        "Fish &amp; chips were cold<br/>",
        "<i><b>",
    ]
    expected = (
        "<p>The food was {}</p>",
        "<p>{}.</p>",
        "they were <b>{}</b> .",
        "Fish &amp; chips were {}<br/>",
        "<i><b>",
    )
    for shape, each in zip(expected, rewriter.rewrites(lines, "positive"), strict=True):
        before, _, after = shape.partition("{}")
        assert each.output.startswith(before) and each.output.endswith(after)
        said = each.output[len(before) : len(each.output) - len(after)]
        assert "<" not in said
        assert (each.status is Status.NOT_PROSE) == (each.source == "<i><b>")


def test_what_is_in_another_script_is_left_as_it_is() -> None:
    shipped_rewriter = Rewriter.load(device="cpu")  # a real tokenizer, and the default model
    lines = [
        "日本語のテキスト",
        "the food was cold .",
        "😀😀😀",
        "",
        "the food was cold . 日本語のテキストです。 the waiter was rude .",
    ]
    rewrites = list(shipped_rewriter.rewrites(lines, "positive"))
    assert [each.output for each in rewrites[::2]][:2] == [lines[0], lines[2]]
    assert [each.status for each in rewrites[:4]] == ["unread", "rewritten", "not prose", "blank"]
    assert [each.pieces for each in rewrites[:4]] == [0, 1, 0, 0]
    assert rewrites[1].output not in ("", lines[1])
    assert "日本語のテキストです" in rewrites[4].output
    # Nor does it have a class.
    told = shipped_rewriter.rewrites(lines[:1], "positive", options=DecodingOptions(source="auto"))
    assert [(each.output, each.source_class, each.already) for each in told] == [(lines[0], None, 0)]
