"""Peak rate of matrix products on this machine in onnxruntime. Needs onnx."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from arae_transfer.bench.transfer import TransferReport, add_ceiling, decoder_shapes, operations_per_line
from arae_transfer.runtime.rewriter import Rewriter

_SECONDS = 0.5


def measure_ceiling(report: TransferReport, rewriter: Rewriter, lines: Sequence[str], rows: int, threads: int) -> None:
    """Measure the machine's peak at a model's matrix products, and add it to a report; see ``add_ceiling``.

    Args:
        report: The report; it stays as it is if the model's export does not say its sizes.
        rewriter: The model.
        lines: What was rewritten.
        rows: The rows of the products.
        threads: The CPU threads.
    """
    config = rewriter.folder.config
    if not config.sizes:
        return
    shortlist = config.shortlist or {}
    choices = shortlist["tokens"] if shortlist.get("accepted") else config.sizes["vocabulary"]
    tokens = sum(each.tokens + 1 for each in rewriter.rewrite_chunk(lines, report.to)) / len(lines)
    rates = {each: product_rates(rows, *each, threads) for each in decoder_shapes(config.sizes, choices)}
    add_ceiling(report, rates, operations_per_line(config.sizes, tokens, choices))


def product_rates(rows: int, inputs: int, outputs: int, threads: int) -> dict[str, float]:
    """Return 10^9 operations per second of (rows, inputs) x (inputs, outputs), in fp32 and int8."""
    generator = np.random.default_rng(0)
    floats = generator.normal(size=(inputs, outputs)).astype(np.float32)
    whole = generator.integers(-63, 64, size=(inputs, outputs)).astype(np.int8)
    sessions = {
        "fp32": _session("MatMul", floats, np.float32, TensorProto.FLOAT, threads),
        "int8": _session("MatMulInteger", whole, np.uint8, TensorProto.INT32, threads),
    }
    feeds = {
        "fp32": generator.normal(size=(rows, inputs)).astype(np.float32),
        "int8": generator.integers(0, 256, size=(rows, inputs)).astype(np.uint8),
    }
    fastest = dict.fromkeys(sessions, float("inf"))
    began = time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"x": feeds[name]})
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    return {name: 2.0 * rows * inputs * outputs / seconds / 1e9 for name, seconds in fastest.items()}


def _session(
    operator: str, weights: np.ndarray, dtype: type, result: int, threads: int
) -> onnxruntime.InferenceSession:
    inputs, outputs = weights.shape
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", element, ["rows", inputs])],
        [helper.make_tensor_value_info("y", result, ["rows", outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
