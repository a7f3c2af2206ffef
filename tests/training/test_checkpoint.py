"""Checkpoints: all or nothing, exact, and clear about damage."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from arae_transfer.errors import AraeError
from arae_transfer.layout import RunLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table, recipe_to_toml
from arae_transfer.tokenizer import END_ID, Tokenizer
from arae_transfer.training.batch import Batch
from arae_transfer.training.checkpoint import (
    State,
    find_checkpoint,
    load_run,
    load_state,
    model_tensors,
    restore,
    save_checkpoint,
)
from arae_transfer.training.networks import Networks
from arae_transfer.training.optimizers import Optimizers

CLASSES = ("bad", "good", "so-so")
TOKENIZER = Tokenizer.train(["the food was good .", "the food was bad ."] * 9, 280)


def recipe(**training: Any) -> Recipe:
    return recipe_from_table(
        {
            "name": "small",
            "model": {"code": "sequence", "code_size": 8, "embedding_size": 8, "hidden_size": 8},
            "adversary": {"noise_size": 4, "generator_layers": [4], "critic_layers": [4]},
            "attribute": {"layers": [4]},
            "training": {"averaging": 0.9, **training},
        }
    )


class Run:
    """A run that is written by hand: networks that have each made a move, so that optimizers hold something."""

    def __init__(self, root: Path, chosen: Recipe | None = None, seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.recipe = chosen or recipe(optimizer="adam")
        self.layout = RunLayout(root)
        self.model = ARAE(self.recipe, CLASSES, TOKENIZER.vocabulary_size)
        self.average: ARAE | None = None
        if self.recipe.training.averaging > 0:
            self.average = ARAE(self.recipe, CLASSES, TOKENIZER.vocabulary_size).eval()
        self.optimizers = Optimizers.build(self.model, self.recipe)
        self.networks = Networks(self.model, self.recipe, self.optimizers, torch.device("cpu"))
        self.state = State(classes=CLASSES, corpus="0123", scores={"nll": 1.5})

    def move(self) -> None:
        tokens = torch.randint(270, TOKENIZER.vocabulary_size, (6, 4))
        tokens[:, -1] = END_ID
        lengths = torch.full((6,), 4)
        batch = Batch(tokens, lengths, tokens, lengths, torch.tensor([0, 0, 1, 1, 2, 2]))
        code, mask = self.networks.encode(tokens, lengths)
        self.networks.update_autoencoder(self.networks.reconstruct(code, mask, batch))
        self.networks.update_critic(code, mask)
        self.networks.update_generator(mask)
        self.networks.update_classifier(code, mask, batch.classes)
        self.networks.update_scorer(batch)
        self.state.step += 1

    def save(self, *, best: bool = False) -> None:
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self.layout.recipe.write_text(recipe_to_toml(self.recipe), "utf-8")
        TOKENIZER.save(self.layout.tokenizer)
        save_checkpoint(self.layout, self.state, self.model, self.average, self.optimizers, best=best)

    def restore(self, which: Literal["latest", "best"] = "latest") -> None:
        checkpoint = find_checkpoint(self.layout, which)
        self.state = restore(self.layout, checkpoint, self.model, self.average, self.optimizers)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.layout.checkpoints.iterdir())


def two_checkpoints(root: Path) -> Run:
    """Return a run whose best checkpoint is of step 1 and whose latest is of step 2."""
    run = Run(root)
    run.move()
    run.save(best=True)
    run.move()
    run.save()
    return run


def optimizer_bits(run: Run) -> dict[str, Any]:
    return {
        f"{network}.{index}.{key}": value
        for network, optimizer in run.optimizers.by_name().items()
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


@pytest.mark.parametrize(
    "chosen",
    [recipe(optimizer="adam"), recipe(optimizer="sgd"), recipe(optimizer="adam", averaging=0.0)],
    ids=["adam", "sgd", "no average"],
)
def test_a_checkpoint_brings_everything_back(tmp_path: Path, chosen: Recipe) -> None:
    run = Run(tmp_path / "run", chosen)
    run.move()
    run.move()
    run.save(best=True)
    drawn = torch.rand(3)
    other = Run(tmp_path / "run", chosen, seed=2)
    other.restore()
    assert torch.equal(torch.rand(3), drawn)
    assert other.state == run.state
    for left, right in ((run.model, other.model), (run.average, other.average)):
        if left is None or right is None:
            assert left is right
            continue
        found = right.state_dict()
        assert "generator.layers.1.running_mean" in found
        for name, tensor in left.state_dict().items():
            assert torch.equal(found[name], tensor)
    before, after = optimizer_bits(run), optimizer_bits(other)
    assert sorted(before) == sorted(after)
    assert len(before) > 20
    for name, value in before.items():
        assert torch.equal(torch.as_tensor(after[name]), torch.as_tensor(value))
    # And both go on alike.
    torch.manual_seed(7)
    run.move()
    torch.manual_seed(7)
    other.move()
    for name, tensor in model_tensors(run.model).items():
        assert torch.equal(model_tensors(other.model)[name], tensor)


def test_shared_tensors_are_saved_once(tmp_path: Path) -> None:
    shared = recipe_from_table(
        {"model": {"shared_embeddings": True, "code_size": 8, "embedding_size": 8, "hidden_size": 8}}
    )
    run = Run(tmp_path / "run", shared)
    run.save()
    saved = load_file(find_checkpoint(run.layout, "latest") / RunLayout.MODEL)
    tables = [name for name, tensor in saved.items() if tensor.shape == (TOKENIZER.vocabulary_size, 8)]
    assert tables == ["encoder.embedding.weight"]
    assert load_run(run.layout.root, "latest").model.decoder(2).embedding.weight.shape[0] == TOKENIZER.vocabulary_size


def test_only_what_is_pointed_to_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for best in (False, True, False, False):
        run.move()
        run.save(best=best)
    assert run.names() == ["00000002", "00000004"]
    (run.layout.checkpoints / ".writing-abc").mkdir()
    (run.layout.checkpoints / ".writing-abc" / "model.safetensors").write_bytes(b"half")
    run.move()
    run.save(best=True)
    assert run.names() == ["00000005"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.move()
    run.save()
    with torch.no_grad():
        run.model.critic.last.bias.fill_(7.0)
    run.save()
    assert run.names() == ["00000001"]
    assert float(load_file(run.layout.checkpoint(1) / RunLayout.MODEL)["critic.last.bias"]) == 7.0


def test_a_checkpoint_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    shutil.rmtree(run.layout.checkpoints)
    run.layout.checkpoints.write_text("a file", "utf-8")
    with pytest.raises(AraeError, match=r"cannot write .*00000002"):
        run.save()


# --- loading


def test_a_loaded_run_has_averaged_weights_where_there_are_any(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    assert run.average is not None
    loaded = load_run(run.layout.root, "latest")
    name = "encoder.embedding.weight"
    assert torch.equal(loaded.model.get_parameter(name), run.average.get_parameter(name))
    assert not torch.equal(loaded.model.get_parameter(name), run.model.get_parameter(name))
    assert not loaded.model.training
    assert loaded.classes == CLASSES
    assert loaded.recipe == run.recipe
    assert loaded.state == run.state
    assert loaded.tokenizer.serialized == TOKENIZER.serialized
    assert load_run(run.layout.root).state.step == 1  # the best is the default

    plain = Run(tmp_path / "plain", recipe(averaging=0.0))
    plain.move()
    plain.save(best=True)
    found = load_run(plain.layout.root).model.get_parameter(name)
    assert torch.equal(found, plain.model.get_parameter(name))


def test_a_folder_that_is_no_run_and_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match="is not a run"):
        load_run(tmp_path)
    with pytest.raises(AraeError, match="is not a run"):
        load_run(tmp_path / "missing")
    run = Run(tmp_path / "run")
    run.save()
    with pytest.raises(AraeError, match="has no best checkpoint yet"):
        load_run(run.layout.root)
    run.layout.latest.unlink()
    with pytest.raises(AraeError, match="has no latest checkpoint yet"):
        load_run(run.layout.root, "latest")


# --- damage


@pytest.mark.parametrize("content", ["", '{"step": ', "{}", "[]", '{"step": "x"}'])
def test_a_damaged_pointer_is_called_damaged_and_can_be_mended(tmp_path: Path, content: str) -> None:
    run = two_checkpoints(tmp_path / "a run")
    run.layout.latest.write_text(content, "utf-8")
    with pytest.raises(AraeError, match=f"{run.layout.latest} is damaged") as caught:
        load_run(run.layout.root, "latest")
    hint = caught.value.hint
    assert hint is not None
    assert "checkpoints of step 1, 2" in hint
    # The hint is true.
    subprocess.run(hint.partition("to use the last one: ")[2], shell=True, check=True)
    assert load_run(run.layout.root, "latest").state.step == 2


def test_a_pointer_to_a_checkpoint_that_is_gone_names_it(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    shutil.rmtree(run.layout.checkpoint(2))
    with pytest.raises(AraeError, match=r"names step 2, whose checkpoint .* is missing") as caught:
        load_run(run.layout.root, "latest")
    assert "checkpoints of step 1" in str(caught.value)


def test_no_checkpoint_is_removed_while_a_pointer_is_damaged(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    run.layout.best.write_text("{", "utf-8")
    run.move()
    run.save()
    assert run.names() == ["00000001", "00000002", "00000003"]


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.03, 0.5, 0.97])
@pytest.mark.parametrize("name", [RunLayout.MODEL, RunLayout.AVERAGE, RunLayout.OPTIMIZERS, RunLayout.STATE])
def test_a_single_bit_of_a_checkpoint_is_noticed(tmp_path: Path, name: str, place: float) -> None:
    run = two_checkpoints(tmp_path / "run")
    flip(run.layout.checkpoint(2) / name, place)
    before = {name: tensor.clone() for name, tensor in model_tensors(run.model).items()}
    with pytest.raises(AraeError, match="is damaged"):
        run.restore()
    assert all(torch.equal(before[name], tensor) for name, tensor in model_tensors(run.model).items())


def test_another_tokenizer_or_recipe_is_noticed(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    whole = run.layout.recipe.read_text("utf-8")
    for old, new, noticed in (
        ("code_size = 8", "code_size = 9", True),
        ("lower_case = false", "lower_case = true", True),
        ("sentences = 5000000", "sentences = 6000000", False),
        ("# The loop", "# A loop", False),
        ("\nevery = ", "\nevery = 1", False),
    ):
        run.layout.recipe.write_text(whole.replace(old, new, 1), "utf-8")
        if noticed:
            with pytest.raises(AraeError, match=r"recipe.toml is damaged, or changed"):
                load_run(run.layout.root, "latest")
        else:
            load_run(run.layout.root, "latest")
    run.layout.recipe.write_text(whole, "utf-8")
    Tokenizer.train(["other words here ."] * 9, 280).save(run.layout.tokenizer)
    with pytest.raises(AraeError, match=r"tokenizer.model is damaged, or changed"):
        load_run(run.layout.root, "latest")


def test_files_that_have_changed_places_are_noticed(tmp_path: Path) -> None:
    def swap(one: Path, other: Path) -> None:
        one.rename(aside := one.with_name("aside"))
        other.rename(one)
        aside.rename(other)

    run = two_checkpoints(tmp_path / "run")
    pairs = [(run.layout.best, run.layout.latest)]
    for name in (RunLayout.MODEL, RunLayout.OPTIMIZERS, RunLayout.STATE):
        pairs.append((run.layout.checkpoint(1) / name, run.layout.checkpoint(2) / name))
    for one, other in pairs:
        swap(one, other)
        with pytest.raises(AraeError):
            run.restore()
        swap(one, other)
    run.restore()


def test_checkpoints_of_before_there_were_hashes_are_read(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    path = run.layout.checkpoint(2) / RunLayout.STATE
    table = json.loads(path.read_text("utf-8"))
    del table["files"]
    path.write_text(json.dumps({**table, "format": 1}), "utf-8")
    run.layout.latest.write_text('{"step": 2}', "utf-8")
    run.restore()
    assert run.state.step == 2


# --- permissions


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0, 0o666, 0o777)])
def test_the_files_of_a_run_follow_the_umask(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        run = two_checkpoints(tmp_path / "run")
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in run.layout.root.rglob("*")}
    assert found == {path: folder if path.is_dir() else file for path in found}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.parametrize("hidden", ["checkpoints/00000002/average.safetensors", "latest.json", "checkpoints"])
def test_what_may_not_be_read_is_called_that(hidden: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # where another user can look, too
        Path(place).chmod(0o755)
        run = two_checkpoints(Path(place) / "run")
        load_run(run.layout.root, "latest")  # all modules are loaded while they can be
        (run.layout.root / hidden).chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(AraeError, match="no permission to read") as caught:
                load_run(run.layout.root, "latest")
        finally:
            os.seteuid(os.getuid())
            (run.layout.root / hidden).chmod(0o755)
        assert "chmod -R" in str(caught.value)
        assert "start a new run" not in str(caught.value)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, remove])
@pytest.mark.parametrize("name", [RunLayout.MODEL, RunLayout.AVERAGE, RunLayout.OPTIMIZERS, RunLayout.STATE])
def test_damage_names_the_file_and_the_other_checkpoint(tmp_path: Path, name: str, damage: Any) -> None:
    run = two_checkpoints(tmp_path / "run")
    path = run.layout.checkpoint(2) / name
    damage(path)
    with pytest.raises(AraeError, match=f"the checkpoint file {path} is (damaged|missing)\n") as caught:
        run.restore()
    hint = caught.value.hint
    assert hint is not None
    assert "the run also has a best checkpoint of step 1" in hint
    # The hint is true.
    subprocess.run(hint.partition("to use it: ")[2], shell=True, check=True)
    run.restore()
    assert run.state.step == 1


def test_damage_of_the_best_names_the_latest(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    truncate(run.layout.checkpoint(1) / RunLayout.AVERAGE)
    with pytest.raises(AraeError) as caught:
        load_run(run.layout.root)
    assert caught.value.hint is not None
    assert "the run also has a latest checkpoint of step 2" in caught.value.hint
    assert caught.value.hint.endswith(f"> {run.layout.best}")
    assert load_run(run.layout.root, "latest").state.step == 2


def test_damage_of_the_only_checkpoint_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.move()
    run.save(best=True)
    truncate(run.layout.checkpoint(1) / RunLayout.MODEL)
    with pytest.raises(AraeError) as caught:
        run.restore()
    assert caught.value.hint == "the run has no other checkpoint; restore the file from a copy of the run."


def test_an_optimizer_file_without_the_random_state_is_damaged(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    path = run.layout.checkpoint(2) / RunLayout.OPTIMIZERS
    tensors = load_file(path)
    del tensors["random.cpu.state"]
    save_file(tensors, path)
    with pytest.raises(AraeError, match=f"{path} is damaged"):
        run.restore()


@pytest.mark.parametrize("change", [{"embedding_size": 9}, {"bidirectional": True}, {"decoder_layers": 2}])
def test_weights_of_another_model_are_refused_and_nothing_is_changed(tmp_path: Path, change: dict[str, Any]) -> None:
    run = two_checkpoints(tmp_path / "run")
    other = Run(tmp_path / "run", replace(run.recipe, model=replace(run.recipe.model, **change)))
    before = {name: tensor.clone() for name, tensor in model_tensors(other.model).items()}
    with pytest.raises(AraeError, match=r"does not match the run's recipe: .* is missing or has another shape"):
        other.restore()
    assert run.state.step == 2
    for name, tensor in model_tensors(other.model).items():
        assert torch.equal(tensor, before[name])


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    run = two_checkpoints(tmp_path / "run")
    path = run.layout.checkpoint(2) / RunLayout.STATE
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "format": 3}), "utf-8")
    run.layout.latest.write_text('{"step": 2}', "utf-8")
    with pytest.raises(AraeError, match=r"newer arae \(format 3\)") as caught:
        load_state(run.layout.checkpoint(2), run.layout)
    assert caught.value.hint == "upgrade arae."
