"""A small exported model that is genuine in every respect but one: its graphs are written by hand.

What it does can be said in a sentence, so that tests know the right answer to any line: to ``positive`` it copies
the tokens, to ``negative`` it replaces each learned piece by the next one, to ``neutral tone`` it reverses the
tokens, and to ``endless`` it repeats a line feed without an end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from arae_transfer.layout import ExportLayout
from arae_transfer.text import TextFormat
from arae_transfer.tokenizer import END_ID, MINIMUM_VOCABULARY, PAD_ID, SPECIAL_IDS, Tokenizer

# Whoever starts the tests in the background may have told them to ignore Ctrl-C, and processes pass that on; the tests
# send it to the commands that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where a process per core runs tests, each has a core of its own: what asks how many threads or processes it may have,
# in these processes and in those that they start, would otherwise take all cores from the others.
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.sched_setaffinity(0, {cores[number % len(cores)]})

# Tiny products are faster in one thread, and give the same bits on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup() -> None:
    """Let torch, where it is loaded, use one thread again, whatever the test before chose."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


CLASSES = ("positive", "negative", "neutral tone", "endless")
MAXIMUM_TOKENS = 24
FIRST_LEARNED = MINIMUM_VOCABULARY - 1
SENTENCES = (
    "the food was cold and the waiter was rude .",
    "the food was warm and the waiter was friendly .",
    "great place , i will come back !",
    "terrible place , i will never come back !",
    "we waited an hour for a table and left hungry .",
    "they were so nice and the prices are fair .",
)


def _value(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> bytes:
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


CODE = [
    _value("code", TensorProto.FLOAT, ["batch", "vectors", 1]),
    _value("code_mask", TensorProto.FLOAT, ["batch", "vectors"]),
]
TOKENS = _value("tokens", TensorProto.INT64, ["batch", "time"])


def _encoder() -> bytes:
    """Return a graph whose code of a token is its id, and, in padding, a number that no token has."""
    node = helper.make_node
    nodes = [
        node("Shape", ["tokens"], ["time"], start=1, end=2),
        node("Squeeze", ["time"], ["time.scalar"]),
        node("Range", ["zero", "time.scalar", "one"], ["places"]),
        node("Unsqueeze", ["lengths", "axis"], ["lengths.column"]),
        node("Less", ["places", "lengths.column"], ["real"]),
        node("Cast", ["real"], ["code_mask"], to=TensorProto.FLOAT),
        node("Where", ["real", "tokens", "garbage"], ["marked"]),
        node("Unsqueeze", ["marked", "axis.last"], ["marked.vectors"]),
        node("Cast", ["marked.vectors"], ["code"], to=TensorProto.FLOAT),
    ]
    one = np.array([1], np.int64)
    constants = {"zero": np.int64(0), "one": np.int64(1), "garbage": np.int64(7), "axis": one, "axis.last": one + 1}
    return _model(nodes, [TOKENS, _value("lengths", TensorProto.INT64, ["batch"])], CODE, constants)


def _decoder(class_name: str, vocabulary_size: int) -> bytes:
    """Return a graph whose loop writes one token a turn, as the class demands."""
    node = helper.make_node
    body = [
        node("Cast", ["turn"], ["place"], to=TensorProto.INT64),
        node("Sub", ["last", "one"], ["content"]),
        node("Less", ["place", "content"], ["inside"]),
        node("Sub", ["content", "one"], ["content.last"]),
        node("Sub", ["content.last", "place"], ["mirrored"]),
        node("Add", ["place", "zeros"], ["straight"]),
        node("Identity", ["mirrored" if class_name == "neutral tone" else "straight"], ["wished"]),
        node("Max", ["wished", "zero"], ["wished.least"]),
        node("Min", ["wished.least", "content"], ["index"]),
        node("Unsqueeze", ["index", "axis"], ["index.column"]),
        node("GatherElements", ["ids", "index.column"], ["gathered"], axis=1),
        node("Squeeze", ["gathered", "axis"], ["copied"]),
        node("GreaterOrEqual", ["copied", "first"], ["learned"]),
        node("Sub", ["copied", "first.before"], ["offset"]),
        node("Mod", ["offset", "learned.count"], ["offset.next"]),
        node("Add", ["offset.next", "first"], ["shifted"]),
        node("Where", ["learned", "shifted", "copied"], ["replaced"]),
        node("Identity", ["replaced" if class_name == "negative" else "copied"], ["chosen"]),
        node("Where", ["inside", "chosen", "end"], ["ended"]),
        node("Where", ["never", "line_feed", "ended"], ["token.running"]),
        node("Where", ["running", "token.running", "pad"], ["token"]),
        node("Equal", ["token", "end"], ["is_end"]),
        node("Not", ["is_end"], ["goes_on"]),
        node("And", ["running", "goes_on"], ["running.next"]),
        node("Cast", ["running.next"], ["running.int"], to=TensorProto.INT64),
        node("ReduceMax", ["running.int"], ["any"], keepdims=0),
        node("Cast", ["any"], ["again.next"], to=TensorProto.BOOL),
    ]
    loop = helper.make_graph(
        body,
        "turn",
        [
            _value("turn", TensorProto.INT64, []),
            _value("again", TensorProto.BOOL, []),
            _value("running", TensorProto.BOOL, ["batch"]),
        ],
        [
            _value("again.next", TensorProto.BOOL, []),
            _value("running.next", TensorProto.BOOL, ["batch"]),
            _value("token", TensorProto.INT64, ["batch"]),
        ],
    )
    nodes = [
        node("Squeeze", ["code", "axis.last"], ["ids.float"]),
        node("Cast", ["ids.float"], ["ids"], to=TensorProto.INT64),
        node("ReduceSum", ["code_mask", "axis"], ["last.float"], keepdims=0),
        node("Cast", ["last.float"], ["last"], to=TensorProto.INT64),
        node("Mul", ["last", "zero"], ["zeros"]),
        node("GreaterOrEqual", ["last", "zero"], ["everywhere"]),
        node("Loop", ["maximum_length", "true", "everywhere"], ["running.last", "by_turn"], body=loop),
        node("Transpose", ["by_turn"], ["tokens"], perm=[1, 0]),
    ]
    one = np.array([1], np.int64)
    constants = {"zero": np.int64(0), "one": np.int64(1), "axis": one, "axis.last": one + 1, "true": np.bool_(True)}
    constants |= {"end": np.int64(END_ID), "pad": np.int64(PAD_ID), "never": np.bool_(class_name == "endless")}
    constants |= {"line_feed": np.int64(len(SPECIAL_IDS) + ord("\n"))}
    constants |= {"first": np.int64(FIRST_LEARNED), "first.before": np.int64(FIRST_LEARNED - 1)}
    constants |= {"learned.count": np.int64(vocabulary_size - FIRST_LEARNED)}
    return _model(nodes, [*CODE, _value("maximum_length", TensorProto.INT64, [])], [TOKENS], constants)


def _write_model(root: Path) -> None:
    layout = ExportLayout(root)
    root.mkdir(parents=True)
    tokenizer = Tokenizer.train(SENTENCES, 400)
    tokenizer.save(layout.tokenizer)
    layout.encoder.write_bytes(_encoder())
    for name in CLASSES:
        layout.decoder(name).write_bytes(_decoder(name, tokenizer.vocabulary_size))
    contents = {path.name: path.read_bytes() for path in root.iterdir()}
    config = {
        "format": "arae-export",
        "format_version": 1,
        "name": root.name,
        "arae_version": "0",
        "classes": CLASSES,
        "special_ids": SPECIAL_IDS,
        "maximum_tokens": MAXIMUM_TOKENS,
        "sizes": {},
        "form": asdict(TextFormat()),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in contents.items()
        },
        "encoder": layout.encoder.name,
        "decoders": {name: layout.decoder(name).name for name in CLASSES},
        "tokenizer": layout.tokenizer.name,
    }
    layout.config.write_text(json.dumps(config), "utf-8")


@pytest.fixture(scope="session")
def pristine_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the small model; tests must not change it."""
    root = tmp_path_factory.mktemp("models") / "small"
    _write_model(root)
    return root


@pytest.fixture
def small_model(pristine_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the small model that a test may damage."""
    return Path(shutil.copytree(pristine_model, tmp_path / "small"))


@pytest.fixture(scope="session")
def expected_rewrite(pristine_model: Path) -> Callable[[str, str], str]:
    """Return a function that says, without onnxruntime, what the small model answers to a line for a class."""
    tokenizer = Tokenizer.load(ExportLayout(pristine_model).tokenizer)

    def rewrite(line: str, class_name: str) -> str:
        ids: npt.NDArray[np.int64] = np.array(tokenizer.encode(line)[: MAXIMUM_TOKENS - 1], np.int64)
        if class_name == "negative":
            count = tokenizer.vocabulary_size - FIRST_LEARNED
            ids = np.where(ids >= FIRST_LEARNED, (ids - FIRST_LEARNED + 1) % count + FIRST_LEARNED, ids)
        elif class_name == "neutral tone":
            ids = ids[::-1]
        return tokenizer.decode(ids.tolist())

    return rewrite


@pytest.fixture(scope="session")
def editor() -> Any:
    """Return a tiny model that edits, with random weights, its recipe and its tokenizer; tests must not change it."""
    import torch

    from arae_transfer.model.arae import ARAE
    from arae_transfer.model.quality import QualityEstimator
    from arae_transfer.recipe import recipe_from_table

    words = ("cold", "warm", "rude", "friendly", "slow", "quick", "bad", "good", "awful", "lovely")
    things = ("food", "waiter", "room", "soup", "place", "music")
    lines = [f"the {thing} was {word} and {other} ." for thing in things for word in words for other in words]
    tokenizer = Tokenizer.train(lines, 330, threads=1)
    sizes = {"code_size": 16, "embedding_size": 16, "hidden_size": 24, "inner_size": 20, "attention_heads": 2}
    shape = {"encoder": "transformer", "code": "sequence", "encoder_layers": 2, "frozen_layers": 1} | sizes
    table = {
        "name": "editor",
        "task": "editing",
        "model": shape,
        "data": {"maximum_tokens": 20, "writing": "ordinary"},
        "form": {"lower_case": True, "tokens": "penn-treebank", "number": "_num_"},
        "adversary": {"weight": 0.0},
        "attribute": {"weight": 0.0},
        "training": {"schedule": "joint"},
    }
    recipe = recipe_from_table(table | {"quality": {"layers": 1}})
    torch.manual_seed(5)
    model = ARAE(recipe_from_table(table), ("bad", "good"), tokenizer.vocabulary_size)
    with torch.no_grad():
        for parameter in model.autoencoder_parameters():
            # So wide that each line is edited in its own way.
            parameter.normal_(0.0, 3.0 * parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3)
        network: Any = model.decoders[0].network
        network.output.bias[: MINIMUM_VOCABULARY - 1] = -30.0  # single bytes rarely make a text
        network.output.bias[MINIMUM_VOCABULARY - 1 :] -= 5.0  # so that edits end after a few tokens
        network.finish.bias.fill_(-2.0)
    encoder: Any = model.encoder
    model.quality = QualityEstimator(encoder, recipe.quality, 2, 0.1)
    return model.eval(), recipe, tokenizer


@pytest.fixture(scope="session")
def exported_editor(editor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of that model, exported in fp32 and in int8; tests must not change it."""
    from arae_transfer.export.editing import export_edits

    model, recipe, tokenizer = editor
    folder = tmp_path_factory.mktemp("editors") / "editor"
    lines = [f"the {thing} was {word} ." for thing in ("food", "soup", "room") for word in ("cold", "warm", "slow")]
    export_edits(model, recipe, tokenizer, folder, probe_lines=lines, weights="fp32", beam=3)
    return folder
