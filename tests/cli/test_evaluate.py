"""`arae evaluate` as its users meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from arae_transfer.cli.command import AraeCommand, AraeGroup
from arae_transfer.cli.evaluate import evaluate
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.layout import ExportLayout
from tests.descriptions import as_exported

LINES = 20

app = typer.Typer(cls=AraeGroup, rich_markup_mode=None)
app.command(cls=AraeCommand)(evaluate)


@app.callback()
def arae() -> None:
    """Make `evaluate` a command among commands."""


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def _write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the splits train, extra and test of a small corpus."""
    folder = tmp_path_factory.mktemp("data") / "small-corpus"
    sentences = make_sentences(2, train_lines=120, held_out_lines=LINES)
    for label in ("negative", "positive"):
        _write(folder / f"train.{label}.txt", sentences["train"][label])
        _write(folder / f"extra.{label}.txt", make_sentences(3, train_lines=100)["train"][label])
        _write(folder / f"test.{label}.txt", sentences["test"][label])
    return folder


def _test_lines(corpus: Path, label: str) -> list[str]:
    return (corpus / f"test.{label}.txt").read_text("utf-8").splitlines()


def test_rewrites_of_any_system(corpus: Path, tmp_path: Path) -> None:
    rewrites = _write(tmp_path / "mine.txt", _test_lines(corpus, "positive"))
    arguments = ["--outputs", f"negative-to-positive={rewrites}", "--data", corpus]
    status, output, messages = invoke(*arguments, "--rule-sample", 10)
    assert (status, messages) == (0, "")
    assert f"negative-to-positive ({LINES} lines)" in output
    assert "positive-to-negative" not in output
    assert "copied source" in output
    assert "small-corpus extra, 100 + 100 lines" in output
    sources, answers = _test_lines(corpus, "negative"), _test_lines(corpus, "positive")
    for place in (9, 19):
        assert f"\nnegative-to-positive {place + 1}: {sources[place]}\n  ▸ {answers[place]}\n" in output
    assert output.count("▸") == 2
    assert all(line == line.rstrip() for line in output.splitlines())


def test_json_is_all_that_stands_on_standard_output(corpus: Path, tmp_path: Path) -> None:
    rewrites = _write(tmp_path / "mine.txt", _test_lines(corpus, "negative"))
    arguments = ["--outputs", f"negative-to-positive={rewrites}", "--data", corpus, "--json", "--rule-sample", 20]
    status, output, messages = invoke(*arguments)
    assert (status, messages) == (0, "")
    report: dict[str, Any] = json.loads(output)
    scores = report["directions"]["negative-to-positive"]["systems"]["outputs"]
    assert scores["self_bleu"]["value"] == scores["copies"]["value"] == 100
    source = _test_lines(corpus, "negative")[19]
    assert report["samples"] == [
        {"direction": "negative-to-positive", "line": 20, "source": source, "rewrites": {"outputs": source}}
    ]


def test_a_model_rewrites_and_its_rewrites_are_kept(
    corpus: Path, pristine_model: Path, expected_rewrite: Callable[[str, str], str], tmp_path: Path
) -> None:
    data, saved = tmp_path / "data", tmp_path / "saved"
    short = {"negative": ["the food was cold", "rude waiter", "left"], "positive": ["great place", "nice", "fair"]}
    for label, lines in short.items():
        _write(data / f"train.{label}.txt", (corpus / f"train.{label}.txt").read_text("utf-8").splitlines())
        _write(data / f"test.{label}.txt", lines)
    arguments = ["--data", data, "--judge-split", "train", "--limit", 2, "--json", "--quiet"]
    model = [pristine_model, "--device", "cpu", "--threads", "1", "--save-outputs", saved]
    status, output, messages = invoke(*model, *arguments)
    assert (status, messages) == (0, "")
    report = json.loads(output)
    assert list(report["together"]["systems"]) == ["small"]
    assert sorted(path.name for path in saved.iterdir()) == ["negative-to-positive.txt", "positive-to-negative.txt"]
    # To `positive` this model copies, to `negative` it does not.
    for source, target, copies in (("negative", "positive", 100), ("positive", "negative", 0)):
        lines = (saved / f"{source}-to-{target}.txt").read_text("utf-8").splitlines()
        assert lines == [expected_rewrite(line, target) for line in short[source][:2]]
        section = report["directions"][f"{source}-to-{target}"]
        assert section["lines"] == 2
        assert section["systems"]["small"]["copies"]["value"] == copies

    status, output, _ = invoke(saved, *arguments)
    assert status == 0
    assert json.loads(output)["together"]["systems"]["saved"] == report["together"]["systems"]["small"]


def test_systems_are_compared(corpus: Path, tmp_path: Path) -> None:
    for folder, labels in (("copies", ("negative", "positive")), ("real", ("positive", "negative"))):
        _write(tmp_path / folder / "negative-to-positive.txt", _test_lines(corpus, labels[0]))
        _write(tmp_path / folder / "positive-to-negative.txt", _test_lines(corpus, labels[1]))
    arguments = [tmp_path / "copies", "--compare", tmp_path / "real", "--data", corpus]
    status, output, _ = invoke(*arguments)
    assert status == 0
    assert "* differs from copies" in output
    status, output, _ = invoke(*arguments, "--markdown")
    assert status == 0
    assert output.startswith("**negative-to-positive (20 lines)**\n\n| ")


def test_several_systems_make_a_curve(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder, labels in (("copies", ("negative", "positive")), ("real", ("positive", "negative"))):
        _write(tmp_path / folder / "negative-to-positive.txt", _test_lines(corpus, labels[0]))
        _write(tmp_path / folder / "positive-to-negative.txt", _test_lines(corpus, labels[1]))
    curve = tmp_path / "plots" / "curve.png"
    status, output, _ = invoke(tmp_path / "copies", tmp_path / "real", "--data", corpus, "--curve", curve, "--json")
    assert status == 0
    assert list(json.loads(output)["together"]["systems"]) == ["copies", "real"]
    assert curve.read_bytes().startswith(b"\x89PNG")
    status, _, messages = invoke(tmp_path / "copies", "--data", corpus, "--curve", tmp_path)
    assert status == 1
    assert "it is a folder" in messages


def test_further_models_are_compared_as_compare_does(corpus: Path, tmp_path: Path) -> None:
    for folder, label in (("copies", "negative"), ("real", "positive")):
        _write(tmp_path / folder / "negative-to-positive.txt", _test_lines(corpus, label))
    common = ["--data", corpus, "--json"]
    by_argument = invoke(tmp_path / "copies", tmp_path / "real", *common)
    assert by_argument[0] == 0
    assert by_argument == invoke(tmp_path / "copies", "--compare", tmp_path / "real", *common)


def test_references(corpus: Path, tmp_path: Path) -> None:
    rewrites = _write(tmp_path / "mine.txt", _test_lines(corpus, "positive"))
    other = _write(tmp_path / "other.txt", _test_lines(corpus, "positive")[::-1])
    arguments = ["--outputs", f"negative-to-positive={rewrites}", "--data", corpus, "--json"]
    status, output, _ = invoke(*arguments, "--references", f"negative={rewrites},{other}")
    assert status == 0
    section = json.loads(output)["directions"]["negative-to-positive"]
    assert section["systems"]["outputs"]["reference_bleu"]["value"] == 100
    assert "reference_bleu_left_out" in section["baselines"]["human"]


def test_the_warning_about_text_that_the_model_saw(corpus: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    for path in corpus.iterdir():
        if not path.name.startswith("extra"):
            _write(plain / path.name, path.read_text("utf-8").splitlines())
    rewrites = _write(tmp_path / "mine.txt", _test_lines(corpus, "positive"))
    arguments = ["--outputs", f"negative-to-positive={rewrites}", "--data", plain]
    status, output, messages = invoke(*arguments)
    assert status == 0
    assert messages.startswith("arae: warning: the classifiers and the language model learn from the train split")
    assert "Warning: the classifiers and the language model learn from the train split" in output
    files = [f"--judge-data={label}={corpus}/extra.{label}.txt" for label in ("negative", "positive")]
    status, output, messages = invoke(*arguments, *files)
    assert (status, messages) == (0, "")
    assert "Warning" not in output


def test_a_model_that_brought_its_own_corpus_needs_no_data(small_model: Path) -> None:
    config = ExportLayout(small_model).config
    content = json.loads(config.read_bytes())
    config.write_text(as_exported(content | {"recipe": {"data": {"builtin": "quickstart"}}}), "utf-8")
    status, output, messages = invoke(small_model, "--limit", 5, "--device", "cpu", "--threads", "1")
    assert (status, messages) == (0, "")
    assert "evaluated: quickstart test, 5 + 5 lines" in output
    assert "quickstart train, seed 1" in output


def test_mistakes_are_said_in_two_lines(corpus: Path, pristine_model: Path, tmp_path: Path) -> None:
    short = _write(tmp_path / "short.txt", ["one", "two"])
    outputs = f"negative-to-positive={short}"
    cases: list[tuple[list[object], str]] = [
        (
            ["--outputs", outputs, "--data", corpus],
            f"short.txt has 2 lines, the test split of class 'negative' has {LINES}",
        ),
        (["--outputs", f"x-to-y={short}", "--data", corpus], "'x-to-y' is not a direction"),
        (["--outputs", outputs, "--data", corpus, "--split", "tset"], "no part named 'tset', did you mean test?"),
        (["--outputs", outputs, "--data", f"negative={short}"], "only the class 'negative'"),
        (["--outputs", outputs], "--data is missing"),
        ([pristine_model], "--data is missing"),
        ([tmp_path, "--data", corpus], "neither an exported model, nor a run, nor a folder of rewrites"),
        (["no-such-model", "--data", corpus], "no model named 'no-such-model'"),
        ([pristine_model, "--data", corpus, "--references", f"negative={short}"], "short.txt has 2 lines"),
    ]
    for arguments, message in cases:
        status, output, messages = invoke(*arguments)
        assert (status, output) == (1, ""), arguments
        assert message in messages, arguments
        assert len(messages.splitlines()) <= 2, messages


def test_a_model_without_a_class_of_the_data(corpus: Path, pristine_model: Path, tmp_path: Path) -> None:
    data = [
        f"--data={name}={corpus}/train.{label}.txt" for name, label in (("positive", "positive"), ("odd", "negative"))
    ]
    status, _, messages = invoke(pristine_model, *data)
    assert status == 1
    assert "has no class 'odd'" in messages
    assert "its classes are: positive, negative, neutral tone, endless; give data of these classes." in messages


def test_usage() -> None:
    for arguments, message in (
        (["--words", "14a"], "'14a' is not one of none, 13a, char"),
        (["--json", "--markdown"], "exclude each other"),
        (["--limit", "0"], "Invalid value for '--limit'"),
    ):
        status, _, messages = invoke(*arguments)
        assert status == 2
        assert message in messages


def test_save_outputs_needs_a_model(corpus: Path, tmp_path: Path) -> None:
    rewrites = _write(tmp_path / "mine.txt", _test_lines(corpus, "positive"))
    arguments = [
        "--outputs",
        f"negative-to-positive={rewrites}",
        "--data",
        corpus,
        "--save-outputs",
        tmp_path / "saved",
    ]
    status, _, messages = invoke(*arguments)
    assert status == 2
    assert "'--save-outputs' needs a model" in messages
    assert not (tmp_path / "saved").exists()


def test_help_keeps_its_examples_and_needs_nothing_heavy() -> None:
    status, output, _ = invoke("--help")
    assert status == 0
    assert "\n    arae evaluate yelp-sentiment --data yelp\n" in output
    program = (
        "import sys, arae_transfer.cli.evaluate; "
        "print([name for name in ('torch', 'sklearn', 'sacrebleu', 'numpy', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_data_is_read_as_the_model_learned_from_it(corpus: Path, small_model: Path, tmp_path: Path) -> None:
    layout = ExportLayout(small_model)
    config = json.loads(layout.config.read_text("utf-8"))
    config["form"] = {"lower_case": True, "tokens": "penn-treebank", "number": ""}
    config["recipe"] = {"data": {"writing": "ordinary", "text_column": "body", "label_column": "kind"}}
    layout.config.write_text(as_exported(config), "utf-8")
    rows = ["body,kind,split"]
    for label in ("negative", "positive", "unknown to the model"):
        rows += [f"{line.capitalize()},{label},train" for line in _test_lines(corpus, "negative") if "," not in line]
        rows += [f"{word} wasn't {label}.,{label},test" for word in ("Food", "Place")]
    table = _write(tmp_path / "table.csv", rows)
    wishes = ["--data", table, "--json", "--quiet", "--rule-sample", 1, "--device", "cpu", "--threads", "1"]
    status, output, messages = invoke(small_model, *wishes)
    assert (status, messages) == (0, "")
    report = json.loads(output)
    assert list(report["directions"]) == ["negative-to-positive", "positive-to-negative"]
    assert report["signature"]["form of all text"] == "penn-treebank words, lower case"
    copied = report["samples"][0]
    # To `positive` this model copies: had it been given the line as it was written, it could not.
    assert copied["source"] == copied["rewrites"]["small"] == "food was n't negative ."
    references = tmp_path / "references"
    _write(references / "negative-to-positive.txt", ["Food wasn't negative.", "Place wasn't negative."])
    status, output, _ = invoke(small_model, *wishes, "--references", references)
    assert status == 0
    scores = json.loads(output)["directions"]["negative-to-positive"]["systems"]["small"]
    assert scores["reference_bleu"]["value"] == scores["self_bleu"]["value"] == 100
