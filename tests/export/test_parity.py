"""The parity check passes graphs that answer as the model does, and no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from arae_transfer.errors import AraeError
from arae_transfer.export import parity
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.graph_files import GraphFiles, Graphs
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.tokenizer import END_ID, Tokenizer

from .conftest import MAXIMUM_LENGTH

Make = Callable[..., tuple[ARAE, Recipe]]


class Checked:
    """A model, its graphs, which a test may damage, and the rows to compare them on."""

    def __init__(self, model: ARAE, tokenizer: Tokenizer, lines: list[str]) -> None:
        self.trained = round_weights_for_storage(model, "fp32")
        self.stored = round_weights_for_storage(model, "fp16")
        self.encoder = build_encoder(self.stored.encoder, {}, "fp16")
        self.decoders = {
            name: build_decoder(self.stored.decoder(index), {}, "fp16") for index, name in enumerate(model.classes)
        }
        self.rows, self.given = parity.probe_rows(lines, tokenizer, MAXIMUM_LENGTH)

    def compare(self) -> parity.Parity:
        return parity.compare(
            self.stored,
            self.trained,
            GraphFiles.of(Graphs(self.encoder, self.decoders, {}), ExportLayout(Path())),
            self.rows,
            self.given,
            MAXIMUM_LENGTH,
        )


@pytest.fixture
def checked(make_model: Make, tokenizer: Tokenizer, lines: list[str]) -> Checked:
    return Checked(make_model()[0], tokenizer, lines)


def change(graph: onnx.ModelProto, name: str, amount: float) -> None:
    """Add a number to every entry of a stored weight."""
    (tensor,) = (each for each in graph.graph.initializer if each.name == name)
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((values + amount).astype(values.dtype), name))


def test_sound_graphs_pass(checked: Checked) -> None:
    found = checked.compare()
    found.require()
    assert found.identical + found.near_ties == found.compared
    # Every row to both classes in batches of 7 and of 64, and 32 rows alone.
    assert found.compared == 2 * (2 * len(checked.rows) + 32)
    assert found.code_difference < 1e-5
    assert 0.5 < found.unrounded_identical <= 1.0


def test_rounding_is_reported(checked: Checked) -> None:
    with torch.no_grad():
        checked.trained.decoder(0).output.bias[END_ID + 1] = 1e3
    assert checked.compare().unrounded_identical < 0.7


@pytest.mark.parametrize("weight", ["layer.0.weight.fp16", "query.fp16", "nearness", "output.bias", "layer.1.bias"])
def test_a_damaged_decoder_is_refused(checked: Checked, weight: str) -> None:
    graph = checked.decoders["good"]
    (tensor,) = (each for each in graph.graph.initializer if each.name == weight)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[::2] *= -1
    tensor.CopyFrom(numpy_helper.from_array(values, weight))
    found = checked.compare()
    assert found.different > 0.005 * found.compared
    with pytest.raises(AraeError, match="nothing was written"):
        found.require()


@pytest.mark.parametrize("weight", ["lstm.0.inputs.fp16", "projection.bias", "embedding.fp16"])
def test_a_damaged_encoder_is_refused(checked: Checked, weight: str) -> None:
    change(checked.encoder, weight, 0.01)
    found = checked.compare()
    assert found.code_difference > parity.GREATEST_CODE_DIFFERENCE
    with pytest.raises(AraeError, match="codes by up to"):
        found.require()


def test_exchanged_decoders_are_refused(checked: Checked) -> None:
    checked.decoders["good"], checked.decoders["bad"] = checked.decoders["bad"], checked.decoders["good"]
    with pytest.raises(AraeError):
        checked.compare().require()


def test_near_ties_are_told_apart_from_faults(make_model: Make, tokenizer: Tokenizer, lines: list[str]) -> None:
    model, _ = make_model(shared_embeddings=False)
    with torch.no_grad():
        # Every token has a twin that is a little less probable.
        output = model.decoder(0).output
        last = tokenizer.vocabulary_size - 2
        output.weight[5:last:2] = output.weight[4:last:2]
        output.bias[5:last:2] = output.bias[4:last:2] - 1e-4
    checked = Checked(model, tokenizer, lines)
    for graph in checked.decoders.values():
        (tensor,) = (each for each in graph.graph.initializer if each.name == "output.bias")
        values = numpy_helper.to_array(tensor).copy()
        values[5:last:2] += np.float32(2e-4)
        tensor.CopyFrom(numpy_helper.from_array(values, "output.bias"))
    found = checked.compare()
    assert found.near_ties > 0.1 * found.compared
    assert found.different == 0
    found.require()
    # The same answers, where the model prefers its own by more.
    with torch.no_grad():
        checked.stored.decoder(0).output.bias[5:last:2] -= 0.05
    with pytest.raises(AraeError):
        checked.compare().require()


def test_what_is_not_a_number_is_refused(checked: Checked) -> None:
    change(checked.encoder, "projection.bias", float("nan"))
    found = checked.compare()
    assert np.isnan(found.code_difference)
    with pytest.raises(AraeError):
        found.require()
    sound = dataclasses.replace(found, identical=found.compared, near_ties=0)
    with pytest.raises(AraeError):
        sound.require()


def test_the_bound_is_a_share_of_the_rewrites(checked: Checked) -> None:
    found = dataclasses.replace(checked.compare(), compared=1000, identical=990, near_ties=5)
    found.require()
    with pytest.raises(AraeError, match="6 of 1,000 rewrites"):
        dataclasses.replace(found, near_ties=4).require()


def test_probes_are_cut_and_joined_by_random_rows(tokenizer: Tokenizer) -> None:
    lines = ["the soup was cold .", "", "   ", "the waiter was rude . " * 20]
    rows, given = parity.probe_rows(lines, tokenizer, MAXIMUM_LENGTH)
    assert given == 2
    assert rows[0] == [*tokenizer.encode(lines[0]), END_ID][:MAXIMUM_LENGTH] or len(rows[0]) == MAXIMUM_LENGTH
    assert len(rows[1]) == MAXIMUM_LENGTH
    assert len(rows) == parity.LEAST_PROBES
    assert {len(row) for row in rows} == set(range(2, MAXIMUM_LENGTH + 1))
    for row in rows:
        assert row.index(END_ID) == len(row) - 1
        assert all(END_ID < piece < tokenizer.vocabulary_size for piece in row[:-1])
    assert parity.probe_rows(lines, tokenizer, MAXIMUM_LENGTH) == (rows, given)


def test_of_many_lines_an_even_choice_is_taken(tokenizer: Tokenizer) -> None:
    lines = ["the soup was cold ."] * 3000 + ["our waiter is rude ."] * 1000
    rows, given = parity.probe_rows(lines, tokenizer, 60)
    assert given == len(rows) == parity.MOST_PROBES
    share = rows.count([*tokenizer.encode(lines[-1]), END_ID]) / len(rows)
    assert share == pytest.approx(0.25, abs=0.01)
