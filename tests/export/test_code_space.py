"""Sampling from an export and walking through its code space, and the commands that do it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.export.generator_graph import build_generator
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table, recipe_to_table
from arae_transfer.runtime.code_space import CodeSpace, vectors_of_codes
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.tokenizer import Tokenizer
from tests.descriptions import as_exported

Make = Callable[..., tuple[ARAE, Recipe]]
KINDS = ("sequence", "single", "superposed")


def _used(make_model: Make, **model: Any) -> tuple[ARAE, Recipe]:
    """Return a model whose batch normalisation has seen data, so that folding it is not folding the identity."""
    made, recipe = make_model(**model)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, tensor in [*made.generator.named_parameters(), *made.generator.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.2, 3.0)
            elif tensor.is_floating_point():
                tensor.normal_(0.0, 0.5)
    return made, recipe


def _open(folder: Path, variant: str = "auto") -> CodeSpace:
    return CodeSpace(Sessions(ModelFolder.read(folder), "cpu", 1, variant))


@pytest.fixture(params=KINDS)
def exported(
    request: pytest.FixtureRequest, make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path
) -> tuple[Path, ARAE]:
    """A folder with a generator, and its model."""
    model, recipe = _used(make_model, code=request.param)
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines, weights="fp32")
    return tmp_path / "tiny", model


@pytest.fixture
def ends(tokenizer: Tokenizer, lines: list[str]) -> tuple[str, str]:
    """Two different sentences that the model can read whole."""
    short = [line for line in lines if len(tokenizer.encode(line)) < 12]
    return short[0], short[-1]


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("code", KINDS)
def test_the_graph_is_the_generator(make_model: Make, code: str) -> None:
    model, _ = _used(make_model, code=code)
    session = onnxruntime.InferenceSession(build_generator(model.generator, {}).SerializeToString())
    noise = torch.randn(5, model.generator.noise_size)
    vectors = 6 if code == "sequence" else 1
    mask = torch.arange(vectors) < torch.tensor([6, 1, 3, 2, 6]).clamp(max=vectors)[:, None]
    (found,) = session.run(None, {"noise": noise.numpy(), "code_mask": mask.float().numpy()})
    with torch.no_grad():
        wanted = model.generator(noise, mask).numpy()
    assert np.allclose(found, wanted, atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=2), mask.float().numpy(), atol=1e-5)


def test_lengths_are_those_of_the_corpus(exported: tuple[Path, ARAE], tokenizer: Tokenizer, lines: list[str]) -> None:
    folder, model = exported
    own = ModelFolder.read(folder)
    assert own.config.generator is not None
    weights = vectors_of_codes(own.config.generator, own.maximum_tokens)
    if model.generator.single:
        assert weights == [1.0]
        return
    counted = [len(tokenizer.encode(line)) + 1 for line in lines]
    # The model reads 12 tokens, the end id included; longer sentences are left out as in training.
    assert weights == [counted.count(length) for length in range(1, min(max(counted), 12) + 1)]
    found = [len(code) for code in _open(folder).generate(40, 0)]
    assert set(found) <= set(counted) and len(set(found)) > 1


def test_neither_batches_nor_number_change_a_sample(exported: tuple[Path, ARAE]) -> None:
    space = _open(exported[0])
    samples = space.sample(20, "good", seed=5)
    assert len({sample.output for sample in samples}) > 3
    assert space.sample(20, "good", seed=5, batch_size=1) == samples
    assert _open(exported[0]).sample(20, "good", seed=5, batch_size=7) == samples
    assert space.sample(6, "good", seed=5) == samples[:6]
    assert space.sample(20, "good", seed=6) != samples
    assert space.sample(20, "bad", seed=5) != samples


def test_the_decoder_reads_the_generated_code(exported: tuple[Path, ARAE], tokenizer: Tokenizer) -> None:
    folder, model = exported
    space = _open(folder, "fp32")
    codes = space.generate(5, 0)
    for code, decoded in zip(codes, space.decode(codes, "good"), strict=True):
        mask = torch.ones(1, len(code), dtype=torch.bool)
        (ids,) = model.decoder(1).greedy(torch.from_numpy(code)[None], mask, 60).tolist()
        wanted = " ".join(tokenizer.decode(ids).split())
        assert decoded.vectors == len(code)
        assert wanted.startswith(decoded.output) if decoded.unfinished else wanted == decoded.output


@pytest.mark.parametrize("path", ["sphere", "line"])
def test_the_ends_of_a_walk_are_rewrites(exported: tuple[Path, ARAE], ends: tuple[str, str], path: str) -> None:
    first, second = ends
    steps = _open(exported[0]).walk(first, second, "good", 5, path)
    rewrites = Rewriter.load(exported[0], device="cpu", threads=1).rewrites([first, second], "good", form="corpus")
    for found, wanted in zip((steps[0], steps[-1]), rewrites, strict=True):
        # A rewrite of a single code stops earlier, at a bound that its source gives.
        assert found.output.startswith(" ".join(wanted.output.split()))
    assert len(steps) == 5


def test_a_model_without_lengths_has_some_all_the_same(make_model: Make, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, recipe = make_model()
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", weights="fp32")
    found = {len(code) for code in _open(tmp_path / "tiny").generate(50, 0)}
    assert found == {2, 3, 4}  # of 12 tokens: from max(2, 12 // 8) to 36 // 8


def test_a_recipe_without_an_adversary_has_no_generator(make_model: Make, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, recipe = make_model()
    plain = recipe_from_table(recipe_to_table(recipe) | {"adversary": {"weight": 0.0}})
    export_model(model, plain, tokenizer, tmp_path / "tiny", name="tiny", weights="fp32")
    assert not ExportLayout(tmp_path / "tiny").generator.exists()
    with pytest.raises(AraeError, match="its recipe trained none"):
        _open(tmp_path / "tiny").generate(1, 0)


def test_the_commands(exported: tuple[Path, ARAE], ends: tuple[str, str], tmp_path: Path) -> None:
    folder, _ = exported
    common = ["--model", folder, "--device", "cpu", "--threads", "1"]
    status, output, messages = invoke("sample", "-n", 4, "--to", "go", "--seed", 2, *common)
    assert (status, messages) == (0, "")
    wanted = _open(folder).sample(4, "good", seed=2)
    assert output == "".join(f"{each.output}\n" for each in wanted)
    status, output, _ = invoke("sample", "-n", 4, "--to", "good", "--seed", 2, "--batch-size", 1, "--json", *common)
    assert [json.loads(line)["output"] for line in output.splitlines()] == [each.output for each in wanted]
    file = tmp_path / "samples.txt"
    assert invoke("sample", "-n", 4, "--to", "good", "--seed", 2, "-o", file, *common) == (0, "", "")
    assert len(file.read_text().splitlines()) == 4

    status, output, messages = invoke("interpolate", *ends, "--steps", 3, *common)
    assert (status, messages) == (0, "")
    rows = [line.split("\t") for line in output.splitlines()]
    assert [row[0] for row in rows] == ["bad"] * 3 + ["good"] * 3
    arguments = ["--to", "bad", "--path", "line", "--json"]
    status, output, _ = invoke("interpolate", *ends, "--steps", 3, *arguments, *common)
    records = [json.loads(line) for line in output.splitlines()]
    assert [record["position"] for record in records] == [0, 0.5, 1]
    assert (records[0]["output"], records[2]["output"]) == (rows[0][1], rows[2][1])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["sample", "-n", "1"], 2, "Missing option '--to'"),
        (["sample", "--to", "great"], 1, "has no class 'great'"),
        (["sample", "--to", "good", "--model", "no-such-model"], 1, "no model named 'no-such-model'"),
        (["interpolate", "the soup was cold .", " "], 1, "an empty sentence has no code vector"),
        (["interpolate", "the soup", "cold", "--path", "arc"], 1, "not 'arc'"),
        (["interpolate", "the soup", "cold", "--steps", "1"], 2, "Invalid value for '--steps'"),
        (["interpolate", "the soup", "cold " * 99], 1, "the model reads up to 11"),
    ],
)
def test_mistakes_are_said_in_two_lines(
    exported: tuple[Path, ARAE], arguments: list[str], status: int, message: str
) -> None:
    model = [] if "--model" in arguments else ["--model", str(exported[0])]
    found, output, messages = invoke(*arguments, *model)
    assert (found, output) == (status, "")
    assert message in messages
    assert status == 2 or len(messages.splitlines()) <= 2


def test_an_old_model_says_how_to_get_a_generator(small_model: Path) -> None:
    status, output, messages = invoke("sample", "--to", "positive", "--model", small_model, "--device", "cpu")
    assert (status, output) == (1, "")
    first, second = messages.splitlines()
    assert "has no generator: it was exported before" in first
    assert f"arae export RUN -o {small_model}" in second


def test_damage_is_explained(exported: tuple[Path, ARAE]) -> None:
    config = ExportLayout(exported[0]).config
    table = json.loads(config.read_bytes())
    table["generator"]["noise_size"] = "many"
    config.write_text(as_exported(table))
    with pytest.raises(AraeError, match="is damaged"):
        _open(exported[0]).generate(1, 0)
