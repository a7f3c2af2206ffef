"""`arae diagnose` on tiny runs."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.layout import RunLayout
from arae_transfer.model.decoder import mean_of_code
from arae_transfer.paper.diagnosis.coder import Coder, Sentence
from arae_transfer.paper.diagnosis.interpretation import interpret
from arae_transfer.paper.diagnosis.plots import CLASS_STYLES, _history, _projection
from arae_transfer.paper.diagnosis.swaps import Answers, paired_differences
from arae_transfer.tokenizer import END_ID
from arae_transfer.training.checkpoint import load_run


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["diagnose", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def diagnosis(make_run: Any) -> dict[str, Any]:
    """Return the diagnosis of a run beside a baseline."""
    run, baseline = make_run("first"), make_run("plain", adversary=0.0)
    status, output, messages = invoke(run, "--baseline", baseline, "--no-plots", "--threads", "1", "--json")
    assert status == 0, messages
    data: dict[str, Any] = json.loads(output)
    return data


@pytest.mark.parametrize("code", ["sequence", "single"])
def test_a_run_is_diagnosed(make_run: Any, code: str, tmp_path: Path) -> None:
    run = make_run("first", code=code)
    status, output, messages = invoke(run, "--no-plots", "--threads", "1")
    assert status == 0, messages
    assert "Similar sentences, similar codes\n  " in output
    folder = RunLayout(run).diagnosis
    assert f"report are in {folder}" in messages
    data = json.loads((folder / "diagnosis.json").read_bytes())
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "diagnosis.json"]
    assert data["sentences"] == 40
    assert data["neighbours"]["anchors"] > 0
    assert data["pooling"].startswith("none" if code == "single" else "the mean")
    # 12 dimensions, noise 0.1: 6 log2(1 + 1 / 0.12).
    assert data["content"]["run"]["capacity_per_vector"] == pytest.approx(6 * math.log2(1 + 1 / 0.12), abs=1e-4)
    assert (data["content"]["run"]["vectors"] == 1) == (code == "single")
    assert len(data["swaps"]["run"]["nll"]) == 5
    assert sum(map(len, data["projection"]["run"]["points"].values())) == 40
    # The command that trains the baseline that is missing.
    assert "--set adversary.weight=0" in messages and f"--data {tmp_path / 'corpus'}" in messages
    assert "--set adversary.weight=0" in (folder / "README.md").read_text()


def test_the_counterpart_of_a_run_that_went_on_goes_on_too(make_run: Any, corpus: Path) -> None:
    first, second = make_run("first"), make_run("second", attribute={"weight": 0.0})
    for_second = RunLayout(second).environment
    for_second.write_text(json.dumps({"data": [str(corpus)], "initial": str(first)}))
    status, _, messages = invoke(second, "--no-plots", "--threads", "1")
    assert status == 0, messages
    data = f"--data {corpus}"
    commands = [line.strip() for line in messages.splitlines() if "arae train" in line]
    assert commands == [
        f"arae train {first}/recipe.toml --set adversary.weight=0 --set attribute.weight=0 "
        f"--set tokenizer.model={first}/tokenizer.model --name first-plain {data}",
        f"arae train {second}/recipe.toml --set adversary.weight=0 --from runs/tiny/first-plain --name second-plain "
        f"{data}",
    ]
    for_second.write_text(json.dumps({"data": [str(corpus)], "initial": str(first), "initial_checkpoint": "latest"}))
    _, _, messages = invoke(second, "--no-plots", "--threads", "1")
    assert "--from runs/tiny/first-plain:latest --name" in messages
    # What it went on from is gone: nothing trains its like.
    for_second.write_text(json.dumps({"data": [str(corpus)], "initial": str(first / "gone")}))
    status, _, messages = invoke(second, "--no-plots", "--threads", "1")
    assert status == 0 and "arae train" not in messages


def test_a_plain_run_needs_no_counterpart(make_run: Any) -> None:
    plain = make_run("plain", adversary=0.0, attribute={"weight": 0.0})
    status, _, messages = invoke(plain, "--no-plots", "--threads", "1")
    assert status == 0 and "arae train" not in messages


def test_the_same_seed_gives_the_same_numbers(make_run: Any, tmp_path: Path) -> None:
    run = make_run("first")
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert invoke(run, "--no-plots", "--threads", "1", "--seed", seed, "-o", tmp_path / name)[0] == 0
    contents = [(tmp_path / name / "diagnosis.json").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]
    assert not RunLayout(run).diagnosis.exists()


def test_a_baseline_stands_beside_the_run(diagnosis: dict[str, Any]) -> None:
    # Both have the same random weights, so nothing differs but the generator.
    for part in ("neighbours", "swaps", "content", "probe"):
        assert diagnosis[part]["run"] == diagnosis[part]["baseline"]
    assert diagnosis["projection"]["run"]["generated"] and not diagnosis["projection"]["baseline"]["generated"]
    assert diagnosis["swaps"]["difference"] == {"nll": [0] * 5, "interval": [0] * 5}
    assert "not significant" in diagnosis["interpretation"]["swaps"]
    assert diagnosis["history"]["run"]["generated_variance"]["values"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert diagnosis["history"]["baseline"]["generated_variance"]["values"] == []
    assert "generated codes ends at 0.500, 62 %" in diagnosis["interpretation"]["variance"]
    found = diagnosis["neighbours"]
    counted = f"{found['anchors']} sentences, each with {found['partners']:.0f} others on average"
    assert found["anchors"] > 0 and counted in diagnosis["interpretation"]["neighbours"]


def test_interpretations_follow_the_numbers(diagnosis: dict[str, Any]) -> None:
    assert "covers a part" in interpret(diagnosis)["variance"]
    diagnosis["history"]["run"]["generated_variance"]["values"][-1] = 0.01
    assert "has collapsed" in interpret(diagnosis)["variance"]
    diagnosis["history"]["run"]["generated_norm"]["values"][-1] = 0.3
    assert "the generator does not match them" in interpret(diagnosis)["norms"]
    swaps = diagnosis["swaps"]
    swaps["run"]["nll"], swaps["baseline"]["nll"] = [1, 2, 3, 4, 5], [1, 3, 5, 5, 7]
    swaps["difference"] = {"nll": [0.0, -1.0, -2.0, -1.0, -2.0], "interval": [0.1, 0.5, 0.5, 0.5, 0.5]}
    # 14 nats in place of 20.
    assert "repairs swaps 30.0 % better, significantly" in interpret(diagnosis)["swaps"]
    swaps["difference"]["interval"][2] = 2.5
    assert "repairs 1, 3, 4 swaps better (at 2 not significantly" in interpret(diagnosis)["swaps"]
    swaps["difference"]["nll"] = [0.0, -1.0, 2.6, -1.0, -2.0]
    assert "differ by 30.0 %, not significantly at every" in interpret(diagnosis)["swaps"]
    swaps["difference"]["nll"] = [0.0, 1.0, 3.0, 1.0, 2.0]
    assert "the paper's gain does not show" in interpret(diagnosis)["swaps"]
    # Variances of 4 and 1 encoded, of 1 and 0 generated.
    own = diagnosis["projection"]["run"]
    own["points"], own["generated"] = {"a": [[-2, 1]], "b": [[2, -1]]}, [[0.0, 1.0], [2.0, 1.0]]
    assert "have 25 and 0 % of the encoded codes' variance" in interpret(diagnosis)["projection"]
    own["generated"] = None
    assert "generated" not in interpret(diagnosis)["projection"]
    probe = {"accuracy": 52.0, "words": 95.0, "chance": 50.0, "fitted": 500, "tested": 500}
    diagnosis["probe"] = {"run": probe}
    assert "cannot recognize the class" in interpret(diagnosis)["probe"]
    probe["accuracy"] = 90.0
    assert "still reveals the class" in interpret(diagnosis)["probe"]


def test_differences_are_paired() -> None:
    own, other = Answers([], [np.array([1.0, 2.0, 4.0])]), Answers([], [np.array([2.0, 3.0, 3.0])])
    # Differences -1, -1, 1: mean -1/3, standard deviation 2 / sqrt(3).
    means, intervals = paired_differences(own, other)
    assert means == pytest.approx([-1 / 3])
    assert intervals == pytest.approx([1.96 * 2 / 3])


def test_plots(make_run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    run, baseline = make_run("first"), make_run("plain", adversary=0.0)
    status, _, messages = invoke(run, "--baseline", baseline, "-o", tmp_path / "out", "--threads", "1")
    assert status == 0, messages
    names = {"norms", "variance", "neighbours", "swaps", "projection"}
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == names
    for name in names:
        with image.open(io.BytesIO((tmp_path / "out" / f"{name}.png").read_bytes())) as picture:
            grey = np.asarray(picture.convert("L"))
        assert (grey < 60).mean() > 0.001  # dark lines also without colour
        assert (grey[:20] < 60).any(axis=0).sum() > 50  # a title: letters, and not an axis alone
        assert f"({name}.png)" in (tmp_path / "out" / "README.md").read_text()


def test_curves_that_coincide_show_all_their_markers(diagnosis: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    figure = _history(diagnosis, "norm", "norm")  # 1.0 in all of them, at 5 places
    assert figure is not None
    lines = figure.axes[0].get_lines()
    places: list[Any] = [line.get_markevery() for line in lines]
    marked = [set(range(first, 5, every)) for first, every in places]
    assert len(lines) == 3 and all(marked)
    assert sum(map(len, marked)) == len(set().union(*marked))


def test_classes_differ_in_shape_and_are_open_inside(diagnosis: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    own = diagnosis["projection"]["run"]
    own["points"] = {f"class {number}": [[number, 0.5], [0.1, number]] for number in range(10)}
    diagnosis["projection"] = {"run": own}
    figure = _projection(diagnosis)
    clouds = [cloud for cloud in figure.axes[0].collections if str(cloud.get_label()).startswith("class")]
    shapes = {np.asarray(cloud.get_paths()[0].vertices).tobytes() for cloud in clouds}
    assert len(clouds) == len(shapes) == 10
    for cloud, (marker, _) in zip(clouds, CLASS_STYLES, strict=True):
        # Either nothing is filled, or there is no inside; and a colour is left to see.
        assert marker in "x+1" or np.size(cloud.get_facecolor()) == 0
        assert np.size(cloud.get_edgecolor()) > 0


def test_no_matplotlib_says_what_to_install(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("first")
    monkeypatch.setattr("arae_transfer.cli.extras.find_spec", lambda name: None if name == "matplotlib" else name)
    status, _, messages = invoke(run)
    assert status == 1
    assert "pip install 'arae-transfer[plots]'" in messages and "--no-plots" in messages


def test_mistakes_are_said_in_two_lines(make_run: Any, tmp_path: Path) -> None:
    run = make_run("first")
    empty = make_run("empty")
    (RunLayout(empty).environment).unlink()
    bare = make_run("bare")
    RunLayout(bare).metrics.unlink()
    torn = make_run("torn")
    RunLayout(torn).metrics.write_text('{"step": 1, "sent')
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "nowhere"], "is not a run"),
        ([run, "--baseline", tmp_path / "nowhere"], "is not a run"),
        ([run, "--baseline", run], "is not a plain autoencoder: its adversary.weight is 0.01"),
        ([run, "--data", tmp_path / "nowhere"], "cannot read the run's data"),
        ([empty], "does not record where its data are"),
        ([bare], "cannot read"),
        ([torn], "is damaged"),
    ]
    for arguments, message in cases:
        status, output, messages = invoke(*arguments, "--no-plots", "--threads", "1")
        assert (status, output) == (1, ""), arguments
        assert message in messages, messages
        assert len(messages.splitlines()) <= 2, messages
    assert invoke(run, "--checkpoint", "last")[0] == 2


@pytest.mark.parametrize("code", ["sequence", "single"])
def test_the_coder_is_the_model_one_sentence_at_a_time(make_run: Any, lines: list[str], code: str) -> None:
    coder = Coder(load_run(make_run("first", code=code)))
    chosen = lines[:7]
    pooled = coder.pooled(chosen)
    targets = [Sentence(line, ("bad", "good")[place % 2]) for place, line in enumerate(chosen)]
    nll, counts = coder.surprise(list(reversed(chosen)), targets)
    for place, line in enumerate(chosen):
        ids, read = (torch.tensor([[*coder.run.tokenizer.encode(text), END_ID]]) for text in (line, chosen[-1 - place]))
        with torch.no_grad():
            code_, mask = coder.run.model.encoder(ids, torch.tensor([ids.size(1)]))
            assert np.allclose(pooled[place], mean_of_code(code_, mask)[0].numpy(), atol=1e-6)
            code_, mask = coder.run.model.encoder(read, torch.tensor([read.size(1)]))
            logits, wanted = coder.run.model.decoder(place % 2)(ids, code_, mask)
            logarithms = logits.log_softmax(1)[torch.arange(len(wanted)), wanted]
        assert nll[place] == pytest.approx(-float(logarithms.sum()), abs=1e-3)
        assert counts[place] == ids.size(1)


def test_generated_codes_are_as_long_as_those_of_the_sentences(make_run: Any, lines: list[str]) -> None:
    coder = Coder(load_run(make_run("first")))
    generator = coder.run.model.generator
    noise = torch.randn(5, generator.noise_size, generator=torch.Generator().manual_seed(2))
    for found, line, own in zip(coder.generated(lines[:5], 2), lines, noise, strict=False):
        vectors = len(coder.run.tokenizer.encode(line)) + 1  # one for the end
        with torch.no_grad():
            code = generator(own[None], torch.ones(1, vectors, dtype=torch.bool))[0]
        assert np.allclose(found, code.mean(0).numpy(), atol=1e-6)
