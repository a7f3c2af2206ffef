"""Yahoo! Answers as it is published: questions with their topics, for the paper's transfer between topics.

Two publications are read, each in its own files:

* the topic classification set of Zhang, Zhao and LeCun (2015), a folder with ``train.csv``, ``test.csv`` and
  ``classes.txt``. A row has four quoted fields and no header: the number of the topic, which counts the lines of
  ``classes.txt`` from 1, the question's title, its content, and the best answer. A line break stands as a backslash and
  an n;
* the corpus of Yahoo! Webscope (L6, "Comprehensive Questions and Answers"), one file ``FullOct2007.xml`` of 12 GB that
  may be packed by gzip. A question is a ``<vespaadd>`` element with ``<subject>``, perhaps ``<content>``,
  ``<bestanswer>`` and perhaps ``<maincat>``, the topic. The file names no splits.

Both hold HTML in their texts (``<br />``, entities escaped twice).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from arae_transfer.corpus.sources import YahooAnswers, nearest
from arae_transfer.corpus.tables import NO_SPLIT_COLUMN, Row, csv_fields
from arae_transfer.corpus.text_files import TextFile
from arae_transfer.errors import AraeError

# The topics of the paper, by short names that can be typed; the others keep theirs.
CLASS_NAMES = {
    "Science & Mathematics": "science",
    "Entertainment & Music": "music",
    "Politics & Government": "politics",
}
TEXT_COLUMNS = ("title", "content", "answer")

_ELEMENTS = {"title": "subject", "content": "content", "answer": "bestanswer"}
_FIELDS = 1 + len(TEXT_COLUMNS)
_BEGIN, _END = "<vespaadd>", "</vespaadd>"
_HTML = re.compile(r"<br\s*/?>|</?(?:p|b|i|u|em|strong)\s*/?>", re.IGNORECASE)
# What XML forbids even in a text; some questions have it all the same.
_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF), " ")
# A question that has not ended after so many characters is none.
_MOST_CHARACTERS = 1 << 24


def iterate_questions(source: YahooAnswers, file: TextFile, text_column: str) -> Iterator[Row]:
    """Yield the questions of a file as the rows of a table.

    Args:
        source: Which publication it is, and of which split.
        file: The file.
        text_column: ``title``, ``content`` or ``answer``.

    Raises:
        AraeError: There is no such column, or the file is damaged; the message names the line.
    """
    if text_column not in TEXT_COLUMNS:
        near = nearest(text_column, TEXT_COLUMNS)
        raise AraeError(
            f"{file.path}: questions of Yahoo! Answers have no {text_column!r}",
            f"set data.text_column (--text-column) to one of {', '.join(TEXT_COLUMNS)}{near}",
        )
    split = source.split or NO_SPLIT_COLUMN
    questions = _csv_questions(source, file) if source.topics else _xml_questions(file)
    for line, topic, texts in questions:
        label = None if topic is None else CLASS_NAMES.get(topic, topic.replace("/", "-").replace("\\", "-"))
        yield Row(line, _clean(texts[TEXT_COLUMNS.index(text_column)]), label, split)


_Question = tuple[int, str | None, Sequence[str]]


def _csv_questions(source: YahooAnswers, file: TextFile) -> Iterator[_Question]:
    """Yield line, topic and texts of each row."""
    for line, fields in csv_fields(file):
        if len(fields) != _FIELDS:
            raise AraeError(
                f"{file.path}:{line}: the row has {len(fields)} field{'s' if len(fields) != 1 else ''}, not {_FIELDS}",
                "a row of Yahoo! Answers is the topic's number, title, content and best answer, in double quotes.",
            )
        number = fields[0].strip()
        if not (number.isdecimal() and 1 <= int(number) <= len(source.topics)):
            raise AraeError(
                f"{file.path}:{line}: {number[:20]!r} is no number of a topic",
                f"classes.txt beside it has {len(source.topics)} topics, counted from 1.",
            )
        yield line, source.topics[int(number) - 1], [field.replace("\\n", " ") for field in fields[1:]]


def _xml_questions(file: TextFile) -> Iterator[_Question]:
    """Yield line, topic and texts of each question; what stands between questions says nothing."""
    waiting, line, found = "", 1, False
    for block in file.blocks():
        waiting += "\n".join(file.decode(block)) + "\n"
        place = 0
        while (begin := waiting.find(_BEGIN, place)) >= 0 and (end := waiting.find(_END, begin)) >= 0:
            found = True
            line += waiting.count("\n", place, begin)
            place = end + len(_END)
            yield _question(file, line, waiting[begin:place])
            line += waiting.count("\n", begin, place)
        line += waiting.count("\n", place, begin) if begin >= 0 else 0
        waiting = waiting[begin if begin >= 0 else place :]
        if len(waiting) > _MOST_CHARACTERS:
            break
    if waiting.startswith(_BEGIN):
        raise AraeError(
            f"{file.path}:{line}: the question that begins here has no end",
            "was the file cut off? The two parts of the corpus belong together: zcat *.part1.gz *.part2.gz",
        )
    if not found:
        raise AraeError(
            f"{file.path} holds no question of Yahoo! Answers ({_BEGIN})",
            "give FullOct2007.xml, packed by gzip or not.",
        )


def _question(file: TextFile, line: int, text: str) -> _Question:
    try:
        element = ElementTree.fromstring(text.translate(_CONTROLS))
    except ElementTree.ParseError as error:
        raise AraeError(
            f"{file.path}:{line}: a damaged question: {error}", "copy the file again, or take the question out."
        ) from error

    def first(tag: str) -> str:
        found = next(element.iter(tag), None)
        return "" if found is None else "".join(found.itertext())

    return line, first("maincat").strip() or None, [first(_ELEMENTS[column]) for column in TEXT_COLUMNS]


def _clean(text: str) -> str:
    """Return a text without its HTML, on one line."""
    return " ".join(_HTML.sub(" ", html.unescape(text)).split())
