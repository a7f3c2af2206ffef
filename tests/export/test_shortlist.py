"""A decoder that chooses among its source's tokens and a list of its class's writes what it would write of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from arae_transfer.export import agreement, checked_graphs, shortlist
from arae_transfer.export.agreement import measure_agreement
from arae_transfer.export.calibration import build_quantized, unchecked
from arae_transfer.export.candidates_graph import build_candidates
from arae_transfer.export.decoder_graph import build_decoder
from arae_transfer.export.export import export_model
from arae_transfer.export.graph_files import GraphFiles, Graphs
from arae_transfer.export.half_precision import RoundedGraph
from arae_transfer.export.parity import LEAST_PROBES, rewrites_of
from arae_transfer.export.shortlist import choose_shortlists
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.tokenizer import BEGIN_ID, END_ID, MINIMUM_VOCABULARY, PAD_ID, Tokenizer

from .conftest import MAXIMUM_LENGTH, random_model, random_recipe

VOCABULARY = 301
LISTED = [END_ID, *range(20, 60)]

Array = npt.NDArray[Any]


@pytest.fixture(scope="module", params=[True, False], ids=["shared", "own output"])
def model(request: pytest.FixtureRequest) -> ARAE:
    recipe = random_recipe(code="sequence", decoder_layers=2, shared_embeddings=request.param)
    return round_weights_for_storage(random_model(recipe, ("a", "b"), VOCABULARY), "fp16")


def sources(rows: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    lengths = torch.randint(2, MAXIMUM_LENGTH + 1, (rows,), generator=generator)
    lengths[0] = MAXIMUM_LENGTH
    tokens = torch.randint(END_ID + 1, VOCABULARY, (rows, MAXIMUM_LENGTH), generator=generator)
    tokens = tokens.masked_fill(torch.arange(MAXIMUM_LENGTH) >= lengths[:, None], PAD_ID)
    tokens[torch.arange(rows), lengths - 1] = END_ID
    return tokens, lengths


@torch.no_grad()
def among_allowed(model: ARAE, tokens: torch.Tensor, lengths: torch.Tensor) -> list[list[int]]:
    """Decode greedily row by row, one forward pass over all that was written a step, and only allowed tokens."""
    decoder, answers = model.decoder(1), []
    for row, length in zip(tokens, lengths.tolist(), strict=True):
        code, mask = model.encoder(row[None, :length], torch.tensor([length]))
        allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
        allowed[LISTED] = True
        allowed[row[:length]] = True
        written: list[int] = []
        while len(written) < MAXIMUM_LENGTH and END_ID not in written:
            previous = torch.tensor([[BEGIN_ID, *written]])
            logits = decoder.output(decoder.features(previous, code, mask))[0, -1]
            written.append(int(logits.masked_fill(~allowed, -torch.inf).argmax()))
        answers.append(written)
    return answers


def opened(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


@torch.no_grad()
def run(
    model: ARAE, session: onnxruntime.InferenceSession, tokens: torch.Tensor, lengths: torch.Tensor, source: Array
) -> list[list[int]]:
    code, mask = model.encoder(tokens, lengths)
    feed = {"code": code.numpy(), "code_mask": mask.float().numpy(), "maximum_length": np.array(MAXIMUM_LENGTH)}
    (found,) = session.run(["tokens"], feed | {"source": source})
    return [[token for token in row if token != PAD_ID] for row in found.tolist()]


def test_each_row_writes_the_best_of_what_it_may(model: ARAE) -> None:
    tokens, lengths = sources()
    session = opened(build_decoder(model.decoder(1), {}, "fp16", shortlist=LISTED))
    wanted = among_allowed(model, tokens, lengths)
    assert run(model, session, tokens, lengths, tokens.numpy()) == wanted
    # Some rows would have written something else.
    whole = [[token for token in row if token != PAD_ID] for row in model.rewrite(tokens, lengths, 1, 12).tolist()]
    assert sum(a != b for a, b in zip(whole, wanted, strict=True)) > 0
    # Alone, a row shares its choices with no neighbour.
    for row in range(6):
        own = tokens[row : row + 1, : int(lengths[row])]
        assert run(model, session, own, lengths[row : row + 1], own.numpy()) == wanted[row : row + 1]


def test_without_a_source_the_whole_vocabulary_may_be_written(model: ARAE) -> None:
    tokens, lengths = sources()
    session = opened(build_decoder(model.decoder(1), {}, "fp16", shortlist=LISTED))
    found = run(model, session, tokens, lengths, tokens.numpy()[:, :0])
    whole = model.rewrite(tokens, lengths, 1, MAXIMUM_LENGTH).tolist()
    assert found == [[token for token in row if token != PAD_ID] for row in whole]


def test_a_beam_of_one_writes_the_same_and_samples_write_nothing_else(model: ARAE) -> None:
    tokens, lengths = sources()
    wanted = among_allowed(model, tokens, lengths)
    session = opened(build_candidates(model.decoder(1), {}, "fp16", shortlist=LISTED))
    with torch.no_grad():
        code, mask = model.encoder(tokens, lengths)
    feed = {
        "line.code": code.numpy(),
        "line.code_mask": mask.float().numpy(),
        "line.source": tokens.numpy(),
        "maximum_length": np.array(MAXIMUM_LENGTH),
        "limits": np.full(len(tokens), MAXIMUM_LENGTH),
    }
    one = {"width": np.array(1), "temperature": np.array(0, np.float32), "uniforms": np.zeros((0, 0), np.float32)}
    (found,) = session.run(["tokens"], feed | one)
    assert [[token for token in row if token != PAD_ID] for row in found.T.tolist()] == wanted
    uniforms = np.random.default_rng(3).random((MAXIMUM_LENGTH, 4 * len(tokens)), np.float32)
    four = {"width": np.array(4), "temperature": np.array(3, np.float32), "uniforms": uniforms}
    (drawn,) = session.run(["tokens"], feed | four)
    unlisted = 0
    for row, own in enumerate(tokens.tolist()):
        written = set(drawn[:, 4 * row : 4 * row + 4].ravel().tolist()) - {PAD_ID}
        assert written <= {*LISTED, *own}
        unlisted += len(written - set(LISTED))
    assert unlisted > 3


def test_other_arithmetics_agree(model: ARAE) -> None:
    tokens, lengths = sources()
    rows = [row[:length] for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)]
    lists = {"a": LISTED, "b": LISTED}
    quantized = build_quantized(model, rows, MAXIMUM_LENGTH, {}, searching=False, shortlists=lists)
    wanted = among_allowed(model, tokens, lengths)
    expected = rewrites_of(model, rows, MAXIMUM_LENGTH) | {"b": wanted}
    graphs = Graphs(quantized.encoder, dict.fromkeys(("a", "b"), quantized.decoders["b"]), {})
    files = GraphFiles.of(graphs, ExportLayout(Path()))
    found = measure_agreement(model, files, rows, expected | {"a": wanted}, MAXIMUM_LENGTH)
    # Random weights leave many near ties; trained ones agree in 98 of 100 rewrites.
    assert found.identical > 0.8
    rounded = opened(build_decoder(model.decoder(1), {}, "fp16", RoundedGraph(), LISTED))
    same = run(model, rounded, tokens, lengths, tokens.numpy())
    assert sum(a == b for a, b in zip(same, wanted, strict=True)) > 0.8 * len(wanted)


def test_what_is_new_in_a_rewrite_is_listed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "MOST", 6)
    monkeypatch.setattr(shortlist, "_FREQUENT", 2)
    rows = [[300, 301, END_ID], [300, 302, END_ID]]
    written = {"a": [[300, 310, END_ID], [300, 310, 311, END_ID]], "b": [[300, END_ID], [300, 302, END_ID]]}
    written["c"] = [[300, *range(310, 320), END_ID]] * 2
    lists = choose_shortlists(rows, written, 400, 2)
    assert lists["a"] == sorted([END_ID, 310, 311, 300])
    # Where nothing new is written, what is written most often.
    assert lists["b"] == sorted([END_ID, 300])
    # Where very much is, as much of it as a list takes.
    assert lists["c"] == sorted([END_ID, *range(310, 315)])
    # Whole blocks; where no more was written, the most frequent pieces.
    assert choose_shortlists(rows, written, 400, 5)["b"] == sorted(
        [END_ID, 300, 302, *range(MINIMUM_VOCABULARY, MINIMUM_VOCABULARY + 2)]
    )


def test_an_export_lists_what_it_writes_for_further_sentences(
    tokenizer: Tokenizer, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "MOST", 64)
    monkeypatch.setattr(shortlist, "_FREQUENT", 8)
    recipe = random_recipe(code="sequence")
    model = random_model(recipe, ("a", "b"), tokenizer.vocabulary_size)
    seen: list[int] = []

    def choose(rows: list[list[int]], *rest: Any) -> dict[str, list[int]]:
        seen.append(len(rows))
        return choose_shortlists(rows, *rest)

    monkeypatch.setattr(checked_graphs, "choose_shortlists", choose)
    # A random model writes so much that is in no list of 64 tokens, that no list is good enough for it.
    monkeypatch.setattr(agreement, "GREATEST_COST", 200.0)
    for name, given in (
        ("none", {}),
        ("further", {"further_lines": lines}),
        ("classes", {"class_lines": {"a": lines[:40], "b": lines[40:60]}}),
    ):
        told: list[str] = []
        export_model(
            model, recipe, tokenizer, tmp_path / name, name=name, probe_lines=lines[:150], progress=told.append, **given
        )
        assert told[0] == f"rewriting {seen[-1]} sentences to see which tokens the decoders write"
        assert len(told) == len(set(told)) == (6 if "class_lines" in given else 5)
        described = json.loads((tmp_path / name / "config.json").read_bytes())["shortlist"]
        assert described["tokens"] == 64
        assert described["accepted"]
        assert described["agreement"]["identical"] < 1
    beside = unchecked(lines[:150])
    assert seen == [max(LEAST_PROBES, len(beside) + more) for more in (0, len(lines), 60)]
    monkeypatch.setattr(checked_graphs, "_MOST_WRITTEN", 300)
    export_model(model, recipe, tokenizer, tmp_path / "few", name="few", probe_lines=lines, further_lines=lines * 3)
    assert seen[-1] == 150
