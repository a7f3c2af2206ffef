"""`arae bench transfer`: figures of what was asked for, and errors that say what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from arae_transfer.bench.serving import Load, verdicts
from arae_transfer.bench.transfer import TransferReport, add_ceiling, decoder_shapes, operations_per_line
from arae_transfer.cli import app


def test_a_model_is_measured_in_every_batch_size(pristine_model: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("the food was cold .\n\ngreat place !\n")
    arguments = ["bench", "transfer", str(pristine_model), "--to", "neg", "--data", str(tmp_path / "lines.txt")]
    result = CliRunner().invoke(app, [*arguments, "--lines", "5", "--batch-size", "1", "--batch-size", "3", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["model"], found["to"], found["lines"]) == ("small", "negative", 5)
    assert list(found["throughput"]) == ["fp32"]
    assert list(found["throughput"]["fp32"]) == ["1", "3"]
    assert 0 < found["latency"]["fp32"]["median"] <= found["latency"]["fp32"]["percentile_99"]


def test_what_cannot_be_measured_is_said(pristine_model: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["--batch-size", "0"], "batch size"),
        (["--data", str(tmp_path / "none")], "cannot read"),
        (["--to", "nothing"], "no class 'nothing'"),
    ):
        result = CliRunner().invoke(app, ["bench", "transfer", str(pristine_model), *arguments])
        assert result.exit_code == 1
        assert message in result.stderr


def test_operations_are_two_for_each_weight_that_a_token_meets() -> None:
    sizes = {"hidden": 4, "code_size": 3, "embedding": 5, "vocabulary": 7, "encoder_layers": 1, "decoder_layers": 1}
    encoder, decoder = 16 * (5 + 4) + 4 * 3, 16 * (5 + 4) + 4 * 3 + 5 * (4 + 3) + 7 * 5
    assert operations_per_line({**sizes, "bidirectional": False}, 2, sizes["vocabulary"]) == 2 * 2 * (encoder + decoder)


def test_the_machine_is_measured_at_the_decoders_products() -> None:
    sizes = {"hidden": 4, "code_size": 3, "embedding": 5, "vocabulary": 7, "encoder_layers": 1, "decoder_layers": 2}
    assert decoder_shapes(sizes, 6) == [(5 + 4, 16), (5, 6), (2 * 4 + 3, 16)]
    assert decoder_shapes({**sizes, "code": "superposed"}, 6)[2] == (2 * 4 + 5, 16)
    assert len(decoder_shapes({**sizes, "decoder_layers": 1}, 6)) == 2


def test_the_share_is_the_time_of_the_products_alone() -> None:
    report = TransferReport("small", "good", 10, 1, throughput={"fp32": {1: 50.0, 8: 100.0}})
    add_ceiling(report, {(10, 30): {"fp32": 3.0, "int8": 9.0}, (10, 10): {"fp32": 1.0, "int8": 1.0}}, 1e7)
    # 300 and 100 of 400 weights, at a rate of 3 and of 1.
    assert report.ceiling == pytest.approx({"fp32": 400 / (300 / 3 + 100 / 1), "int8": 400 / (300 / 9 + 100 / 1)})
    assert report.share == pytest.approx({"fp32": 100 * 1e7 / 2e9})


def test_a_server_is_measured_with_and_without_batches(pristine_model: Path) -> None:
    arguments = ["bench", "serve", str(pristine_model), "--to", "neg", "--seconds", "0.5"]
    result = CliRunner().invoke(app, [*arguments, "--clients", "1", "--clients", "4", "--cores", "1", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["model"], found["to"]) == ("small", "negative")
    measured = [(load["cores"], load["clients"], load["batched"]) for load in found["loads"]]
    assert measured == [(1, 1, False), (1, 1, True), (1, 4, False), (1, 4, True)]
    for load in found["loads"]:
        assert load["requests"] > 2
        assert 0 < load["median"] <= load["percentile_95"]
    assert [bar["bar"] for bar in found["bars"]] == [3.0, 0.95, 10.0]


def test_bars_are_met_by_what_reaches_them() -> None:
    def load(clients: int, batched: bool, rate: float, high: float) -> Load:
        return Load(2, clients, batched, 100, rate, high / 2, high, 1.0)

    slow = [load(1, False, 100, 10), load(1, True, 90, 10), load(32, False, 100, 99), load(32, True, 299, 101)]
    assert [met for *_, met in verdicts(slow)] == [False, False, False]
    fast = [load(1, False, 100, 10), load(1, True, 95, 10), load(32, False, 100, 99), load(32, True, 300, 100)]
    assert [met for *_, met in verdicts(fast)] == [True, True, True]


def test_what_a_server_cannot_be_measured_with_is_said(pristine_model: Path) -> None:
    for arguments, message in (
        (["--clients", "0"], "--clients takes numbers from 1"),
        (["--cores", "9999"], "this process may use only"),
        (["--to", "nothing"], "no class 'nothing'"),
    ):
        result = CliRunner().invoke(app, ["bench", "serve", str(pristine_model), *arguments])
        assert result.exit_code == 1
        assert message in result.stderr
