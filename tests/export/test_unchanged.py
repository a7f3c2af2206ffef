"""Rewrites that are their sources: another candidate takes their place, where it is a rewrite and one was wanted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.export.weights import storable
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import recipe_from_table
from arae_transfer.runtime.candidates import Choice, only_appends
from arae_transfer.runtime.rewriter import LEAST_STYLE, SECOND_BEAM, Rewriter
from arae_transfer.tokenizer import Tokenizer

KEEP = Choice(if_unchanged="keep")
CLASSES = ("bad", "good")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, lines: list[str]) -> Path:
    """Export a model that copies: with residual connections it says what it reads before it has learnt anything."""
    torch.manual_seed(3)
    sizes = {"code_size": 128, "embedding_size": 128, "hidden_size": 32}
    table = {
        "data": {"maximum_tokens": 60},
        "model": {"code": "sequence", "shared_embeddings": True, "residual": True} | sizes,
        "training": {"schedule": "joint", "initialization": "scaled"},
    }
    recipe = recipe_from_table(table)
    model = ARAE(recipe, CLASSES, tokenizer.vocabulary_size).eval()
    with torch.no_grad():
        for index in range(len(CLASSES)):
            nearness = model.decoder(index).nearness
            assert nearness is not None
            nearness.mul_(20.0)
        model.scorer.last.weight *= 40.0
        ids = [torch.tensor([tokenizer.encode(line)]) for line in lines]
        logits = torch.cat([model.scorer(row, torch.ones_like(row, dtype=torch.bool)) for row in ids])
        model.scorer.last.bias.sub_(logits.mean(0))  # each class is found in some lines
    root = tmp_path_factory.mktemp("unchanged") / "tiny"
    export_model(storable(model, "fp16"), recipe, tokenizer, root, name="tiny", probe_lines=lines)
    return root


@pytest.fixture(scope="module")
def rewriter(folder: Path) -> Rewriter:
    return Rewriter.load(folder, device="cpu", threads=1, variant="fp32")


def answers(rewriter: Rewriter, lines: list[str], choice: Choice, batch_size: int = 64) -> list[str]:
    found = rewriter.transfer(lines, "good", form="corpus", choice=choice, batch_size=batch_size)
    return list(found)


def test_the_best_other_candidate_that_has_the_class_takes_its_place(rewriter: Rewriter, lines: list[str]) -> None:
    kept, searched = answers(rewriter, lines, KEEP), answers(rewriter, lines, Choice())
    beams = list(rewriter.rewrites(lines, "good", form="corpus", choice=Choice(beam=SECOND_BEAM, source="auto")))
    beams_of_all = rewriter.rewrites(lines, "good", form="corpus", choice=Choice(beam=SECOND_BEAM))
    exchanged = already = hopeless = 0
    for line, one, other, beam, every in zip(lines, kept, searched, beams, beams_of_all, strict=True):
        fitting = [
            each.output
            for each in every.candidates
            if each.style > LEAST_STYLE
            and not each.unfinished
            and each.output != line
            and not only_appends(line, each.output)
        ]
        if one != line:
            assert other == one
        elif beam.source_class == "good":
            assert other == line
            already += 1
        elif fitting:
            assert other == fitting[0] != line
            exchanged += 1
        else:
            assert other == line
            hopeless += 1
    assert exchanged > 10
    assert already > 10


def test_batches_change_nothing(rewriter: Rewriter, lines: list[str]) -> None:
    together = answers(rewriter, lines[:40], Choice())
    assert answers(rewriter, lines[:40], Choice(), batch_size=1) == together
    assert answers(rewriter, lines[:40][::-1], Choice(), batch_size=7)[::-1] == together


def test_a_model_without_a_scorer_answers_as_before(folder: Path, lines: list[str], tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    config = json.loads((old / "config.json").read_text("utf-8"))
    config["scorer"] = None
    (old / "config.json").write_text(json.dumps(config), "utf-8")
    rewriter = Rewriter.load(old, device="cpu", threads=1, variant="fp32")
    assert answers(rewriter, lines[:20], Choice()) == answers(rewriter, lines[:20], KEEP)


def test_another_way_is_refused() -> None:
    with pytest.raises(AraeError, match="unknown way 'drop' if unchanged"):
        Choice(if_unchanged="drop")


def test_the_search_that_transfer_adds_is_measured_apart(folder: Path) -> None:
    arguments = ["bench", "transfer", str(folder), "--lines", "4", "--batch-size", "2"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["throughput"]) == set(found["throughput_searching"]) == {"fp32", "int8"}
    assert set(found["latency_searching"]) == {"fp32", "int8"}
    assert found["pytorch"] == found["times_pytorch"] == {}
    shown = CliRunner().invoke(app, arguments)
    assert "int8 and search" in shown.stdout
    assert "times fp32" in shown.stdout
