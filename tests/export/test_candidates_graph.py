"""The graph of candidates against a search and a draw in PyTorch that know nothing of rows, batches or loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from arae_transfer.export.candidates_graph import build_candidates
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.encoder_graph import build_encoder
from arae_transfer.export.external_weights import WeightsFile, WeightsFiles
from arae_transfer.export.parity import open_graph
from arae_transfer.model.arae import ARAE
from arae_transfer.runtime.decoding import Hypothesis, backtrack_hypotheses
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID

from .conftest import MAXIMUM_LENGTH
from .test_graphs import CASES, METADATA, VOCABULARY, batch, make

Array = npt.NDArray[Any]
# The random weights are so wide that they amplify the last digits of fp32.
NEAR = 2e-3
LINES = 24


class Search:
    """The graph of candidates of one class, which shares its weights with the greedy decoder."""

    def __init__(self, model: ARAE, index: int) -> None:
        encoder = build_encoder(model.encoder, METADATA, "fp16")
        greedy = build_decoder(model.decoder(index), METADATA, "fp16")
        graph = build_candidates(model.decoder(index), METADATA, "fp16")
        files = WeightsFiles(WeightsFile("weights.bin"), {"a": WeightsFile("decoder.bin")})
        files.take(encoder, {"a": [greedy]}, least=64)
        whole, stored = graph.ByteSize(), files.by_class["a"].content
        files.take(encoder, {"a": [graph]}, least=64)
        assert graph.ByteSize() < whole
        own = files.by_class["a"].content
        assert len(own) - len(stored) < 0.2 * len(stored)
        weights = [("weights.bin", files.shared.content), ("decoder.bin", own)]
        self.encoder, self.session, self.greedy = (
            open_graph(each.SerializeToString(), *weights) for each in (encoder, graph, greedy)
        )

    def encode(self, tokens: Array, lengths: Array) -> tuple[Array, Array]:
        code, mask = self.encoder.run(["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
        return code, mask

    def __call__(
        self,
        code: Array,
        mask: Array,
        width: int,
        limits: Array,
        temperature: float = 0.0,
        uniforms: Array | None = None,
    ) -> list[list[Hypothesis]]:
        if uniforms is None:
            uniforms = np.zeros((0, 0), np.float32)
        feed = {
            "line.code": code,
            "line.code_mask": mask,
            "maximum_length": np.array(limits.max()),
            "limits": limits,
            "width": np.array(width),
            "temperature": np.array(temperature, np.float32),
            "uniforms": uniforms,
        }
        tokens, parents, totals, counts = self.session.run(["tokens", "parents", "totals", "counts"], feed)
        return backtrack_hypotheses(tokens, parents, totals, counts, width)


def log_probabilities(
    model: ARAE, index: int, code: torch.Tensor, mask: torch.Tensor, prefix: list[int]
) -> torch.Tensor:
    """Return the (vocabulary,) log-probabilities of what follows a prefix."""
    decoder = model.decoder(index)
    with torch.no_grad():
        features = decoder.features(torch.tensor([[BEGIN_ID, *prefix]]), code, mask)[0, -1]
        logits = decoder.output(features)
    logits[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = -math.inf
    result: torch.Tensor = logits.log_softmax(0)
    return result


def search(
    model: ARAE, index: int, code: torch.Tensor, mask: torch.Tensor, width: int, limit: int
) -> list[tuple[float, list[int]]]:
    """Search with a beam, by its definition; return (total, tokens), best first."""

    def ended(tokens: list[int]) -> bool:
        return bool(tokens) and (tokens[-1] == END_ID or len(tokens) == limit)

    beam: list[tuple[float, list[int]]] = [(0.0, [])]
    while not all(ended(tokens) for _, tokens in beam):
        found = [each for each in beam if ended(each[1])]
        for total, tokens in beam:
            if not ended(tokens):
                gains = log_probabilities(model, index, code, mask, tokens)
                found += [(total + float(gains[token]), [*tokens, token]) for token in range(VOCABULARY)]
        beam = sorted(found, key=lambda each: -each[0] / len(each[1]))[:width]
    return beam


@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared, three layers"])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_beam_search_finds_what_its_definition_finds(case: str, width: int) -> None:
    model = make(case)
    tokens, lengths = batch(LINES)
    graph = Search(model, 1)
    code, mask = graph.encode(tokens, lengths)
    limits = np.random.default_rng(2).integers(3, MAXIMUM_LENGTH, LINES)
    answers = graph(code, mask, width, limits)
    sizes = set()
    for line, answer in enumerate(answers):
        own = torch.from_numpy(code[line : line + 1]), torch.from_numpy(mask[line : line + 1]) > 0
        wanted = search(model, 1, *own, width, int(limits[line]))
        assert [each.tokens for each in answer] == [tokens for _, tokens in wanted]
        np.testing.assert_allclose([each.total for each in answer], [total for total, _ in wanted], atol=NEAR)
        sizes |= {len(each.tokens) for each in answer}
        assert {each.finished for each in answer} <= {True, False}
    assert len(sizes) > 3
    assert any(each.finished for answer in answers for each in answer)
    assert any(not each.finished for answer in answers for each in answer)


@pytest.mark.parametrize("case", CASES)
def test_a_beam_of_one_is_the_greedy_decode(case: str) -> None:
    graph = Search(make(case), 1)
    code, mask = graph.encode(*batch())
    feed = {"code": code, "code_mask": mask, "maximum_length": np.array(MAXIMUM_LENGTH)}
    (greedy,) = graph.greedy.run(["tokens"], feed)
    wanted = [row[: row.index(END_ID) + 1] if END_ID in row else row for row in greedy.tolist()]
    limits = np.full(len(code), MAXIMUM_LENGTH)
    assert [answer[0].tokens for answer in graph(code, mask, 1, limits)] == wanted


@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_samples_are_drawn_where_the_uniform_numbers_say(case: str, temperature: float) -> None:
    model = make(case)
    graph = Search(model, 0)
    code, mask = graph.encode(*batch(LINES))
    width = 3
    limits = np.random.default_rng(2).integers(3, MAXIMUM_LENGTH, LINES)
    uniforms = np.random.default_rng(4).random((MAXIMUM_LENGTH, LINES * width), np.float32)
    answers = graph(code, mask, width, limits, temperature, uniforms)
    drawn = set()
    for line, answer in enumerate(answers):
        own = torch.from_numpy(code[line : line + 1]), torch.from_numpy(mask[line : line + 1]) > 0
        for place, hypothesis in enumerate(answer):
            total = 0.0
            for step, token in enumerate(hypothesis.tokens):
                gains = log_probabilities(model, 0, *own, hypothesis.tokens[:step])
                cumulative = (gains / temperature).softmax(0).double().cumsum(0)
                uniform = float(uniforms[step, line * width + place])
                assert float(cumulative[token - 1]) - NEAR <= uniform < float(cumulative[token]) + NEAR
                total += float(gains[token])
            assert len(hypothesis.tokens) == limits[line] or hypothesis.finished
            assert END_ID not in hypothesis.tokens[:-1]
            assert hypothesis.total == pytest.approx(total, abs=NEAR)
            drawn.add(tuple(hypothesis.tokens))
    assert len(drawn) > LINES


def test_samples_follow_the_distribution() -> None:
    model = make("sequence, shared")
    graph = Search(model, 0)
    code, mask = graph.encode(*(part[:1] for part in batch(2)))
    number = 4000
    uniforms = np.random.default_rng(4).random((1, number), np.float32)
    answers = graph(code, mask, number, np.array([1]), 2.0, uniforms)[0]
    own = torch.from_numpy(code), torch.from_numpy(mask) > 0
    shares = (log_probabilities(model, 0, *own, []) / 2.0).softmax(0).numpy()
    seen = np.bincount([answer.tokens[0] for answer in answers], minlength=VOCABULARY) / number
    # Five standard deviations of a share.
    assert (np.abs(seen - shares) <= 5 * np.sqrt(shares * (1 - shares) / number) + 1e-9).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("case", ["single, three layers", "sequence, shared"])
def test_company_changes_no_candidate(case: str, temperature: float) -> None:
    graph = Search(make(case), 1)
    tokens, lengths = batch(LINES)
    code, mask = graph.encode(tokens, lengths)
    width = 4
    limits = lengths + 3
    uniforms = np.random.default_rng(6).random((int(limits.max()), LINES, width), np.float32)
    together = graph(code, mask, width, limits, temperature, uniforms.reshape(len(uniforms), -1))
    for line in range(LINES):
        alone = graph.encode(tokens[line : line + 1, : lengths[line]], lengths[line : line + 1])
        (answer,) = graph(*alone, width, limits[line : line + 1], temperature, uniforms[:, line])
        assert [each.tokens for each in answer] == [each.tokens for each in together[line]]
        np.testing.assert_allclose([each.total for each in answer], [each.total for each in together[line]], atol=NEAR)


def test_ids_without_text_are_never_candidates() -> None:
    model = make("sequence, shared")
    with torch.no_grad():
        model.decoder(0).output.bias[[PAD_ID, UNKNOWN_ID, BEGIN_ID]] = 1e4
    graph = Search(model, 0)
    code, mask = graph.encode(*batch(LINES))
    uniforms = np.zeros((MAXIMUM_LENGTH, LINES * 5), np.float32)  # the first id that has any share
    uniforms[:, ::2] = np.float32(1 - 2**-24)  # the last one
    limits = np.full(LINES, MAXIMUM_LENGTH)
    for temperature in (0.0, 1.0):
        for answer in graph(code, mask, 5, limits, temperature, uniforms):
            for each in answer:
                assert not {PAD_ID, UNKNOWN_ID, BEGIN_ID} & set(each.tokens)
                assert max(each.tokens) < VOCABULARY
