"""8-bit graphs: near the model's answers, the same in every batch, and free of overflow on every processor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from arae_transfer.errors import AraeError
from arae_transfer.export.agreement import Agreement, measure_agreement
from arae_transfer.export.calibration import build_quantized, calibration_rows
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.export import export_model
from arae_transfer.export.graph_files import GraphFiles, empty_weights
from arae_transfer.export.parity import open_graph, open_graphs, probe_rows, rewrites_of
from arae_transfer.export.quantization import ObservingGraph, smoothing
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.runtime.batching import pad
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import END_ID, Tokenizer
from tests.descriptions import as_exported

from .conftest import MAXIMUM_LENGTH
from .test_graphs import CASES, batch, make

Make = Callable[..., tuple[ARAE, Recipe]]
ROWS = [[*row[: length - 1], END_ID] for row, length in zip(*(part.tolist() for part in batch(96)), strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_the_encoder_in_loops_is_the_encoder(case: str) -> None:
    model = make(case, "fp32")
    tokens, lengths = batch()
    graph = open_graph(build_encoder(model.encoder, {}, graph=ObservingGraph()).SerializeToString())
    code, mask = graph.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
    with torch.no_grad():
        wanted, real = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
    np.testing.assert_array_equal(mask, real.float().numpy())
    np.testing.assert_allclose(code, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_answers_are_near_the_models_and_the_same_in_every_batch(case: str) -> None:
    model = make(case, "fp32")
    graphs = build_quantized(model, ROWS, MAXIMUM_LENGTH, {})
    layout = ExportLayout(Path())
    encoder, decoders = open_graphs(GraphFiles.of(graphs, layout, "int8", empty_weights(layout, "int8", model.classes)))
    decoder = decoders["b"]

    def rewrite(rows: list[list[int]]) -> list[list[int]]:
        tokens, lengths = pad(rows)
        code, mask = encoder.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
        (found,) = decoder.run(["tokens"], {"code": code, "code_mask": mask, "maximum_length": np.array(12)})
        return [row[: row.index(END_ID) + 1] if END_ID in row else row for row in found.tolist()]

    together = rewrite(ROWS)
    assert [rewrite([row])[0] for row in ROWS] == together
    assert rewrite(ROWS[::-1])[::-1] == together
    assert [answer for start in range(0, len(ROWS), 7) for answer in rewrite(ROWS[start : start + 7])] == together
    wanted = rewrites_of(model, ROWS, MAXIMUM_LENGTH)["b"]
    assert len(set(map(tuple, wanted))) > 12
    # Random weights this wide make chaos of small differences; by chance, one row in twelve would agree at the most.
    assert np.mean([a == b for a, b in zip(together, wanted, strict=True)]) > 0.3


def steps_of(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """Return the bodies of the innermost loops of a graph."""
    bodies = [each.g for node in graph.node for each in node.attribute if each.name == "body"]
    return [step for body in bodies for step in steps_of(body) or [body]]


@pytest.mark.parametrize("case", CASES)
def test_each_value_is_quantized_once_and_states_stay_quantized(case: str) -> None:
    graphs = build_quantized(make(case, "fp32"), ROWS, MAXIMUM_LENGTH, {})
    for graph in (graphs.encoder, *graphs.decoders.values(), *graphs.candidates.values()):
        steps = steps_of(graph.graph)
        assert steps
        for body in steps:
            read = [node.input[0] for node in body.node if node.op_type == "QuantizeLinear"]
            assert read
            assert len(set(read)) == len(read)
            carried = {each.name: each.type.tensor_type.elem_type for each in body.input if "hidden" in each.name}
            # A final state of an encoder that is the code itself has to be whole.
            holds = {"running", "token"} & {each.name for each in body.input} == {"running"}
            assert set(carried.values()) == {onnx.TensorProto.FLOAT if holds else onnx.TensorProto.UINT8}


def test_no_processor_can_overflow(make_model: Make, tokenizer: Tokenizer, lines: list[str]) -> None:
    graphs = build_quantized(make_model()[0], calibration_rows(lines, tokenizer, 12), 12, {})
    for graph in (graphs.encoder, *graphs.decoders.values()):
        stored = [each for each in graph.graph.initializer if each.data_type == onnx.TensorProto.INT8]
        assert len(stored) >= 3
        for each in stored:
            # Two products of an unsigned and a signed number are added up in 16 bits by older processors.
            assert 2 * 255 * np.abs(numpy_helper.to_array(each).astype(int)).max() < 2**15


def test_what_passes_the_attended_vector_leaves_the_other_weights_their_bits() -> None:
    model = make("sequence, residual", "fp32")
    with torch.no_grad():
        for index in range(len(model.classes)):
            bridge = model.decoder(index).bridge.get_parameter("weight")
            bridge.uniform_(-0.1, 0.1)
            model.decoder(index).start_residual()
    graphs = build_quantized(model, ROWS, MAXIMUM_LENGTH, {})
    for graph in graphs.decoders.values():
        stored = [each for each in graph.graph.initializer if "bridge.weight" in each.name]
        [matrix] = [numpy_helper.to_array(each) for each in stored if each.data_type == onnx.TensorProto.INT8]
        size = min(matrix.shape)
        states = matrix[:, :-size] if matrix.shape[0] == size else matrix[:-size]
        assert np.mean(np.abs(states.astype(int)) > 10) > 0.5


def test_smoothing_leaves_products_as_they_are_and_uses_all_bits() -> None:
    generator = np.random.default_rng(1)
    ranges = generator.uniform(0.01, 20.0, 40).astype(np.float32)
    values = generator.normal(size=(30, 40)).astype(np.float32)
    divisors = smoothing(ranges, values)
    inputs = generator.normal(size=(5, 40)).astype(np.float32)
    np.testing.assert_allclose((inputs / divisors) @ (values * divisors).T, inputs @ values.T, rtol=1e-3, atol=1e-3)
    assert (ranges / divisors).max() == pytest.approx(127)


def test_a_variant_that_costs_too_much_must_be_asked_for() -> None:
    near = Agreement(compared=100, identical=0.9, tokens=0.95, style_cost=0.5, self_bleu_cost=-3.0)
    assert near.accepted
    assert not Agreement(100, 0.99, 0.99, style_cost=0.6, self_bleu_cost=0.0).accepted
    assert not Agreement(100, 0.99, 0.99, style_cost=0.0, self_bleu_cost=0.51).accepted
    assert not Agreement(100, 0.0, 0.0, style_cost=float("nan"), self_bleu_cost=0.0).accepted


def test_agreement_tells_damaged_graphs(make_model: Make, tokenizer: Tokenizer, lines: list[str]) -> None:
    model = make_model()[0]
    rows, _ = probe_rows(lines, tokenizer, 12)
    expected = rewrites_of(model, rows, 12)
    graphs = build_quantized(model, calibration_rows(lines, tokenizer, 12), 12, {})

    def measure() -> Agreement:
        return measure_agreement(model, GraphFiles.of(graphs, ExportLayout(Path())), rows, expected, 12)

    before = measure()
    assert before.compared == 2 * len(rows)
    assert 0.6 < before.identical <= before.tokens
    tensor = next(each for each in graphs.decoders["bad"].graph.initializer if each.name == "query.scales")
    tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    assert measure().identical < before.identical - 0.2


@pytest.fixture
def exported(make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> Path:
    model, recipe = make_model()
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines)
    return tmp_path / "tiny"


def change_variant(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["variants"]["int8"] |= changes
    (folder / "config.json").write_text(as_exported(config))


def test_the_variant_is_chosen_by_what_the_export_found(exported: Path, lines: list[str]) -> None:
    change_variant(exported, accepted=True)
    automatic = Rewriter.load(exported, device="cpu", threads=1)
    assert automatic.variant == "int8"
    answers = list(automatic.transfer(lines, "good"))
    assert list(Rewriter.load(exported, device="cpu", variant="int8").transfer(lines, "good", batch_size=3)) == answers
    assert Rewriter.load(exported, device="cpu", variant="fp32").variant == "fp32"
    change_variant(exported, accepted=False)
    assert Rewriter.load(exported, device="cpu").variant == "fp32"
    assert Rewriter.load(exported, device="cpu", variant="int8").variant == "int8"


@pytest.mark.parametrize("name", ["encoder.int8.onnx", "decoder.good.int8.onnx"])
def test_a_damaged_file_is_named(exported: Path, name: str) -> None:
    change_variant(exported, accepted=True)
    content = bytearray((exported / name).read_bytes())
    content[len(content) // 2] ^= 1
    (exported / name).write_bytes(content)
    with pytest.raises(AraeError, match=rf"{name} is damaged"):
        Rewriter.load(exported, device="cpu").prepare("good")
    assert Rewriter.load(exported, device="cpu", variant="fp32").prepare("good") == "good"
    (exported / name).unlink()
    with pytest.raises(AraeError, match=rf"{name} is missing"):
        Rewriter.load(exported, device="cpu").prepare("good")


def test_a_damaged_description_of_a_variant_is_an_error(exported: Path) -> None:
    change_variant(exported, encoder="../encoder.onnx")
    with pytest.raises(AraeError, match=r"config\.json is damaged"):
        Rewriter.load(exported)
