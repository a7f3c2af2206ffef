"""Yahoo! Answers in both of its publications: the same questions come out, and damage is named by its line."""

from __future__ import annotations

import gzip
from html import escape
from pathlib import Path

import pytest

from arae_transfer.corpus.reading import ReadingOptions, own_splits, read_corpus, stream_corpus
from arae_transfer.errors import AraeError
from arae_transfer.layout import find_recipe
from arae_transfer.recipe import load_recipe

TOPICS = (
    "Society & Culture",
    "Science & Mathematics",
    "Health",
    "Education & Reference",
    "Computers & Internet",
    "Sports",
    "Business & Finance",
    "Entertainment & Music",
    "Family & Relationships",
    "Politics & Government",
)
SCIENCE, HEALTH, MUSIC, POLITICS = 2, 3, 8, 10
# The number of the topic, title, content, answer, as people wrote them.
QUESTIONS = (
    (SCIENCE, 'Why is "the sky" blue?', "", "Rayleigh scattering.\nIt favours short waves."),
    (MUSIC, "Who sings R&B best?", "I like it, too.", "Nobody <knows>."),
    (POLITICS, "Who won, and by 12 votes?", "Last week", "They did."),
    (HEALTH, "Is milk healthy?", "", "Perhaps."),
    (SCIENCE, "What's a prime?", "", "A number like 7."),
)
TITLES = {
    "music": ["Who sings R&B best?"],
    "politics": ["Who won, and by 12 votes?"],
    "science": ['Why is "the sky" blue?', "What's a prime?"],
}
CLASSES = tuple(TITLES)
OPTIONS = ReadingOptions(text_column="title", minimum_lines=1)


def _html(text: str) -> str:
    return escape(text, quote=False).replace("\n", "<br />\n")


def _csv(questions: tuple[tuple[int, str, str, str], ...]) -> str:
    quoted = '"{}"'.format
    rows = [
        [str(number), *(_html(text).replace('"', '""').replace("\n", "\\n") for text in texts)]
        for number, *texts in questions
    ]
    return "".join(",".join(map(quoted, row)) + "\n" for row in rows)


def _xml(questions: tuple[tuple[int, str, str, str], ...]) -> str:
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<ystfeed>\n']
    for number, *texts in questions:
        title, content, answer = (escape(_html(text)) for text in texts)
        parts.append(
            f'<vespaadd><document type="wisdom"><uri>{number}</uri><subject>{title}</subject>\n'
            + (f"<content>{content}</content>\n" if content else "")
            + f"<bestanswer>{answer}</bestanswer><nbestanswers><answer_item>no</answer_item></nbestanswers>\n"
            f"<cat>x</cat><maincat>{escape(TOPICS[number - 1])}</maincat></document></vespaadd>\n"
        )
    return "".join([*parts, "</ystfeed>\n"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder that Zhang et al. publish, with few questions."""
    place = tmp_path / "yahoo_answers_csv"
    place.mkdir()
    (place / "classes.txt").write_text("\n".join(TOPICS) + "\n", "utf-8")
    (place / "readme.txt").write_text("Yahoo! Answers Topic Classification Dataset\n", "utf-8")
    (place / "train.csv").write_text(_csv(QUESTIONS), "utf-8")
    (place / "test.csv").write_text(_csv(QUESTIONS[:3]), "utf-8")
    return place


def _refusal(data: Path, options: ReadingOptions = OPTIONS) -> str:
    with pytest.raises(AraeError) as caught:
        read_corpus([str(data)], "all", options, classes=CLASSES)
    return str(caught.value)


def test_titles_by_topic(folder: Path) -> None:
    corpus = read_corpus([str(folder)], "test", OPTIONS, classes=CLASSES)
    assert corpus.lines == {**TITLES, "science": TITLES["science"][:1]}
    assert own_splits([str(folder)], OPTIONS) == ["train", "test"]
    whole = stream_corpus([str(folder)], "all", OPTIONS, classes=CLASSES).lines
    assert list(whole["science"]) == [TITLES["science"][0], *TITLES["science"]]
    (skipped,) = [
        str(f)
        for f in read_corpus([str(folder)], "all", OPTIONS, classes=CLASSES).report.findings
        if "not asked for" in str(f)
    ]
    assert "train.csv: 1 line" in skipped


def test_answers_lose_their_html_and_their_line_breaks(folder: Path) -> None:
    answers = read_corpus([str(folder)], "test", ReadingOptions(text_column="answer"), classes=CLASSES[1:]).lines
    assert answers == {
        "politics": ["They did."],
        "science": ["Rayleigh scattering. It favours short waves."],
    }


@pytest.mark.parametrize("packed", [False, True])
def test_the_same_questions_in_xml(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("FullOct2007.xml.gz" if packed else "FullOct2007.xml")
    content = _xml(QUESTIONS).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_corpus([str(path)], "all", OPTIONS, classes=CLASSES).lines == TITLES
    answers = read_corpus([str(path)], "all", ReadingOptions(text_column="answer", minimum_lines=1), classes=CLASSES)
    assert answers.lines["science"] == ["Rayleigh scattering. It favours short waves.", "A number like 7."]
    # A text stays text, although it looks like HTML that was never escaped.
    assert answers.lines["music"] == ["Nobody <knows>."]


def test_questions_may_lie_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "FullOct2007.xml"
    path.write_text(_xml(QUESTIONS * 3), "utf-8")
    for size in (64, 257, 1000):
        monkeypatch.setattr("arae_transfer.corpus.text_files.BLOCK_BYTES", size)
        assert read_corpus([str(path)], "all", OPTIONS, classes=CLASSES).lines["music"] == TITLES["music"] * 3
    lines = path.read_text("utf-8").split("\n")
    broken = next(number for number, line in enumerate(lines) if "prime" in line)
    lines[broken] = lines[broken].replace("</subject>", "</sub>")
    path.write_text("\n".join(lines), "utf-8")
    assert f"FullOct2007.xml:{broken + 1}: a damaged question: mismatched tag" in _refusal(path)


def test_a_question_without_a_topic_is_left_out_and_one_with_control_characters_is_not(tmp_path: Path) -> None:
    path = tmp_path / "FullOct2007.xml"
    lost = "<vespaadd><document><subject>Lost?</subject><bestanswer>Yes</bestanswer></document></vespaadd>"
    path.write_text(_xml(QUESTIONS).replace("</ystfeed>", lost).replace("Who won", "Who\x08won"), "utf-8")
    corpus = read_corpus([str(path)], "all", OPTIONS, classes=CLASSES)
    assert corpus.lines == {**TITLES, "politics": ["Who won, and by 12 votes?"]}
    assert any("1 line without a label" in str(finding) for finding in corpus.report.findings)


def test_damage_is_named_by_its_line(folder: Path, tmp_path: Path) -> None:
    train = folder / "train.csv"
    train.write_text(_csv(QUESTIONS[:2]) + '"11","title","content","answer"\n', "utf-8")
    assert "train.csv:3: '11' is no number of a topic" in _refusal(folder)
    train.write_text(_csv(QUESTIONS[:1]) + '"2","title","content"\n', "utf-8")
    assert "train.csv:2: the row has 3 fields, not 4" in _refusal(folder)
    path = tmp_path / "FullOct2007.xml"
    path.write_text(_xml(QUESTIONS)[:-60], "utf-8")
    first = path.read_text("utf-8").split("\n").index(path.read_text("utf-8").split("\n")[-3]) + 1
    assert f"FullOct2007.xml:{first}: the question that begins here has no end" in _refusal(path)
    path.write_text("<feed><entry>none</entry></feed>\n", "utf-8")
    assert "holds no question of Yahoo! Answers" in _refusal(path)


def test_what_is_missing_or_in_pieces_says_where_to_get_it(folder: Path, tmp_path: Path) -> None:
    for name in ("yahoo_answers_csv", "FullOct2007.xml"):
        refusal = _refusal(tmp_path / "elsewhere" / name)
        assert "no file or folder" in refusal
        assert "github.com/LC-John/Yahoo-Answers-Topic-Classification-Dataset" in refusal
        assert "L6" in refusal
    part = tmp_path / "FullOct2007.xml.part1.gz"
    part.write_bytes(gzip.compress(b"<ystfeed>"))
    assert "zcat FullOct2007.xml.part1.gz FullOct2007.xml.part2.gz" in _refusal(part)
    assert "one of title, content, answer" in _refusal(folder, ReadingOptions(text_column="text"))


def test_the_recipe_reads_titles_in_its_form(folder: Path) -> None:
    recipe = load_recipe(find_recipe("yahoo-topics"))
    options = ReadingOptions.of(recipe)
    lines = read_corpus([str(folder)], "test", options, classes=recipe.data.classes).lines
    assert lines == {
        "music": ["who sings r & b best ?"],
        "politics": ["who won , and by _num_ votes ?"],
        "science": ["why is `` the sky '' blue ?"],
    }
