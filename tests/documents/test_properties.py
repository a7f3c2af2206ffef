"""Documents come back byte for byte where nothing is rewritten, and change in their text alone where it is."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from arae_transfer.documents.formats import FormatChoice
from arae_transfer.documents.parts import Tally, rewrite_parts
from arae_transfer.documents.reading import DocumentReader

QUICK = settings(max_examples=150, deadline=None, derandomize=True)

Change = Callable[[str], str]
FORMATS = ("text", "markdown", "html", "srt", "csv:text", "jsonl:a.b")

MARKDOWN = """---
title: Bad *food*
---
# The *food* was bad #

Tab\there, **very
bad**, see [the manual](http://x.org "t_t") and `code x`.  
Hard break. Two\\
lines ***both*** ~~gone~~ a_b_c 2 * 3 \\*no\\* &amp; &eacute;.

> [!NOTE]
> The quote is
> here. ![alt text](a.png) Bad image.
> - [ ] do the thing
> - [x] done   
\tlazy line

1. one item
   continued line

    indented code

```py
fence text
```

| Name | the food \\| x | bad |
|---|:-:|---|
| a | b | *soup* is bad |
| `x` |  | see [ref] and [full][ref] <http://a.b> |

<div class="a">
The food <b>was</b> bad
</div>

Setext heading
==============

Press <kbd>Ctrl</kbd> and {{ name }} at https://x.org/a_b. Foot[^1] <!-- c --> note<br>here <b>bold</b>.

[^1]: The footnote is bad.
[ref]: http://y.org "Title"
"""  # noqa: W291

HTML = """<!doctype html><html><head><title>My page</title><script>a<b && "x"</script><style>p { }</style></head>
<body class=x title="not text"><p>The <b>food</b> was <i>very
  cold</i>. I <!-- a comment -->hate it &amp; &#x41 you&nbsp;know<br/>really<pre>x y</pre>
<textarea>stay here</textarea><p translate=no>Stay</p>
<p>Use <code>a b</code> please &# <![foo[ <a href="x>y">here</a> </>
<p>a < b and <b><i>c</b></i> d <svg><text>no</text></svg> <![CDATA[ data ]]> end <!-- never closed
</p"""

SUBTITLES = """1\r
00:00:01,000 --> 00:00:02,500\r
- I hate this place.\r
- <i>[sighs] The food\r
was cold.</i>\r
\r
2
00:00:03,000 --> 00:00:04,000
[music]
3
00:00:05,000 --> 00:00:06,000
WAITER: {\\an8}Go away.
♪ a song ♪

"""

TABLE = """id;text\r\n1;"the ""food""\r\n was cold"\n2\n3;plain; more\n\n4;"open\n"""
OBJECTS = (
    '{"x":1.50, "a" : {"b":"it \\"is\\" \\u00e9 bad.\\nline two","c":[1e5]}}\n{bad\n'
    '{"a":{"b":3}}\n\n[]\n{"a":{"b":"last"}}'
)
NASTY = (
    MARKDOWN,
    MARKDOWN.replace("\n", "\r\n"),
    HTML,
    SUBTITLES,
    TABLE,
    OBJECTS,
    "",
    "\n",
    "\ufeff",
    "---\n",
    "\r\r\n",
)

MARKS = st.sampled_from(
    [
        *"*_`[]()<>#>-|\\\n\t \r&;!~ab.0=:\"'",
        "\n\n",
        "**",
        "the food ",
        "a\n",
        "](x)",
        "&amp;",
        "<b>",
        "</b>",
        "```\n",
        "|---|\n",
        "| a | b |\n",
        "> ",
        "- ",
        "1. ",
        "    ",
        "  \n",
        "<!-- ",
        "-->",
        "[a]: x\n",
        "<br>",
        "<pre>",
        "![",
    ]
)
TAGS = st.sampled_from(
    [
        *"<>&;\"'=/! \n-[]ab",
        "<b>",
        "</b>",
        "<p>",
        "</p>",
        "<i x='a>b'>",
        "</i>",
        "the food. ",
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&#65;",
        "&nbsp",
        "<code>",
        "</code>",
        "<pre>",
        "</pre>",
        "<?a",
        "<br/>",
    ]
)
LINES = st.sampled_from(
    [
        "1",
        "22",
        "00:00:01,000 --> 00:00:02,000",
        "",
        "- the food",
        "<i>a",
        "b</i>",
        "[music]",
        "A: b",
        "- ",
        "\r",
        "a b. C",
    ]
)


class Stream(io.BytesIO):
    """Bytes that arrive some at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(7)


def _run(
    kind: str, content: bytes, change: Change, stream: Callable[[bytes], io.BytesIO] = io.BytesIO
) -> tuple[bytes, Tally]:
    tally = Tally()

    def rewrite(texts: list[str]) -> Sequence[str | None]:
        assert all("\n" not in text and text.strip() == text for text in texts)
        return [change(text) for text in texts]

    reader = DocumentReader("document", stream(content))
    parts = FormatChoice.parse(kind).reader()(reader.blocks())
    texts = [reader.encode(text) for text in rewrite_parts(parts, rewrite, 8, tally)]
    return reader.mark + b"".join(texts), tally


def _same(text: str) -> str:
    return text


def _upper(kind: str, text: str) -> str:
    return _run(kind, text.encode(), str.upper)[0].decode()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("document", NASTY, ids=range(len(NASTY)))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_nasty_documents_come_back_as_they_are(kind: str, document: str, encoding: str) -> None:
    if kind.startswith("csv") and document not in (TABLE, ""):
        document = "text\n" + document
    content = document.encode(encoding)
    for stream in (io.BytesIO, Stream):
        assert _run(kind, content, _same, stream)[0] == content


@pytest.mark.parametrize("kind", [each for each in FORMATS if not each.startswith("csv")])
@QUICK
@given(content=st.binary() | st.lists(MARKS | TAGS | LINES).map(lambda each: "".join(each).encode()))
@example(b"a \xff\xfe b\n")
def test_any_bytes_come_back_as_they_are(kind: str, content: bytes) -> None:
    if content.count(0) * 4 <= len(content) and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        assert _run(kind, content, _same)[0] == content


@QUICK
@given(
    st.binary()
    | st.lists(st.sampled_from(["a", '"', ",", "\n", "\r\n", '""', '"b,\n"'])).map(lambda each: "".join(each).encode())
)
def test_any_table_comes_back_as_it_is(content: bytes) -> None:
    content = b"text,other\n" + content
    if content.count(0) * 4 <= len(content):
        assert _run("csv:text", content, _same)[0] == content


def _rendered(source: str) -> tuple[list[str], str]:
    """Return the tags and the code of a page that another program makes of Markdown, and all its letters."""
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(source)
    return re.findall(r"<pre>.*?</pre>|<code>.*?</code>|<[^>]*>", page, re.DOTALL), page.lower()


@QUICK
@given(st.lists(MARKS, max_size=40).map("".join))
@example(MARKDOWN)
@example("The **food\nwas** *cold*\n\n> a\n> b\n")
@example("***a** b*")
@example("~~~a~~ b")
@example("[a][b] [b] [b][]\n\n[b]: x 'T'")
@example("a | b\n-|-\n`c | d` | \\| e")
def test_markdown_changes_in_its_text_alone(source: str) -> None:
    front = re.match(r"---[ \t]*\r?\n(?:.*\r?\n)*?---[ \t]*(?:\r?\n|\Z)", source)
    rest = source[front.end() :] if front else source
    output = _upper("markdown", source)
    assert output.startswith(front[0] if front else "")
    changed = output[front.end() if front else 0 :]
    assert _rendered(changed) == _rendered(rest)
    assert _letters(changed) == _letters(rest)


def _letters(source: str) -> str:
    """Return a document without what may be written in another way."""
    return html.unescape(source.replace("\\", "")).lower()


class _Tags(HTMLParser):
    """Collects all but text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[object] = []
        self.letters = ""
        self._raw = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))
        self._raw += tag in ("script", "style", "pre", "code")

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)
        self._raw -= tag in ("script", "style", "pre", "code")

    def handle_comment(self, data: str) -> None:
        self.found.append(data)

    def unknown_decl(self, data: str) -> None:
        self.found.append(data)

    def handle_decl(self, decl: str) -> None:
        self.found.append(decl)

    def handle_data(self, data: str) -> None:
        if self._raw > 0:
            self.found.append(data)
        self.letters += data.lower()


@QUICK
@given(st.lists(TAGS, max_size=40).map("".join))
@example(HTML.replace("<![foo[", ""))
@example("<p>the <b>food</b> was cold</p>")
@example("a<b c")
def test_pages_change_in_their_text_alone(source: str) -> None:
    output = _upper("html", source)
    try:
        before = _Tags(source)
    except AssertionError:  # the standard library's parser gives up at declarations that it does not know
        assert output.lower() == source.lower()
        return
    after = _Tags(output)
    assert after.found == before.found
    assert after.letters == before.letters


WORDS = (
    st.lists(st.sampled_from([*"ab \"'\n,;\té", "the food ", "\r\n"]), max_size=8)
    .map("".join)
    .filter(lambda each: each == each.strip())
)


@QUICK
@given(
    st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_one_column_of_a_table_changes(rows: list[tuple[str, ...]], separator: str, end: str, quoting: Any) -> None:
    table = io.StringIO()
    writer = csv.writer(table, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("id", "text", "note"), *rows])
    output, tally = _run("csv:text", table.getvalue().encode(), str.upper)
    assert not tally.problems
    expected = io.StringIO()
    writer = csv.writer(expected, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("id", "text", "note"), *((a, b.upper(), c) for a, b, c in rows)])
    assert output.decode() == expected.getvalue()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_subnormal=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)


@QUICK
@given(
    st.dictionaries(st.sampled_from(["x", "a", "text", "a.b"]), VALUES),
    WORDS,
    st.booleans(),
    st.sampled_from([", ", ","]),
)
def test_one_field_of_an_object_changes(record: dict[str, Any], text: str, ascii_only: bool, comma: str) -> None:
    record.pop("a.b", None)
    record["a"] = {"z": [1.0, {"b": "no"}], "b": text, "é": "no"}
    shape = {"ensure_ascii": ascii_only, "separators": (comma, ": ")}
    line = json.dumps(record, **shape)  # type: ignore[arg-type]
    output = _run("jsonl:a.b", f"{line}\n".encode(), str.upper)[0].decode()
    record["a"]["b"] = text.upper()
    assert output == json.dumps(record, **shape) + "\n"  # type: ignore[arg-type]


def test_numbers_keys_and_blanks_of_an_object_stay_as_typed() -> None:
    line = '{ "n" : 1.500e+03,"a":{"b":"x \\u00e9\\/y"} , "n":-0.0 }\r\n'
    assert _upper("jsonl:a.b", line) == '{ "n" : 1.500e+03,"a":{"b":"X \\u00c9/Y"} , "n":-0.0 }\r\n'.replace(
        "/Y", "\\/Y"
    )


@QUICK
@given(st.lists(LINES, max_size=15).map("\n".join))
@example(SUBTITLES)
def test_subtitles_change_in_their_captions_alone(source: str) -> None:
    output = _upper("srt", source)
    assert output.lower() == source.lower()
    before, after = source.split("\n"), output.split("\n")
    for old, new in zip(before, after, strict=True):
        if "-->" in old or not old.strip() or old.strip().isdecimal() or old == "[music]":
            assert new == old
    assert re.findall(r"<[^>]*>", output) == re.findall(r"<[^>]*>", source)
