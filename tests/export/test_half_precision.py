"""Graphs that compute in fp16: what is rounded and what is not, whose weights they read, and where they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, shape_inference
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.export.agreement import Agreement, measure_agreement
from arae_transfer.export.calibration import build_graphs
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.export import export_model
from arae_transfer.export.graph import Graph, value
from arae_transfer.export.graph import make_model as wrap
from arae_transfer.export.graph_files import GraphFiles
from arae_transfer.export.half_precision import HalfGraph, RoundedGraph
from arae_transfer.export.parity import open_graph, rewrites_of
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.runtime import device
from arae_transfer.runtime.buckets import Bucket
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.device import CPU, Device
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.tokenizer import END_ID, Tokenizer
from tests.descriptions import as_exported

from .conftest import MAXIMUM_LENGTH
from .test_graphs import CASES, batch, make

Make = Callable[..., tuple[ARAE, Recipe]]
ROWS = [[*row[: length - 1], END_ID] for row, length in zip(*(part.tolist() for part in batch(96)), strict=True)]


def half(values: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return values.astype(np.float16).astype(np.float32)


def measure(model: ARAE, kind: type[Graph]) -> Agreement:
    graphs = build_graphs(model, {}, "fp16", lambda index: kind())
    expected = rewrites_of(model, ROWS, MAXIMUM_LENGTH)
    files = GraphFiles.of(graphs, ExportLayout(Path()))
    return measure_agreement(model, files, ROWS, expected, MAXIMUM_LENGTH)


def test_products_are_rounded_as_a_gpu_rounds_them() -> None:
    generator = np.random.default_rng(0)
    matrix = half(generator.normal(size=(300, 200)).astype(np.float32))
    added, read = generator.normal(size=300).astype(np.float32), generator.normal(size=(40, 200)).astype(np.float32)
    graph = RoundedGraph()
    graph.matmul("read", "matrix", matrix, graph.constant("added", added, np.float32), "product")
    inputs = [value("read", TensorProto.FLOAT, ["rows", 200])]
    outputs = [value("product", TensorProto.FLOAT, ["rows", 300])]
    session = open_graph(wrap(graph.build("rounded", inputs, outputs), {}, "").SerializeToString())
    (found,) = session.run(None, {"read": read})
    wanted = half(half(read) @ matrix.T) + added
    # Sums in another order may fall on the other side of a boundary of fp16.
    assert np.mean(found == wanted) > 0.99
    assert np.mean(found == read @ matrix.T + added) < 0.1


@pytest.mark.parametrize("case", CASES)
def test_the_graphs_are_near_the_model(case: str) -> None:
    model = make(case)
    # Random weights this wide make chaos of small differences: rewrites that part have little more in common.
    assert measure(model, HalfGraph).identical > 0.7
    assert measure(model, RoundedGraph).identical > 0.7


@pytest.mark.parametrize("case", CASES)
def test_matrices_are_read_in_fp16_and_what_is_delicate_is_in_fp32(case: str) -> None:
    model = make(case)
    for graph in (
        build_encoder(model.encoder, {}, "fp16", HalfGraph()),
        build_decoder(model.decoder(0), {}, "fp16", HalfGraph()),
    ):
        inferred = shape_inference.infer_shapes(graph, strict_mode=True).graph
        graphs = [inferred, *(each.g for node in inferred.node for each in node.attribute if each.HasField("g"))]
        types = {
            each.name: each.type.tensor_type.elem_type
            for own in graphs
            for each in (*own.input, *own.value_info, *own.output)
        }
        types |= {each.name: each.data_type for each in inferred.initializer}
        nodes = [node for own in graphs for node in own.node]
        # The type of what onnxruntime's own operator gives is not inferred; it is that of what it reads.
        for node in nodes:
            if node.op_type == "FusedMatMul":
                assert {types[name] for name in node.input} == {TensorProto.FLOAT}
                types[node.output[0]] = TensorProto.FLOAT
        products = [node for node in nodes if node.op_type in ("Gemm", "LSTM")]
        assert products
        for node in products:
            assert {types[name] for name in node.input if name and name != "lengths.int32"} == {TensorProto.FLOAT16}
        for node in nodes:
            if node.op_type in ("Softmax", "ReduceL2", "Div", "Sigmoid", "Tanh", "Add", "Mul", "ReduceMax", "ArgMax"):
                # Nor are those that follow from it.
                assert TensorProto.FLOAT16 not in {types.get(name) for name in node.input}, node.name
        matrices = {each.name for each in inferred.initializer if each.data_type == TensorProto.FLOAT16}
        cast = {node.input[0] for node in nodes if node.op_type == "Cast"} & matrices
        assert cast <= {"layer.0.mean.fp16"}


@pytest.fixture
def exported(make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> Path:
    model, recipe = make_model(bidirectional=True)
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines)
    change_variants(tmp_path / "tiny", accepted=True)
    return tmp_path / "tiny"


def change_variants(folder: Path, names: tuple[str, ...] = ("fp16", "int8"), **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name in names:
        config["variants"][name] |= changes
    (folder / "config.json").write_text(as_exported(config))


def test_graphs_of_one_storage_read_the_same_files(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    half, whole = config["variants"]["fp16"], config
    assert half["agreement"]["compared"] > 100
    for variant in (half, whole):
        assert variant["weights_file"] == "weights.bin"
        assert variant["class_weights"] == {"bad": "decoder.bad.bin", "good": "decoder.good.bin"}
        names = [variant["encoder"], *variant["decoders"].values(), *variant["candidates"].values()]
        assert len({*names}) == 5
        for name in names:
            graph = onnx.load(exported / name, load_external_data=False)
            metadata = {each.key: each.value for each in graph.metadata_props}
            assert metadata.get("variant") == ("fp16" if variant is half else None)
            assert max(len(each.raw_data) for each in graph.graph.initializer) < 1 << 10
            outside = [each for each in graph.graph.initializer if each.data_location == TensorProto.EXTERNAL]
            assert outside
            own = {f"decoder.{metadata['class']}.bin"} if "class" in metadata else set()
            for each in outside:
                [location] = [entry.value for entry in each.external_data if entry.key == "location"]
                assert location in {"weights.bin"} | own


def test_a_processor_answers_as_in_fp32(exported: Path, lines: list[str]) -> None:
    asked = Rewriter.load(exported, device="cpu", threads=1, variant="fp16")
    assert (asked.variant, asked.device) == ("fp16", CPU)
    plain = Rewriter.load(exported, device="cpu", threads=1, variant="fp32")
    for options in (DecodingOptions(), DecodingOptions(beam=3)):
        found = list(asked.transfer(lines, "good", options=options))
        wanted = list(plain.transfer(lines, "good", options=options))
        assert np.mean([a == b for a, b in zip(found, wanted, strict=True)]) > 0.9


def test_what_a_processor_makes_of_them_is_said(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("the soup was cold .\n")
    arguments = ["transfer", str(tmp_path / "lines.txt"), "--model", str(exported), "--to", "good", "--device", "cpu"]
    said = CliRunner().invoke(app, [*arguments, "--variant", "fp16"])
    assert (said.exit_code, len(said.stdout.splitlines())) == (0, 1)
    assert "a CPU computes fp16 in fp32" in said.stderr
    assert "fp16" not in CliRunner().invoke(app, [*arguments, "--variant", "fp32"]).stderr


def test_a_gpu_takes_them_where_the_export_found_them_near_enough(exported: Path) -> None:
    def chosen(kind: str) -> str:
        opened = Sessions(ModelFolder.read(exported), "cpu")
        opened._opener.device = Device(kind)
        return opened.variant

    assert (chosen("cuda"), chosen("cpu")) == ("fp16", "int8")
    change_variants(exported, ("fp16",), accepted=False)
    assert (chosen("cuda"), chosen("cpu")) == ("fp32", "int8")


@pytest.mark.skipif(device.gpu_visible(), reason="there is a GPU")
def test_without_a_usable_gpu_auto_takes_the_variant_of_the_processor(
    exported: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = list(Rewriter.load(exported, device="cpu", threads=1).transfer(lines, "good"))
    monkeypatch.setattr(device, "gpu_visible", lambda: True)
    rewriter = Rewriter.load(exported, threads=1)
    assert list(rewriter.transfer(lines, "good")) == wanted
    assert (rewriter.variant, rewriter.device) == ("int8", CPU)
    assert rewriter.fallback is not None


def test_a_processor_that_cannot_run_them_says_what_can(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = onnxruntime.InferenceSession

    def refuse(content: bytes, *arguments: Any, **named: Any) -> onnxruntime.InferenceSession:
        if b"\x12\x04fp16" in content:  # what the file says of itself: its variant
            raise RuntimeError("NOT_IMPLEMENTED : Could not find an implementation for Gemm(13)")
        return opened(content, *arguments, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(AraeError, match=r"on a CPU: NOT_IMPLEMENTED") as caught:
        Rewriter.load(exported, device="cpu", variant="fp16").prepare("good")
    assert "--variant fp32" in (caught.value.hint or "")
    assert Rewriter.load(exported, device="cpu", variant="fp32").prepare("good") == "good"


@pytest.mark.parametrize("name", ["encoder.fp16.onnx", "weights.bin", "decoder.good.bin", "decoder.good.fp16.onnx"])
def test_a_damaged_file_is_named(exported: Path, name: str) -> None:
    content = bytearray((exported / name).read_bytes())
    content[len(content) // 2] ^= 1
    (exported / name).write_bytes(content)
    with pytest.raises(AraeError, match=rf"{name} is damaged"):
        Rewriter.load(exported, device="cpu", variant="fp16").prepare("good")


def test_weights_in_an_unknown_variant_are_an_error(exported: Path) -> None:
    change_variants(exported, ("fp16",), weights_in="fp64")
    with pytest.raises(AraeError, match=r"config\.json is damaged"):
        Rewriter.load(exported)


def test_weights_stored_in_fp32_have_no_fp16_graphs(
    make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path
) -> None:
    model, recipe = make_model()
    report = export_model(model, recipe, tokenizer, tmp_path / "x", name="x", probe_lines=lines, weights="fp32")
    assert report.half_agreement is None
    assert not [name for name in report.sizes if "fp16" in name]
    with pytest.raises(AraeError, match="has no fp16 variant") as caught:
        Rewriter.load(tmp_path / "x", variant="fp16")
    assert "--weights fp16" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "options",
    [DecodingOptions(), DecodingOptions(beam=3), DecodingOptions(sample=3, seed=5), DecodingOptions(source="auto")],
)
@pytest.mark.parametrize("variant", ["fp32", "fp16"])
def test_batches_filled_up_have_the_same_answers(
    exported: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, options: DecodingOptions, variant: str
) -> None:
    texts = [" ".join(lines[number : number + 1 + number % 3]) for number in range(40)]
    rewriter = Rewriter.load(exported, device="cpu", threads=1, variant=variant)

    def outputs(batch_size: int) -> list[list[str]]:
        found = rewriter.rewrites(texts, "good", batch_size=batch_size, long="truncate", options=options)
        return [[each.output, *(candidate.output for candidate in each.candidates)] for each in found]

    wanted = outputs(64)
    sizes: list[tuple[int, ...]] = []
    fill = Bucket.fill_all

    def watch(bucket: Bucket, values: Any) -> Any:
        filled = fill(bucket, values)
        sizes.append(filled.shape)
        return filled

    monkeypatch.setattr(Bucket, "fill_all", watch)
    monkeypatch.setattr(Sessions, "in_buckets", True)
    assert outputs(64) == outputs(7) == outputs(1) == wanted
    assert len({each[0] for each in wanted}) > 5
    assert {rows for rows, _ in sizes} <= {1, 8, 16, 32, 64, 128, 256}
    assert {time % 8 for _, time in sizes} == {0}


@pytest.mark.gpu
@pytest.mark.skipif(not device.gpu_visible(), reason="no GPU")
def test_a_gpu_answers_nearly_as_the_processor(exported: Path, lines: list[str]) -> None:
    on_gpu = Rewriter.load(exported, device="cuda")
    found = list(on_gpu.transfer(lines, "good"))
    assert (on_gpu.variant, on_gpu.device.kind) == ("fp16", "cuda")
    wanted = list(Rewriter.load(exported, device="cpu", variant="fp32").transfer(lines, "good"))
    assert np.mean([a == b for a, b in zip(found, wanted, strict=True)]) > 0.7
