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
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import recipe_from_table
from arae_transfer.runtime.decoding import DecodingOptions
from arae_transfer.runtime.reranking import only_appends
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import Tokenizer
from tests.descriptions import as_exported

KEEP = DecodingOptions(if_unchanged="keep")
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
    export_model(round_weights_for_storage(model, "fp16"), recipe, tokenizer, root, name="tiny", probe_lines=lines)
    return root


@pytest.fixture(scope="module")
def rewriter(folder: Path) -> Rewriter:
    return Rewriter.load(folder, device="cpu", threads=1, variant="fp32")


def answers(rewriter: Rewriter, lines: list[str], options: DecodingOptions, batch_size: int = 64) -> list[str]:
    found = rewriter.transfer(lines, "good", form="corpus", options=options, batch_size=batch_size)
    return list(found)


def test_the_best_other_candidate_that_has_the_class_takes_its_place(rewriter: Rewriter, lines: list[str]) -> None:
    kept, searched = answers(rewriter, lines, KEEP), answers(rewriter, lines, DecodingOptions())
    beams = list(rewriter.rewrites(lines, "good", form="corpus", options=DecodingOptions(beam=6, source="auto")))
    beams_of_all = rewriter.rewrites(lines, "good", form="corpus", options=DecodingOptions(beam=6))
    exchanged = already = hopeless = 0
    for line, one, other, beam, every in zip(lines, kept, searched, beams, beams_of_all, strict=True):
        fitting = [
            each.output
            for each in every.candidates
            if each.style > 0.5 and not each.unfinished and each.output != line and not only_appends(line, each.output)
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
    together = answers(rewriter, lines[:40], DecodingOptions())
    assert answers(rewriter, lines[:40], DecodingOptions(), batch_size=1) == together
    assert answers(rewriter, lines[:40][::-1], DecodingOptions(), batch_size=7)[::-1] == together


def asking_for(folder: Path, copy: Path, **config: object) -> Path:
    """Copy an export with other settings in its description."""
    shutil.copytree(folder, copy)
    description = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(as_exported(description | config), "utf-8")
    return copy


def test_an_export_may_ask_for_a_beam(folder: Path, rewriter: Rewriter, lines: list[str], tmp_path: Path) -> None:
    asking = Rewriter.load(asking_for(folder, tmp_path / "beam", beam=3), device="cpu", threads=1, variant="fp32")
    best = answers(rewriter, lines, DecodingOptions(beam=3))
    assert answers(asking, lines, DecodingOptions()) == best != answers(rewriter, lines, DecodingOptions())
    assert [each.output for each in asking.rewrites(lines, "good", form="corpus")] == best
    # Whoever says otherwise gets that.
    for options in (DecodingOptions(beam=1), KEEP, DecodingOptions(n_best=2), DecodingOptions(sample=2)):
        assert answers(asking, lines, options) == answers(rewriter, lines, options)
    assert answers(asking, lines[:20], DecodingOptions(), batch_size=1) == best[:20]
    asked = list(asking.rewrites(lines[:20], "good", form="corpus", options=DecodingOptions(min_confidence=0.9)))
    assert asked == list(
        rewriter.rewrites(
            lines[:20], "good", form="corpus", options=DecodingOptions(beam=3, n_best=1, min_confidence=0.9)
        )
    )


@pytest.mark.parametrize(
    "config",
    [{"beam": 0}, {"beam": 65}, {"beam": "many"}, {"beam": 3, "scorer": None}, {"beam": 3, "candidates": None}],
)
def test_a_beam_that_cannot_be_is_damage(folder: Path, tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(AraeError, match=r"config\.json"):
        Rewriter.load(asking_for(folder, tmp_path / "damaged", **config), device="cpu")


def test_the_command_line_answers_as_the_export_says(folder: Path, lines: list[str], tmp_path: Path) -> None:
    asking = asking_for(folder, tmp_path / "beam", beam=3)
    text = "".join(f"{line}\n" for line in lines[:30])

    def transfer(model: Path, *more: str) -> str:
        arguments = ["transfer", "--model", str(model), "--to", "good", "--form", "corpus", "--quiet", *more]
        result = CliRunner().invoke(app, arguments, input=text)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert transfer(asking) == transfer(folder, "--beam", "3")
    assert transfer(asking, "--beam", "1") == transfer(asking, "--if-unchanged", "search") == transfer(folder)
    assert transfer(asking, "--if-unchanged", "keep") == transfer(folder, "--if-unchanged", "keep")
    told = [json.loads(line) for line in transfer(asking, "--json").splitlines()]
    assert all("candidates" not in answer for answer in told)


def test_an_export_says_what_was_asked_for(tokenizer: Tokenizer, lines: list[str], tmp_path: Path) -> None:
    torch.manual_seed(3)
    recipe = recipe_from_table({"data": {"maximum_tokens": 60}, "model": {"hidden_size": 32}})
    model = ARAE(recipe, CLASSES, tokenizer.vocabulary_size).eval()
    for beam in (1, 4):
        root = tmp_path / str(beam)
        export_model(
            round_weights_for_storage(model, "fp16"),
            recipe,
            tokenizer,
            root,
            name="tiny",
            probe_lines=lines[:20],
            beam=beam,
        )
        assert json.loads((root / "config.json").read_text("utf-8")).get("beam", 1) == beam
        assert ("the best of a beam of" in (root / "README.md").read_text("utf-8").replace("\n", " ")) == (beam > 1)


def test_a_model_without_a_scorer_answers_as_before(folder: Path, lines: list[str], tmp_path: Path) -> None:
    rewriter = Rewriter.load(asking_for(folder, tmp_path / "old", scorer=None), device="cpu", threads=1, variant="fp32")
    assert answers(rewriter, lines[:20], DecodingOptions()) == answers(rewriter, lines[:20], KEEP)


def test_another_way_is_refused() -> None:
    with pytest.raises(AraeError, match="if_unchanged cannot be 'drop'"):
        DecodingOptions(if_unchanged="drop")


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
