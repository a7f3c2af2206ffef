"""The graphs answer as the PyTorch model does, in any batch, and stop where it stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.graph import Storage
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.model.arae import ARAE
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID

from .conftest import MAXIMUM_LENGTH, random_model, random_recipe

VOCABULARY = 61
METADATA = {"format": "arae-export", "name": "tiny"}

Array = npt.NDArray[Any]

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "single, no projection": ({"code": "single", "code_size": 16}, 2),
    "single, both directions, shared": (
        {"code": "single", "bidirectional": True, "encoder_layers": 2, "decoder_layers": 2, "shared_embeddings": True},
        3,
    ),
    "single, three layers": ({"code": "single", "bidirectional": True, "decoder_layers": 3}, 2),
    "superposed": ({"code": "superposed", "decoder_layers": 2}, 2),
    "superposed, residual": (
        {
            "code": "superposed",
            "bidirectional": True,
            "code_size": 64,
            "decoder_layers": 2,
            "shared_embeddings": True,
            "residual": True,
        },
        3,
    ),
    "sequence": ({"code": "sequence"}, 2),
    "sequence, no projection": ({"code": "sequence", "bidirectional": True, "code_size": 32, "decoder_layers": 2}, 2),
    "sequence, shared, three layers": (
        {
            "code": "sequence",
            "bidirectional": True,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "shared_embeddings": True,
        },
        3,
    ),
    "sequence, residual": (
        {
            "code": "sequence",
            "bidirectional": True,
            "code_size": 14,
            "decoder_layers": 2,
            "shared_embeddings": True,
            "residual": True,
        },
        2,
    ),
    "sequence, shared": ({"code": "sequence", "encoder_layers": 3, "decoder_layers": 2, "shared_embeddings": True}, 2),
}


class Graphs:
    """The sessions of one model."""

    def __init__(self, model: ARAE, storage: Storage = "fp16") -> None:
        self.encoder = self._open(build_encoder(model.encoder, METADATA, storage))
        self.decoders = [
            self._open(build_decoder(model.decoder(index), METADATA, storage)) for index in range(len(model.classes))
        ]

    @staticmethod
    def _open(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def encode(self, tokens: Array, lengths: Array) -> tuple[Array, Array]:
        code, mask = self.encoder.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
        return code, mask

    def decode(self, index: int, code: Array, mask: Array, maximum_length: int = MAXIMUM_LENGTH) -> Array:
        feed = {"code": code, "code_mask": mask, "maximum_length": np.array(maximum_length)}
        (tokens,) = self.decoders[index].run(["tokens"], feed)
        assert isinstance(tokens, np.ndarray)
        return tokens

    def rewrite(self, index: int, tokens: Array, lengths: Array, maximum_length: int = MAXIMUM_LENGTH) -> Array:
        return self.decode(index, *self.encode(tokens, lengths), maximum_length)


def make(case: str, storage: Storage = "fp16") -> ARAE:
    settings, classes = CASES[case]
    model = random_model(random_recipe(**settings), ("a", "b", "c")[:classes], VOCABULARY)
    return round_weights_for_storage(model, storage)


def batch(rows: int = 48, seed: int = 3) -> tuple[Array, Array]:
    """Return rows of all lengths from a lone end id to the longest, padded at the right."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, MAXIMUM_LENGTH + 1, size=rows)
    lengths[:2] = 1, MAXIMUM_LENGTH
    tokens = generator.integers(END_ID + 1, VOCABULARY, size=(rows, MAXIMUM_LENGTH))
    places = np.arange(MAXIMUM_LENGTH)
    tokens[places == lengths[:, None] - 1] = END_ID
    tokens[places >= lengths[:, None]] = PAD_ID
    return tokens, lengths


def trimmed(rows: Array) -> list[list[int]]:
    return [row[: row.index(END_ID) + 1] if END_ID in row else row for row in rows.tolist()]


@pytest.mark.parametrize("storage", ["fp16", "fp32"])
@pytest.mark.parametrize("case", CASES)
def test_the_graphs_answer_as_the_model(case: str, storage: Storage) -> None:
    model = make(case, storage)
    graphs = Graphs(model, storage)
    tokens, lengths = batch()
    with torch.no_grad():
        code, mask = model.encoder(torch.from_numpy(tokens), torch.from_numpy(lengths))
    graph_code, graph_mask = graphs.encode(tokens, lengths)
    assert graph_mask.dtype == np.float32
    np.testing.assert_array_equal(graph_mask, mask.float().numpy())
    np.testing.assert_allclose(graph_code, code.numpy(), atol=1e-5)
    compared: list[list[int]] = []
    for index in range(len(model.classes)):
        wanted = model.decoder(index).greedy(code, mask, MAXIMUM_LENGTH).numpy()
        answers = graphs.decode(index, graph_code, graph_mask)
        np.testing.assert_array_equal(answers, wanted)
        compared += trimmed(answers)
    # The comparison means something only where answers differ and end at different places.
    assert len({tuple(row) for row in compared}) > 24
    assert len({len(row) for row in compared}) > 4


def test_the_classes_answer_differently() -> None:
    model = make("sequence, shared, three layers")
    graphs = Graphs(model)
    answers = [trimmed(graphs.rewrite(index, *batch())) for index in range(3)]
    assert answers[0] != answers[1] != answers[2] != answers[0]


@pytest.mark.parametrize("case", CASES)
def test_company_and_padding_change_nothing(case: str) -> None:
    graphs = Graphs(make(case))
    tokens, lengths = batch()
    code, mask = graphs.encode(tokens, lengths)
    together = trimmed(graphs.decode(1, code, mask))
    for row in range(0, len(tokens), 5):
        alone_tokens, alone_lengths = tokens[row : row + 1, : lengths[row]], lengths[row : row + 1]
        alone_code, alone_mask = graphs.encode(alone_tokens, alone_lengths)
        vectors = alone_code.shape[1]
        np.testing.assert_allclose(alone_code[0], code[row, :vectors], atol=1e-6)
        assert trimmed(graphs.decode(1, alone_code, alone_mask)) == together[row : row + 1]
    wider = np.pad(tokens, ((0, 0), (0, 7)), constant_values=PAD_ID)
    assert trimmed(graphs.rewrite(1, wider, lengths)) == together
    order = np.random.default_rng(5).permutation(len(tokens))
    assert trimmed(graphs.rewrite(1, tokens[order], lengths[order])) == [together[row] for row in order]


@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared"])
def test_what_stands_in_padded_vectors_does_not_matter(case: str) -> None:
    graphs = Graphs(make(case))
    code, mask = graphs.encode(*batch())
    soiled = np.where(mask[:, :, None] > 0, code, np.float32(3.0))
    np.testing.assert_array_equal(graphs.decode(0, soiled, mask), graphs.decode(0, code, mask))


@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared"])
def test_the_loop_stops_when_all_rows_have_ended(case: str) -> None:
    graphs = Graphs(make(case))
    tokens, lengths = batch()
    answers = graphs.rewrite(0, tokens, lengths, 200)
    rows = trimmed(answers)
    ended = [number for number, row in enumerate(rows) if row[-1] == END_ID]
    assert ended
    chosen = np.array(ended)
    stopped = graphs.rewrite(0, tokens[chosen], lengths[chosen], 200)
    assert stopped.shape[1] == max(len(rows[number]) for number in ended) < 200
    for row, answer in zip(trimmed(stopped), stopped.tolist(), strict=True):
        assert answer[len(row) :] == [PAD_ID] * (len(answer) - len(row))


@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared"])
def test_the_loop_stops_at_the_maximum_length(case: str) -> None:
    model = make(case)
    with torch.no_grad():
        model.decoder(0).output.bias[END_ID] = -1e4
    graphs = Graphs(model)
    tokens, lengths = batch()
    longest = graphs.rewrite(0, tokens, lengths, 40)
    assert longest.shape == (len(tokens), 40)
    for steps in (1, 5):
        np.testing.assert_array_equal(graphs.rewrite(0, tokens, lengths, steps), longest[:, :steps])


@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared"])
def test_ids_without_text_are_never_written(case: str) -> None:
    model = make(case)
    with torch.no_grad():
        model.decoder(0).output.bias[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = 1e4
    graphs = Graphs(model)
    for row in trimmed(graphs.rewrite(0, *batch())):
        assert not {PAD_ID, UNKNOWN_ID, BEGIN_ID} & set(row)


def test_a_zero_code_is_not_divided_by_zero() -> None:
    model = make("single, three layers")
    assert isinstance(model.encoder.projection, torch.nn.Linear)
    with torch.no_grad():
        model.encoder.projection.weight.zero_()
        model.encoder.projection.bias.zero_()
    code, _ = Graphs(model).encode(*batch())
    np.testing.assert_array_equal(code, np.zeros_like(code))


@pytest.mark.parametrize("case", ["single", "sequence"])
def test_graphs_say_what_they_are(case: str) -> None:
    model = round_weights_for_storage(random_model(random_recipe(code=case), ("a", "b"), VOCABULARY), "fp16")
    for graph in (
        build_encoder(model.encoder, METADATA, "fp16"),
        build_decoder(model.decoder(0), METADATA | {"class": "a"}, "fp16"),
    ):
        metadata = {entry.key: entry.value for entry in graph.metadata_props}
        assert metadata.items() >= METADATA.items()
        for node in graph.graph.node:
            assert node.name
            assert all(node.output)
    axes = {
        each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in [*graph.graph.input, *graph.graph.output]
    }
    vectors = 1 if case == "single" else "vectors"
    assert axes == {
        "code": ["batch", vectors, 12],
        "code_mask": ["batch", vectors],
        "maximum_length": [],
        "tokens": ["batch", "steps"],
    }


@pytest.mark.parametrize("case", CASES)
def test_the_same_model_gives_the_same_bytes(case: str) -> None:
    first, second = make(case), make(case)
    assert build_encoder(first.encoder, METADATA, "fp16").SerializeToString() == (
        build_encoder(second.encoder, METADATA, "fp16").SerializeToString()
    )
    assert build_decoder(first.decoder(1), METADATA, "fp16").SerializeToString() == (
        build_decoder(second.decoder(1), METADATA, "fp16").SerializeToString()
    )


def test_unrounded_weights_are_not_stored_as_fp16() -> None:
    model = random_model(random_recipe(), ("a", "b"), VOCABULARY)
    with pytest.raises(ValueError, match="round the model first"):
        build_encoder(model.encoder, METADATA, "fp16")


def test_a_model_of_the_shipped_size_fits_its_folder() -> None:
    settings = {
        "code": "sequence",
        "code_size": 256,
        "embedding_size": 256,
        "hidden_size": 384,
        "bidirectional": True,
        "decoder_layers": 2,
        "shared_embeddings": True,
    }
    model = round_weights_for_storage(ARAE(random_recipe(**settings), ("a", "b"), 8000), "fp16")
    graphs = [build_encoder(model.encoder, METADATA, "fp16")]
    graphs += [build_decoder(model.decoder(index), METADATA, "fp16") for index in range(2)]
    assert sum(graph.ByteSize() for graph in graphs) < 30e6
    for graph in graphs:
        tables = [tensor.name for tensor in graph.graph.initializer if 8000 in tensor.dims and len(tensor.dims) == 2]
        assert tables == ["embedding.fp16"]
