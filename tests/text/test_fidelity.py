"""What is not style comes back as it was typed: by each shipped model, on generated lines and on a table of lines."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.rewrite import Status
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.text.fidelity import is_balanced, keeps_form
from arae_transfer.text.protected import Protector, Span
from tests.text.properties import broken_properties
from tests.text.strategies import lines

TABLE = Path(__file__).with_name("fidelity.tsv")
ROWS = list(csv.reader(TABLE.read_text("utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


# One that writes whole lines, and one that edits them.
MODELS = ("yelp-sentiment", "reviews-sentiment")


@pytest.fixture(scope="module", params=MODELS)
def rewriter(request: pytest.FixtureRequest) -> Rewriter:
    return Rewriter.load(request.param, device="cpu", threads=1)


@pytest.mark.parametrize("options", [DecodingOptions(), DecodingOptions(beam=1)], ids=["beam", "greedy"])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(line=lines)
def test_generated_lines_keep_every_property(rewriter: Rewriter, options: DecodingOptions, line: str) -> None:
    (answer,) = rewriter.transfer([line], "positive", options=options)
    assert broken_properties(rewriter, line, answer) == [], (line, answer)


def test_the_table_has_ten_lines_of_each_kind() -> None:
    kinds = [row[0] for row in ROWS]
    assert len(set(kinds)) >= 11
    assert all(kinds.count(kind) >= 10 for kind in set(kinds))


@pytest.mark.parametrize("kind", sorted({row[0] for row in ROWS}))
def test_lines_keep_their_skeletons(rewriter: Rewriter, kind: str) -> None:
    """A skeleton is what must stay, in order, with "…" for anything else."""
    chosen = [row for row in ROWS if row[0] == kind]
    answers = rewriter.transfer([row[1] for row in chosen], "positive")
    for (_, line, skeleton), answer in zip(chosen, answers, strict=True):
        parts = skeleton.split("…")
        assert answer.startswith(parts[0]) and answer.endswith(parts[-1]), (line, answer)
        place = 0
        for part in parts:
            place = answer.find(part, place)
            assert place >= 0, (line, answer, part)
            place += len(part)
        assert len(parts) > 1 or answer == skeleton
        assert broken_properties(rewriter, line, answer) == [], (line, answer)


def test_most_lines_of_words_are_still_rewritten(rewriter: Rewriter) -> None:
    open_rows = [row[1] for row in ROWS if "…" in row[2]]
    changed = [line != answer for line, answer in zip(open_rows, rewriter.transfer(open_rows, "positive"), strict=True)]
    assert sum(changed) > 0.7 * len(changed)


# Protected, if the words that say something of it stay: each rewrite fails.
FRAGILE = "soup(?= was terrible)"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("beam", [1, 5])
def test_a_line_whose_rewrites_all_fail_is_kept_and_says_so(model: str, beam: int) -> None:
    rewriter = Rewriter.load(model, device="cpu", threads=1, protect=[FRAGILE])
    line = "The soup was terrible!"
    (kept,) = rewriter.rewrites([line], "positive", options=DecodingOptions(beam=beam))
    assert (kept.output, kept.status, kept.kept, kept.unfaithful) == (line, Status.KEPT, True, 1)
    (raw,) = rewriter.rewrites([line], "positive", options=DecodingOptions(beam=beam, faithful=False))
    assert raw.status is Status.REWRITTEN and raw.output != line


@pytest.mark.parametrize("model", MODELS)
def test_a_number_is_kept_or_the_line(model: str) -> None:
    rewriter = Rewriter.load(model, device="cpu", threads=1)
    lines = ["they charged me $120!", "they wanted 45 dollars for 2 cold burgers .", "Worst $20 I ever spent."]
    for rewrite in rewriter.rewrites(lines, "positive"):
        source, answer = (re.findall(r"\$?\d+", text) for text in (rewrite.source, rewrite.output))
        assert source == answer
        assert (rewrite.status is Status.KEPT) == (rewrite.source == rewrite.output)


def test_a_negation_does_not_leave_its_verb(rewriter: Rewriter) -> None:
    lines = [
        "The service\xa0wasn't $279 bad! <p>The pizza was  [rude](http://x.org) 23:38!",
        "<p>The\xa0pizza was \\textbf{friendly} 97″\t3rd .",
        "The\xa0manager  16% was  (not good)\t275-201-0511\t773-278-0230 .",
        "# $3722\tThe place\xa0was  14-26 not good. — The\xa0food was \\textbf{great}\t8:22 pm!",
    ]
    for to in rewriter.classes:
        for line, answer in zip(lines, rewriter.transfer(lines, to), strict=True):
            assert broken_properties(rewriter, line, answer) == [], (line, answer)


@pytest.mark.parametrize("model", MODELS)
def test_what_a_user_protects_stays(model: str) -> None:
    rewriter = Rewriter.load(
        model, device="cpu", threads=1, protect=[r"(JI|QA)-\d+"], glossary=["Grand Lux", "Bad Wolf"]
    )
    answers = list(
        rewriter.transfer(["JI-12: the Bad Wolf at Grand Lux was terrible.", "The Bad Wolf was bad, see QA-7."], "pos")
    )
    assert answers[0].startswith("JI-12: ") and "Bad Wolf at Grand Lux" in answers[0]
    assert "Bad Wolf" in answers[1] and answers[1].endswith("QA-7.") and "bad" not in answers[1]
    with pytest.raises(AraeError, match="empty text"):
        Protector(["x*"])


def test_the_command_says_what_it_kept_and_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    def run(*arguments: str, given: str = "The soup was terrible!\n") -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["transfer", "--to", "positive", "--device", "cpu", *arguments], input=given)
        return done.exit_code, done.stdout, done.stderr

    code, output, said = run("--json", "--protect", FRAGILE)
    assert (code, json.loads(output)["status"], json.loads(output)["kept"]) == (0, "kept", True)
    assert "1 of 1 lines was left unchanged" in said
    terms = tmp_path / "terms.txt"
    terms.write_text("Bad Wolf\n\n", "utf-8")
    code, output, _ = run("--glossary", str(terms), "--protect", "T-[0-9]+", given="The Bad Wolf is awful, T-1.\n")
    assert code == 0 and "Bad Wolf" in output and "T-1." in output
    for wrong, words in ((["--protect", "(a"], "not a regular expression"), (["--glossary", "nowhere"], "nowhere")):
        code, output, said = run(*wrong)
        assert (code, output) == (1, "")
        assert words in said


@pytest.mark.parametrize(
    ("source", "answer", "keeps"),
    [
        ("it cost $5.", "it was $5.", True),
        ("it cost $5.", "it was 5.", False),
        ("it cost $5.", "it was great.", False),
        ("it cost $5.", "it was $5 or $5.", False),
        ("2 for 3", "3 for 2", False),
        ('so "bad" here', 'so "good" here', True),
        ('so "bad" here', 'so "good here', False),
        ('so "bad" here', "so good here", True),
        ('so "bad" here', "so “good” here", False),
        ("so (bad) here", "so good) here", False),
        ("see http://a.b/c now", "see now", False),
        ("wasn&apos;t bad", "wasn&apos;t good", True),
        ("so \tbad ", "so \tgood ", True),
        ("so \tbad ", "so \tgood", False),
        ("\tso bad", "so good", False),
        ("so \tvery bad", "so very good", False),
        ("so cheap .", "so $ .", False),
        ("a bad deal", "a great & good deal", False),
        ("soup & bread were cold", "soup & bread were warm", True),
    ],
)
def test_what_must_stay_is_told(source: str, answer: str, keeps: bool) -> None:
    assert keeps_form(source, answer, Protector()) is keeps


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ('a 20" tv', [Span(2, 5, number=True)]),
        # The marks are those of quotations.
        ('it was "over 20" here', []),
        ('it was 20" bad"', []),
        ("see http://a.b/c or #1a", [Span(4, 16), Span(20, 23)]),
    ],
)
def test_inches_are_told_from_quotations(line: str, spans: list[Span]) -> None:
    assert Protector().find(line) == spans


@pytest.mark.parametrize(
    ("line", "carried"),
    [
        ("> so bad", ">"),
        (">> so bad", ">>"),
        ("- so bad", "-"),
        ("so bad x)", "x)"),
        ("so bad X-(", "X-("),
        ("so bad :'-(", ":'-("),
        ("so $-y$ bad", "$-y$"),
        ("so %+d bad", "%+d"),
        ("so %.2f bad", "%.2f"),
    ],
)
def test_what_alone_is_carried_in_a_line_is_found(line: str, carried: str) -> None:
    assert [line[span.start : span.stop] for span in Protector().find(line)] == [carried]
    assert Protector().may_hold(line)


PARTS = ["_num_", *"ab1 >-_*#.:;()[]{}'\"<%$/\\~|^=@&+•–—`oOTxXD3,\t"]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6), st.sampled_from(["", "_num_"]))
def test_what_is_found_does_not_depend_on_the_rest_of_the_line(parts: list[str], number: str) -> None:
    line = f"{''.join(parts)} a"
    assert Protector().find(line, number) == Protector().find(f"{line} ☃", number)[:-1]


def test_a_line_of_placeholders_alone_stays() -> None:
    assert not Protector().may_hold("about _num_ dollars", "_num_")
    assert Protector().may_hold("_num_ *dollars*", "_num_")
    rewriter = Rewriter.load("yelp-sentiment", device="cpu", threads=1)
    for line in ("_num_", "_num_ _num_ .", "_num_ am !"):
        (kept,) = rewriter.rewrites([line], "positive")
        assert (kept.output, kept.status) == (line, Status.NOT_PROSE)


def test_of_two_terms_the_longer_one_stays_whole() -> None:
    assert Protector(words=["Bad", "Bad Wolf"]).find("the Bad Wolf") == [Span(4, 12)]


def test_marks_balance() -> None:
    assert is_balanced(["(", "[", "]", ")", '"', '"', "``", "''", "“", "”"])
    for wrong in (["("], [")", "("], ["(", "[", ")", "]"], ['"'], ["``"], ["``", "``"], ["“"], ["«"]):
        assert not is_balanced(wrong)
