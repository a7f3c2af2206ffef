"""What an answer looks like in a document: markup at the words that it belongs to, or no answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from arae_transfer.documents.formats import FormatChoice, guess_format
from arae_transfer.documents.parts import Tally, rewrite_parts
from arae_transfer.documents.reading import DocumentReader
from arae_transfer.errors import AraeError


def _answer(kind: str, source: str, answers: dict[str, str | None]) -> tuple[str, Tally]:
    """Rewrite a document by a table of sentences and answers, every one of which must be asked for."""
    asked: list[str] = []

    def rewrite(texts: list[str]) -> Sequence[str | None]:
        asked.extend(texts)
        return [answers[text] for text in texts]

    tally = Tally()
    output = "".join(rewrite_parts(FormatChoice.parse(kind).reader()(iter([source])), rewrite, 100, tally))
    assert asked == list(answers)
    return output, tally


@pytest.mark.parametrize(
    ("kind", "source", "text", "answer", "expected"),
    [
        (
            "html",
            "<p>The <b>food</b> was cold.</p>",
            "The food was cold.",
            "The food is hot!",
            "<p>The <b>food</b> is hot!</p>",
        ),
        ("html", "the <b>cold</b> food", "the cold food", "the warm food", "the <b>warm</b> food"),
        ("html", "the <b>cold</b> food", "the cold food", "the food", "the <b>food</b>"),
        ("html", "so <i>very <b>bad</b></i> food", "so very bad food", "so good food", "so <i><b>good</b></i> food"),
        ("html", "a&amp;b is b&eacute;d", "a&b is béd", "a&b is <g>", "a&amp;b is &lt;g&gt;"),
        ("html", "food <img src=x> was\n bad", "food  was bad", "food was good", "food <img src=x> was\n good"),
        ("html", "un<b>believ</b>able food", "unbelievable food", "great food", "<b>great</b> food"),
        (
            "html",
            "run <code>a <i>b</i></code> or cry",
            "run `a b` or cry",
            "do run `a b`",
            "do run <code>a <i>b</i></code>",
        ),
        ("markdown", "so *bad* it", "so bad it", "so it", "so *it*"),
        (
            "markdown",
            "> the cold\n> food is\n> bad",
            "the cold food is bad",
            "a hot one is good",
            "> a hot\n> one is\n> good",
        ),
        (
            "markdown",
            "see [the bad menu](x 'y').",
            "see the bad menu.",
            "see the good menu.",
            "see [the good menu](x 'y').",
        ),
        (
            "markdown",
            "see [menu] or cry\n\n[menu]: x",
            "see menu or cry",
            "see menu or laugh",
            "see [menu] or laugh\n\n[menu]: x",
        ),
        ("markdown", "it is 2 \\* bad", "it is 2 * bad", "it is 2 * *good*", "it is 2 \\* \\*good\\*"),
        ("markdown", "| a bad | 1 |\n|-|-|\n", "a bad", "a | good", "| a \\| good | 1 |\n|-|-|\n"),
        ("csv:t", "t,u\nso bad,1\n", "so bad", "so good, truly", 't,u\n"so good, truly",1\n'),
        ("csv:t", 't\tu\n"so bad"\t1\r\n', "so bad", 'so "good"', 't\tu\n"so ""good"""\t1\r\n'),
        ("csv:2", "1;so bad;x\n", "so bad", "so good", "1;so good;x\n"),
        ("jsonl:t", '{"t":"so bad"}', "so bad", 'so "é"', '{"t":"so \\"\\u00e9\\""}'),
        ("jsonl:t", '{"t":"so b\u00e9d"}', "so béd", "so é", '{"t":"so é"}'),
        ("jsonl:t.*.0", '{"t":[[1],["bad", "no"]]}', "bad", "good", '{"t":[[1],["good", "no"]]}'),
        ("jsonl:t", '{"t":"one","t":"two"}', "two", "three", '{"t":"one","t":"three"}'),
        ("jsonl:a.b", '{"a":{"b":1},"a.b":"bad"}', "bad", "good", '{"a":{"b":1},"a.b":"good"}'),
        ("srt", "NOTE\nthe food was\nbad\n", None, None, "NOTE\nthe food was\nbad\n"),
        ("text", "  so bad  \r\n\n12:30 - 5\n", "so bad", "so good", "  so good  \r\n\n12:30 - 5\n"),
    ],
)
def test_markup_stays_with_its_words(kind: str, source: str, text: str | None, answer: str, expected: str) -> None:
    output, tally = _answer(kind, source, {} if text is None else {text: answer})
    assert output == expected
    assert tally.unplaced == 0


CAPTION = "1\n00:00:01,000 --> 00:00:02,000\n"


@pytest.mark.parametrize(
    ("caption", "answers", "expected"),
    [
        ("- the food\nwas bad\n", {"the food was bad": "the food was good"}, "- the food\nwas good\n"),
        ("- Why?\n- It is bad.\n", {"Why?": "How?", "It is bad.": "It is good."}, "- How?\n- It is good.\n"),
        ("ANN: <i>so bad</i>\n", {"so bad": "good"}, "ANN: <i>good</i>\n"),
        ("[sighs] so\nvery bad\n", {"so very bad": "good"}, "[sighs] good\n"),
        ("[music]\n", {}, "[music]\n"),
        ("♪ so bad ♪\n", {"so bad": "so good"}, "♪ so good ♪\n"),
    ],
)
def test_captions_keep_speakers_sounds_and_line_breaks(
    caption: str, answers: dict[str, str | None], expected: str
) -> None:
    assert _answer("srt", CAPTION + caption, answers)[0] == CAPTION + expected


@pytest.mark.parametrize(
    ("kind", "source", "text", "answer"),
    [
        ("markdown", "run `a b` or cry", "run `a b` or cry", "run or cry"),
        ("markdown", "run `a` or cry", "run `a` or cry", "run `a` or `a`"),
        ("markdown", "so *bad*", "so bad", "- so good"),
        ("markdown", "a\nbad", "a bad", "# good"),
        ("html", "<p>go <kbd>X</kbd> now</p>", "go `X` now", "go now"),
    ],
)
def test_an_answer_that_would_break_the_structure_is_not_taken(kind: str, source: str, text: str, answer: str) -> None:
    output, tally = _answer(kind, source, {text: answer})
    assert output == source
    assert tally.unplaced == 1


def test_one_answer_that_does_not_fit_leaves_the_others() -> None:
    source = "so *bad* it.\n\nIt is bad.\n\nAnd so sad it.\n"
    answers: dict[str, str | None] = {
        "so bad it.": "# so good.",
        "It is bad.": "It is good.",
        "And so sad it.": "- good.",
    }
    output, tally = _answer("markdown", source, answers)
    assert output == source.replace("It is bad", "It is good")
    assert (tally.unplaced, tally.sentences) == (2, 3)


def test_rows_without_the_column_are_counted_and_named() -> None:
    source = 'a,t\n1\n2,bad\n3,"b"ad\n4\n'
    output, tally = _answer("csv:t", source, {"bad": "good"})
    assert output == source.replace("2,bad", "2,good")
    assert dict(tally.problems) == {"too few columns": 2, "unreadable quotes or line ends": 1}
    assert tally.first == {"too few columns": 1, "unreadable quotes or line ends": 3}


def test_a_missing_column_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(AraeError, match=r"no column 'x'.*id, note"):
        _answer("csv:x", "id;note\n1;2\n", {})
    with pytest.raises(AraeError, match="twice"):
        _answer("csv:a", "a,a\n1,2\n", {})


def test_text_in_utf_16_without_a_mark_is_refused() -> None:
    import io

    with pytest.raises(AraeError, match="iconv"):
        list(DocumentReader("x", io.BytesIO("the food".encode("utf-16-le"))).blocks())


@pytest.mark.parametrize(
    ("names", "column", "expected"),
    [
        (["a.md"], None, FormatChoice("markdown")),
        (["A.HTM", "b.html"], None, FormatChoice("html")),
        (["a.vtt"], None, FormatChoice("srt")),
        (["a.tsv"], "x", FormatChoice("csv", "x")),
        (["a.ndjson"], "x.y", FormatChoice("jsonl", "x.y")),
        (["a.txt", "-", "b"], None, None),
    ],
)
def test_a_name_says_the_format(names: list[str], column: str | None, expected: FormatChoice | None) -> None:
    assert guess_format(names, column) == expected


@pytest.mark.parametrize(
    ("names", "column", "message"),
    [
        (["a.csv"], None, "is a table and needs a column"),
        (["a.md", "b.txt"], None, "different formats"),
        (["a.md"], "x", "is for tables"),
        (["a.txt"], "x", "is for tables"),
        (["a.docx"], None, "pandoc"),
    ],
)
def test_a_name_that_does_not_say_it_is_an_error(names: list[str], column: str | None, message: str) -> None:
    with pytest.raises(AraeError, match=message):
        guess_format(names, column)


@pytest.mark.parametrize("text", ["csv", "jsonl:", "markdown:x", "markdown:", "docx", ""])
def test_an_unknown_format_is_an_error_that_lists_them(text: str) -> None:
    with pytest.raises(AraeError, match="jsonl:FIELD"):
        FormatChoice.parse(text)
