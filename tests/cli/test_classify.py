"""`arae classify`: one line in, one class out; what the graphs say is what the model says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.corpus.labelled import Examples
from arae_transfer.errors import AraeError
from arae_transfer.export.classification import export_classifier
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import recipe_from_table
from arae_transfer.runtime.classifier import Classifier
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.classification import class_probabilities, tokenize_examples

CLASSES = ("bad", "good", "neither")
LINES = [
    "the food was cold and the waiter was rude .",
    "great service !",
    "the soup",
    "we waited an hour for a table and left hungry .",
]


def write(root: Path, *, pairs: bool, code: str) -> tuple[Path, ARAE, Tokenizer]:
    """Export a classification with random weights."""
    torch.manual_seed(3)
    shape = {"code": code, "code_size": 10, "embedding_size": 8, "hidden_size": 8, "bidirectional": code == "sequence"}
    table = {"name": "tiny", "task": "classification", "model": shape, "attribute": {"layers": [7]}}
    table |= {"training": {"schedule": "joint"}, "labels": {"sentence_pairs": pairs}, "data": {"maximum_tokens": 20}}
    recipe = recipe_from_table(table)
    tokenizer = Tokenizer.train(LINES * 3, 320)
    model = ARAE(recipe, CLASSES, tokenizer.vocabulary_size).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.normal_(0.0, 0.5).half().float())
    export_classifier(model, recipe, tokenizer, root, name=root.name, probe_lines=LINES)
    return root, model, tokenizer


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "single", pairs=False, code="single")[0]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "pairs", pairs=True, code="single")[0]


def invoke(*arguments: object, text: str | bytes = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["classify", *map(str, arguments)], input=text)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("pair", "code"), [(False, "single"), (True, "single"), (False, "sequence"), (True, "sequence")]
)
def test_the_graphs_answer_as_the_model(pair: bool, code: str, tmp_path: Path) -> None:
    root, model, tokenizer = write(tmp_path / "tiny", pairs=pair, code=code)
    sentences = (LINES, LINES[::-1]) if pair else (LINES,)
    examples = tokenize_examples(Examples(sentences, [CLASSES[0]] * len(LINES)), tokenizer, 20)
    expected = class_probabilities(model, examples, torch.device("cpu"))
    given = ["\t".join(each) for each in zip(*sentences, strict=True)]
    for batch_size in (1, 3, 64):
        verdicts = list(Classifier.load(root, threads=1).classify(given, batch_size=batch_size))
        found = np.array([list(verdict.probabilities.values()) for verdict in verdicts])
        assert np.abs(found - expected).max() < 1e-5
        assert [verdict.label for verdict in verdicts] == [CLASSES[index] for index in expected.argmax(1)]
    assert len({tuple(row.round(4)) for row in expected}) == len(
        LINES
    )  # answers that do not depend on the line prove nothing


def test_one_line_in_one_class_out(single: Path) -> None:
    text = f"{LINES[0]}\n\n  \n{LINES[1]}\na\tb"
    status, output, messages = invoke("--model", single, text=text)
    assert (status, messages) == (0, "")
    labels = output.split("\n")
    assert len(labels) == 6
    assert labels[1:3] == ["", ""]
    assert all(label in CLASSES for label in (labels[0], labels[3], labels[4]))


def test_json_holds_the_probabilities(single: Path) -> None:
    status, output, _ = invoke("--model", single, "--json", text=f"{LINES[0]}\n{'the food ' * 30}\n")
    assert status == 0
    first, long = map(json.loads, output.splitlines())
    assert first["source"] == LINES[0]
    assert list(first["probabilities"]) == list(CLASSES)
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert first["label"] == max(first["probabilities"], key=first["probabilities"].__getitem__)
    assert (first["truncated"], long["truncated"]) == (False, True)


def test_what_was_cut_or_repaired_is_said_once(single: Path) -> None:
    text = b"the \xff food\n" + b"the food " * 30 + b"\n" + b"the food " * 31 + b"\n"
    status, output, messages = invoke("--model", single, text=text)
    assert (status, output.count("\n")) == (0, 3)
    assert "2 of 3 lines were truncated to 19 tokens" in messages
    assert "1 of 3 lines was repaired" in messages
    assert invoke("--model", single, "--quiet", text=text)[2] == ""


def test_pairs_have_a_tab_between(pairs: Path) -> None:
    text = "the soup\tthe food\nno tab\na\tb\tc\n\tthe food\n\n"
    status, output, messages = invoke("--model", pairs, "--tsv", text=text)
    assert status == 0
    labels = [line.split("\t")[0] for line in output.split("\n")]
    assert labels[0] in CLASSES
    assert labels[1:] == [""] * 5
    assert "3 of 5 lines were left without a class: no tab between two sentences" in messages


def test_a_classification_does_not_rewrite(single: Path) -> None:
    result = CliRunner().invoke(app, ["transfer", "--model", str(single), "--to", "good"], input="the soup\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"the model single classifies text and writes none\n      arae classify --model {single}" in result.stderr
    with pytest.raises(AraeError, match="classifies text"):
        list(Rewriter.load(single).transfer(["the soup"], to="good"))
    result = CliRunner().invoke(app, ["interpolate", "a", "b", "--model", str(single)])
    assert result.exit_code == 1
    assert "classifies text" in result.stderr


def test_a_model_without_a_scorer_does_not_classify(small_model: Path) -> None:
    status, _, messages = invoke("--model", small_model, text="the soup\n")
    assert status == 1
    assert "the model small cannot classify: it was exported before exports held a style scorer" in messages


def test_a_damaged_graph_is_named(single: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in single.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    layout = ExportLayout(copy)
    layout.classifier.write_bytes(layout.classifier.read_bytes()[:-1])
    status, _, messages = invoke("--model", copy, text="the soup\n")
    assert status == 1
    assert "classifier.onnx is damaged" in messages


def test_contradicting_options_are_usage_errors(single: Path) -> None:
    assert invoke("--model", single, "--tsv", "--json")[0] == 2
    assert invoke("--model", single, "--form", "odd", text="a\n")[0] == 1


CHECKED = "great place !\nthe food was cold .\n\nterrible service , never again .\n"


@pytest.fixture
def shipped() -> Path:
    return Path(__file__).resolve().parents[2] / "exported" / "yelp-sentiment"


def test_a_check_names_the_lines_of_a_class_and_fails(shipped: Path, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(CHECKED)
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    status, output, messages = invoke("--model", shipped, "--fail-on", "NEG", *files)
    assert status == 1
    places = [line.split(": ")[0] for line in output.splitlines()]
    assert places == [f"{file}:{number}" for file in files for number in (2, 4)]
    assert output.splitlines()[0].startswith(f"{files[0]}:2: negative ")
    assert output.splitlines()[0].endswith(": the food was cold .")
    assert "4 of 8 lines are negative" in messages


def test_a_check_passes_where_no_line_has_the_class(shipped: Path) -> None:
    assert invoke("--model", shipped, "--fail-on", "negative", text="great place !\n\n") == (0, "", "")
    assert invoke("--model", shipped, "--fail-on", "negative") == (0, "", "")


def test_a_check_lets_less_certain_lines_pass(shipped: Path) -> None:
    _, output, _ = invoke("--model", shipped, "--json", text=CHECKED)
    sure = [json.loads(line)["probabilities"].get("negative", 0) for line in output.splitlines()]
    least = max(sure)
    status, output, messages = invoke(
        "--model", shipped, "--fail-on", "negative", "--min-confidence", least - 1e-6, text=CHECKED
    )
    assert status == 1
    assert len(output.splitlines()) == sum(each >= least - 1e-6 for each in sure) < 2
    assert "1 of 4 lines is negative" in messages
    assert invoke("--model", shipped, "--fail-on", "negative", "--min-confidence", 1, text="the food .\n")[0] == 0


def test_a_check_writes_every_answer_where_it_is_asked_to(shipped: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.tsv"
    status, output, messages = invoke("--model", shipped, "--fail-on", "negative", "--tsv", "-o", file, text=CHECKED)
    assert (status, output) == (1, "")
    assert [line.split("\t")[0] for line in file.read_text().splitlines()] == ["positive", "negative", "", "negative"]
    assert "standard input:2: negative" in messages


def test_a_check_needs_a_class_that_there_is(single: Path) -> None:
    status, _, messages = invoke("--model", single, "--fail-on", "ugly", text="a\n")
    assert status == 1
    assert "no class 'ugly'" in messages
    assert "bad, good, neither" in messages
    assert invoke("--model", single, "--min-confidence", "0.5", text="a\n")[0] == 2
