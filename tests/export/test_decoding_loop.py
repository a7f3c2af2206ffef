"""Lines that have ended leave the loop of a decoder: no answer changes, and hardly any work is done for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from arae_transfer.export.candidates_graph import build_candidates
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.graph import Graph
from arae_transfer.export.half_precision import HalfGraph
from arae_transfer.export.parity import open_graph, read_inputs
from arae_transfer.runtime.decoding import backtrack_hypotheses

from .conftest import MAXIMUM_LENGTH
from .test_graphs import CASES, METADATA, batch, make

Array = npt.NDArray[Any]
SEVERAL = ["single, three layers", "superposed, residual", "sequence, shared, three layers"]
ROWS = 160
OUTPUTS = ["tokens", "parents", "totals", "counts"]


class Together(Graph):
    """A graph whose decoders keep all lines to the end."""

    compacts_finished_rows = False

    def __init__(self, parent: Self | None = None) -> None:
        super().__init__("fp16", parent)


def codes(case: str, rows: int = ROWS) -> tuple[Array, Array]:
    session = open_graph(build_encoder(make(case).encoder, METADATA, "fp16").SerializeToString())
    tokens, lengths = batch(rows, seed=11)
    code, mask = session.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
    return code, mask


@pytest.mark.parametrize("steps", [MAXIMUM_LENGTH, 5, 1])
@pytest.mark.parametrize("case", CASES)
def test_a_line_that_leaves_has_its_answer(case: str, steps: int) -> None:
    decoder = make(case).decoder(0)
    code, mask = codes(case)
    feed = {"code": code, "code_mask": mask, "maximum_length": np.array(steps)}
    leaving, together = (
        open_graph(build_decoder(decoder, METADATA, "fp16", graph).SerializeToString()).run(["tokens"], feed)[0]
        for graph in (None, Together())
    )
    assert len({tuple(row) for row in together.tolist()}) > steps
    np.testing.assert_array_equal(leaving, together)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("case", SEVERAL)
def test_a_line_that_leaves_has_its_candidates(case: str, width: int, temperature: float) -> None:
    decoder = make(case).decoder(0)
    code, mask = codes(case)
    limits = np.random.default_rng(2).integers(1, MAXIMUM_LENGTH + 1, ROWS)
    feed = {
        "line.code": code,
        "line.code_mask": mask,
        "maximum_length": np.array(MAXIMUM_LENGTH),
        "limits": limits,
        "width": np.array(width),
        "temperature": np.array(temperature, np.float32),
        "uniforms": np.random.default_rng(3).random((MAXIMUM_LENGTH, ROWS * width), np.float32),
    }
    found = []
    for graph in (None, Together()):
        session = open_graph(build_candidates(decoder, METADATA, "fp16", graph).SerializeToString())
        tokens, parents, totals, counts = session.run(OUTPUTS, read_inputs(session, feed))
        found.append(backtrack_hypotheses(tokens, parents, totals, counts, width))
    for leaving, together in zip(*found, strict=True):
        assert [each.tokens for each in leaving] == [each.tokens for each in together]
        np.testing.assert_allclose([each.total for each in leaving], [each.total for each in together], rtol=1e-5)


def worked(graph: onnx.ModelProto, feed: dict[str, Array], folder: Path) -> int:
    """Return how many rows the loop of a decoder works on, all its steps added up."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "steps")
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, feed)
    events = json.loads(Path(session.end_profiling()).read_text())
    steps = [each for each in events if each["name"].startswith("layer.0.cell.tanh/Tanh_kernel")]
    return sum(next(iter(each["args"]["output_type_shape"][0].values()))[0] for each in steps)


def test_hardly_any_work_is_done_for_lines_that_have_ended(tmp_path: Path) -> None:
    case = "sequence, shared"
    decoder = make(case).decoder(0)
    code, mask = codes(case)
    feed = {"code": code, "code_mask": mask, "maximum_length": np.array(MAXIMUM_LENGTH)}
    leaving = build_decoder(decoder, METADATA, "fp16")
    (answers,) = open_graph(leaving.SerializeToString()).run(["tokens"], feed)
    needed = int((answers != 0).sum())
    all_rows = worked(build_decoder(decoder, METADATA, "fp16", Together()), feed, tmp_path)
    assert all_rows == answers.size > 1.5 * needed
    assert needed <= worked(leaving, feed, tmp_path) < 1.2 * needed


def test_a_gpu_keeps_its_sizes() -> None:
    decoder = make("sequence, shared").decoder(0)
    for graph, loops in ((HalfGraph(), 1), (Graph("fp16"), 2)):
        assert depth(build_decoder(decoder, METADATA, "fp16", graph).graph) == loops


def depth(graph: onnx.GraphProto) -> int:
    """Return how many loops stand in one another."""
    bodies = [each.g for node in graph.node if node.op_type == "Loop" for each in node.attribute if each.name == "body"]
    return max((1 + depth(body) for body in bodies), default=0)
