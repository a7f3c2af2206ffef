"""The graph of the style scorer: the scorer's own judgement, whatever the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arae_transfer.errors import AraeError
from arae_transfer.export.graph import Storage
from arae_transfer.export.parity import open_graph
from arae_transfer.export.scorer_graph import build_scorer, export_scorer
from arae_transfer.export.weights import round_weights_for_storage

from .test_graphs import METADATA, batch, make


@pytest.mark.parametrize("storage", ["fp16", "fp32"])
def test_the_graph_judges_as_the_scorer(storage: Storage) -> None:
    model = make("sequence, shared, three layers", storage)
    tokens, lengths = batch()
    mask = np.arange(tokens.shape[1]) < lengths[:, None]
    with torch.no_grad():
        wanted = model.scorer(torch.from_numpy(tokens), torch.from_numpy(mask)).log_softmax(1).numpy()
    graph = open_graph(export_scorer(model.scorer, METADATA, storage))
    feed = {"tokens": tokens, "mask": mask.astype(np.float32)}
    (found,) = graph.run(["log_probabilities"], feed)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.std(axis=0).min() > 0.01
    soiled = np.where(mask, tokens, 5)
    (again,) = graph.run(["log_probabilities"], feed | {"tokens": soiled})
    np.testing.assert_array_equal(again, found)
    for row in range(0, len(tokens), 7):
        alone = {"tokens": tokens[row : row + 1, : lengths[row]], "mask": np.ones((1, lengths[row]), np.float32)}
        np.testing.assert_allclose(graph.run(["log_probabilities"], alone)[0][0], found[row], atol=1e-6)


def test_a_text_without_tokens_has_a_judgement() -> None:
    model = make("sequence, shared")
    graph = open_graph(build_scorer(model.scorer, METADATA, "fp16").SerializeToString())
    feed = {"tokens": np.zeros((2, 1), np.int64), "mask": np.zeros((2, 1), np.float32)}
    with torch.no_grad():
        wanted = model.scorer.last.bias.log_softmax(0).numpy()
    np.testing.assert_allclose(graph.run(None, feed)[0], [wanted, wanted], atol=1e-6)


def test_weights_of_the_scorer_that_are_no_numbers_are_refused() -> None:
    model = make("sequence, shared")
    with torch.no_grad():
        model.scorer.last.bias[0] = float("nan")
    with pytest.raises(AraeError, match="style scorer does not judge"):
        export_scorer(model.scorer, METADATA, "fp16")
    with pytest.raises(AraeError, match="not finite"):
        round_weights_for_storage(model, "fp16")
