"""A model of one kind of text, from a file of sentences to new ones: train, export, sample, move along offsets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.cli import sample as sample_command
from arae_transfer.cli.options import typed_text
from arae_transfer.corpus.quickstart import make_sentences
from arae_transfer.layout import ExportLayout, RunLayout

QUICK = [
    "tokenizer.vocabulary_size=500",
    "data.maximum_tokens=40",
    "model.code_size=24",
    "model.embedding_size=24",
    "model.hidden_size=32",
    "adversary.generator_layers=[32]",
    "adversary.critic_layers=[32]",
    "training.sampled_softmax=0",
    "training.batch_size=32",
    "training.sentences=4800",
    "training.learning_rate=1e-2",
    "validation.every=2400",
    "validation.sentences=20",
]


def invoke(*arguments: object, text: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)), input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def settings(*further: str) -> list[str]:
    return [part for setting in (*QUICK, *further) for part in ("--set", setting)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "mine.txt"
    made = make_sentences(3, train_lines=300, held_out_lines=1)["train"]
    file.write_text("".join(f"{line}\n" for own in made.values() for line in own), "utf-8")
    return file


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    arguments = ["--data", corpus, "--runs", runs, "--name", "one", "--threads", "1", *settings()]
    status, folder, said = invoke("train", "snli-generation", *arguments)
    assert status == 0, said
    assert "arae sample --model exported/snli-generation" in said
    return Path(folder.strip())


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "mine"
    status, _, said = invoke("export", run, "-o", folder)
    assert status == 0, said
    assert "cannot be combined" not in said
    return folder


def test_validation_asks_how_well_samples_foretell_real_text(run: Path) -> None:
    records = [json.loads(line) for line in RunLayout(run).metrics.read_text("utf-8").splitlines()]
    found = [record for record in records if "valid/reverse_perplexity" in record]
    assert [record["step"] for record in found] == [75, 150]
    for record in found:
        assert record["valid/score"] == pytest.approx(1000 / record["valid/reverse_perplexity"], rel=1e-3)
        assert "valid/style" not in record
    assert found[-1]["valid/nll"] < found[0]["valid/nll"]


def test_its_code_space_is_diagnosed(run: Path, tmp_path: Path) -> None:
    status, said, messages = invoke("diagnose", run, "-o", tmp_path / "found", "--no-plots", "--threads", 1)
    assert status == 0, messages
    data = json.loads((tmp_path / "found" / "diagnosis.json").read_bytes())
    assert data["run"]["classes"] == ["text"] and data["sentences"] > 10
    assert data["history"]["run"]["generated_variance"]["values"] and data["projection"]["run"]["generated"]
    assert "With one class" in said
    # It has no classifier on its code, so its plain counterpart differs in one key.
    (command,) = [line for line in messages.splitlines() if "arae train" in line]
    assert "--set adversary.weight=0 --set tokenizer.model=" in command


def test_an_export_holds_what_generation_needs_and_no_more(model: Path) -> None:
    config = json.loads(ExportLayout(model).config.read_text("utf-8"))
    assert (config["task"], config["classes"], config["scorer"]) == ("generation", ["text"], None)
    assert "generator.onnx" in config["files"]
    assert not [name for name in config["files"] if name.startswith(("candidates", "scorer"))]
    card = ExportLayout(model).card.read_text("utf-8")
    assert "arae sample --model mine" in card
    assert "arae transfer" not in card
    assert "style" not in card


def test_sampling_needs_no_class_and_says_how_far_it_is(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_command, "SECONDS_BETWEEN_LINES", 0)
    file = tmp_path / "samples.txt"
    status, out, said = invoke("sample", "--model", model, "-n", 2500, "-o", file)
    assert (status, out) == (0, "")
    told = [int(done.replace(",", "")) for done in re.findall(r"([\d,]+) of 2,500 sentences", said)]
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 2500
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) == 2500
    assert invoke("sample", "--model", model, "-n", 7, "--to", "text")[1].splitlines() == lines[:7]
    status, out, said = invoke("sample", "--model", model, "-n", 2500, "--quiet")
    assert (out.splitlines(), said) == (lines, "")
    records = [json.loads(line) for line in invoke("sample", "--model", model, "-n", 3, "--json")[1].splitlines()]
    assert [(record["number"], record["output"]) for record in records] == list(enumerate(lines[:3]))


@pytest.mark.parametrize(
    "arguments",
    [["transfer", "--to", "text"], ["transfer"], ["classify"], ["bench", "transfer"], ["evaluate", "--data", "FILE"]],
    ids=lambda arguments: "-".join(arguments),
)
def test_what_one_kind_of_text_cannot_do_is_said_in_a_line(arguments: list[str], model: Path, tmp_path: Path) -> None:
    if arguments[0] == "evaluate":
        for label in ("text", "other"):
            (tmp_path / f"{label}.txt").write_text("a b .\nc d .\n" * 30, "utf-8")
        data = [part for label in ("text", "other") for part in ("--data", f"{label}={tmp_path / label}.txt")]
        arguments = ["evaluate", str(model), *data]
    else:
        arguments = [*arguments, *([] if arguments[0] == "bench" else ["--model"]), str(model)]
    status, out, said = invoke(*arguments, text="the soup was cold .\n")
    assert (status, out) == (1, "")
    if arguments[0] != "evaluate":  # which may find the classes wrong first
        assert "has a single class" in said
    assert len(said.splitlines()) <= 2


def test_a_walk_of_one_kind_of_text_names_no_class(model: Path) -> None:
    ends = "the soup was cold .", "the waiter was friendly ."
    status, out, _ = invoke("interpolate", *ends, "--model", model, "--steps", 3)
    assert status == 0
    assert len(out.splitlines()) == 3
    assert "\t" not in out


def test_arguments_are_read_as_utf8_in_any_locale(model: Path) -> None:
    def walk(first: str) -> list[str]:
        status, out, _ = invoke("interpolate", first, "the soup was cold .", "--model", model, "--steps", 2, "--json")
        assert status == 0
        return [json.loads(line)["output"] for line in out.splitlines()]

    escaped = "the café was \N{HOT BEVERAGE} .".encode().decode("ascii", "surrogateescape")  # what LC_ALL=C makes of it
    assert walk(escaped) == walk("the café was \N{HOT BEVERAGE} .")
    assert typed_text("soup \udcff") == "soup \ufffd"


def test_a_path_has_a_bound(model: Path) -> None:
    assert invoke("interpolate", "a", "b", "--model", model, "--steps", 1_000_000)[0] == 2


def test_an_offset_answers_one_line_with_one_line(model: Path, corpus: Path) -> None:
    lines = "the waiter\u2028was\x85rude .\nthe soup\x0bwas\u2029cold .\n\n \xff\n" + "a b " * 200 + "\nlast"
    arguments = ["offset", "--model", model, "--word", "soup", "--corpus", corpus, "--quiet"]
    status, out, said = invoke(*arguments, text=lines)
    assert (status, len(out.splitlines()), said) == (0, lines.count("\n") + 1, "")
    status, out, _ = invoke(*arguments, "--json", text=lines)
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["source"] for record in records] == lines.split("\n")
    assert [record["match"] for record in records][1] is True
    assert invoke(*arguments, "--strongest", "nan")[0] == 2


@pytest.mark.parametrize("key", ["attribute.weight=1", "model.code=sequence", "cycle.weight=1", "noise.style_share=1"])
def test_keys_that_generation_would_ignore_are_refused(key: str, corpus: Path) -> None:
    status, _, said = invoke("train", "snli-generation", "--data", corpus, "--set", key)
    assert status == 1
    assert f"{key.partition('=')[0]} has no effect in a generation" in said


def test_several_classes_are_not_one_kind_of_text(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("".join(f"{line.strip()} indeed\n" for line in corpus.open(encoding="utf-8")), "utf-8")
    data = ["--data", f"a={corpus}", "--data", f"b={other}", "--runs", tmp_path / "runs", "--threads", 1]
    status, _, said = invoke("train", "snli-generation", *data)
    assert status == 1
    assert "the data has the classes a, b" in said
    chosen = ["--set", 'data.classes=["b"]', *settings("training.sentences=64")]
    status, folder, said = invoke("train", "snli-generation", *data, *chosen)
    assert status == 0, said
    environment = json.loads(RunLayout(Path(folder.strip())).environment.read_text("utf-8"))
    assert environment["data"] == [f"a={corpus.absolute()}", f"b={other.absolute()}"]


def test_no_data_says_what_to_give() -> None:
    status, _, said = invoke("train", "snli-generation")
    assert status == 1
    assert "--data FILE.txt" in said
