"""Atomic checkpoints in safetensors and JSON, with the full state for an exact continuation."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from arae_transfer.atomic import (
    explain_read_failure,
    explain_write_failure,
    follow_umask,
    replace_directory,
    synchronise_directory,
    synchronise_file,
    write_text,
)
from arae_transfer.checksums import recipe_checksum
from arae_transfer.errors import AraeError, quoted
from arae_transfer.layout import RunLayout, WhichCheckpoint
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, load_recipe
from arae_transfer.tasks import task_of
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.optimizers import Optimizers

# 2: with the hashes of the files that belong together. Older checkpoints are read without them.
CHECKPOINT_FORMAT = 2


@dataclass
class State:
    """Progress of a run; noise level, learning rate and data position follow from its step.

    Attributes:
        step: Finished steps.
        minutes: Minutes of training so far, with those before interruptions.
        best_score: The best validation score so far.
        best_step: The step of that score.
        scores: The latest validation's figures.
        classes: The classes in order.
        corpus: A fingerprint of the training data, so that a run is not continued on other data.
        files: The SHA-256 of each file that belongs to the checkpoint, those of the run among them, and the checksum of
            its recipe; empty: an older checkpoint.
    """

    step: int = 0
    minutes: float = 0.0
    best_score: float = -1.0
    best_step: int = 0
    scores: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    corpus: str = ""
    files: dict[str, str] = field(default_factory=dict, compare=False)


def model_tensors(model: ARAE) -> dict[str, Tensor]:
    """Return parameters and buffers by name, shared ones once."""
    named: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach().contiguous() for name, tensor in named.items()}


def load_model_tensors(model: ARAE, tensors: dict[str, Tensor], source: Path) -> None:
    """Copy tensors into a model; every name must exist and have its shape."""
    own = model_tensors(model)
    missing = sorted(set(own) - set(tensors))
    wrong = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if missing or wrong:
        raise AraeError(
            f"{source} does not match the run's recipe: {(missing + wrong)[0]} is missing or has another shape",
            "the run was edited or damaged; use another checkpoint.",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _optimizer_tensors(optimizers: Optimizers) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for network, optimizer in optimizers.by_name().items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"{network}.{index}.{key}"] = torch.as_tensor(value).detach().contiguous()
    return tensors


def _restore_optimizers(optimizers: Optimizers, tensors: dict[str, Tensor]) -> None:
    for network, optimizer in optimizers.by_name().items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            owner, index, key = name.split(".", 2)
            if owner == network:
                state.setdefault(int(index), {})[key] = tensor
        current = optimizer.state_dict()
        optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def save_checkpoint(
    layout: RunLayout, state: State, model: ARAE, average: ARAE | None, optimizers: Optimizers, *, best: bool
) -> None:
    """Write a checkpoint, point ``latest`` (and ``best``) to it, and remove unreferenced checkpoints.

    Raises:
        AraeError: It cannot be written (disk full, no permission); earlier checkpoints stay as they are.
    """
    final = layout.checkpoint(state.step)
    staged: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".writing-", dir=final.parent))
        save_file(model_tensors(model), staged / layout.MODEL)
        if average is not None:
            save_file(model_tensors(average), staged / layout.AVERAGE)
        tensors = _optimizer_tensors(optimizers)
        tensors["random.cpu.state"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda.state"] = torch.cuda.get_rng_state()
        save_file(tensors, staged / layout.OPTIMIZERS)
        files = {path.name: _digest(path) for path in sorted(staged.iterdir())} | _run_digests(layout)
        table = {"format": CHECKPOINT_FORMAT, **asdict(state), "files": files}
        described = json.dumps(table, indent=1, sort_keys=True) + "\n"
        write_text(staged / layout.STATE, described)
        for path in staged.iterdir():
            follow_umask(path)  # safetensors writes for the owner alone
            synchronise_file(path)
        synchronise_directory(staged)
        follow_umask(staged)
        replace_directory(staged, final)
    except (OSError, SafetensorError) as error:
        # safetensors wraps a full disk in an error of its own
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise explain_write_failure(final, cause) from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    # The best first: a run killed between the two goes on from the older checkpoint and comes here again.
    for pointer in (layout.best, layout.latest) if best else (layout.latest,):
        named = {"step": state.step, "state": _short_hash(described.encode()), "checkpoint": pointer.stem}
        write_text(pointer, json.dumps(named) + "\n")
    try:
        steps = [_pointed(layout.latest), _pointed(layout.best)]
    except AraeError:
        return  # a damaged pointer hides which checkpoint it means, so all of them stay
    kept = {layout.checkpoint(step).name for step in steps if step is not None}
    for directory in final.parent.iterdir():
        if directory.name not in kept:
            shutil.rmtree(directory, ignore_errors=True)


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run_digests(layout: RunLayout) -> dict[str, str]:
    """Return the hashes of the run's files that its weights depend on."""
    found = {path.name: _digest(path) for path in (layout.tokenizer, layout.pairs, layout.ratings) if path.is_file()}
    if layout.recipe.is_file():
        found[layout.recipe.name] = recipe_checksum(layout.recipe.read_text("utf-8"))
    return found


def verify_run(layout: RunLayout, state: State) -> None:
    """Verify that a run's files are those of its checkpoint.

    Raises:
        AraeError: One of them was changed, or is missing.
    """
    try:
        found = _run_digests(layout)
    except (OSError, UnicodeDecodeError) as error:
        failure = error if isinstance(error, OSError) else OSError("it is not UTF-8 text")
        raise explain_read_failure(layout.root, failure) from error
    for name in (layout.tokenizer.name, layout.pairs.name, layout.ratings.name, layout.recipe.name):
        if name in state.files and state.files[name] != found.get(name):
            what = "is missing" if name not in found else "is damaged, or changed after the checkpoint was saved"
            raise AraeError(
                f"{layout.root / name} {what}",
                "restore it from a copy of the run; to change keys, start a new run: --from RUN --set "
                "SECTION.KEY=VALUE.",
            )


def _pointed(pointer: Path) -> int | None:
    """Return the step in a pointer file, or None if the file does not exist.

    Raises:
        AraeError: The pointer may not be read, or is damaged.
    """
    try:
        table = json.loads(pointer.read_text("utf-8"))
        if table.get("checkpoint", pointer.stem) != pointer.stem:
            raise AraeError(f"{pointer} is a pointer of the run with another name", _way_to_point(pointer))
        return int(table["step"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain_read_failure(pointer, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AraeError(f"{pointer} is damaged: it contains no step", _way_to_point(pointer)) from error


def _way_to_point(pointer: Path) -> str:
    """Return a hint that tells how to rewrite a damaged pointer."""
    layout = RunLayout(pointer.parent)
    with suppress(OSError):
        steps = sorted(int(path.name) for path in layout.checkpoints.iterdir() if path.name.isdigit())
        if steps:
            known = ", ".join(f"{step:,}" for step in steps)
            content = quoted(json.dumps({"step": steps[-1]}))
            return f"the run has checkpoints of step {known}; to use the last one: echo {content} > {quoted(pointer)}"
    return "the run has no checkpoint; continue it with --resume, which starts at step 0."


def find_checkpoint(layout: RunLayout, which: WhichCheckpoint) -> Path:
    """Return the folder of a run's checkpoint.

    Raises:
        AraeError: The run or the checkpoint does not exist.
    """
    pointer = layout.latest if which == "latest" else layout.best
    try:
        step = _pointed(pointer)
        if step is not None and not layout.checkpoint(step).is_dir():
            raise AraeError(
                f"{pointer} names step {step:,}, whose checkpoint {layout.checkpoint(step)} is missing",
                _way_to_point(pointer),
            )
        if step is None and not layout.recipe.exists():
            raise AraeError(
                f"{layout.root} is not a run",
                "give the folder of a run, such as runs/quickstart/20260131-120000.",
            )
    except PermissionError as error:  # Path's own questions pass it on
        raise explain_read_failure(layout.root, error) from error
    if step is None:
        raise AraeError(
            f"the run {layout.root} has no {which} checkpoint yet",
            "train until the first validation, or continue the run with --resume.",
        )
    checkpoint = layout.checkpoint(step)
    _verify_state(pointer, checkpoint, layout)
    return checkpoint


def _verify_state(pointer: Path, checkpoint: Path, layout: RunLayout) -> None:
    """Verify that a checkpoint's state matches its pointer.

    Raises:
        AraeError: It differs, or is missing; pointers written by hand name no state.
    """
    path = checkpoint / layout.STATE
    try:
        wanted = json.loads(pointer.read_text("utf-8")).get("state")
        if wanted is not None and wanted != _short_hash(path.read_bytes()):
            raise _damaged(path, layout)
    except OSError as error:
        raise _damaged(path, layout) from error


def _damaged(path: Path, layout: RunLayout) -> AraeError:
    """Return the error for an unreadable checkpoint file, with the run's other checkpoint as the remedy."""
    what = "is damaged"
    try:
        path.open("rb").close()
    except FileNotFoundError:
        what = "is missing"
    except OSError as failure:  # safetensors wraps it in an error of its own
        return explain_read_failure(path, failure)
    for pointer, replaced in ((layout.best, layout.latest), (layout.latest, layout.best)):
        step = None
        with suppress(AraeError):
            step = _pointed(pointer)
        if step is not None and layout.checkpoint(step) != path.parent and layout.checkpoint(step).is_dir():
            content = quoted(json.dumps({"step": step}))
            hint = (
                f"the run also has a {pointer.stem} checkpoint of step {step:,}; to use it: echo {content} > "
                f"{quoted(replaced)}"
            )
            break
    else:
        hint = "the run has no other checkpoint; restore the file from a copy of the run."
    return AraeError(f"the checkpoint file {path} {what}", hint)


def _load_tensors(path: Path, layout: RunLayout, state: State) -> dict[str, Tensor]:
    try:
        if path.name in state.files and state.files[path.name] != _digest(path):
            raise _damaged(path, layout)
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, layout) from error
    return tensors


def load_state(checkpoint: Path, layout: RunLayout) -> State:
    """Read a checkpoint's state.

    Raises:
        AraeError: It is damaged or of a newer format.
    """
    path = checkpoint / layout.STATE
    try:
        table = json.loads(path.read_text("utf-8"))
        version = table.pop("format")
        if version > CHECKPOINT_FORMAT:
            raise AraeError(f"{path} was written by a newer arae (format {version})", "upgrade arae.")
        table["classes"] = tuple(table["classes"])
        return State(**table)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, layout) from error


def restore(layout: RunLayout, checkpoint: Path, model: ARAE, average: ARAE | None, optimizers: Optimizers) -> State:
    """Load a checkpoint's weights, optimizer and random states, and return its progress."""
    state = load_state(checkpoint, layout)
    verify_run(layout, state)
    models = [(layout.MODEL, model)] if average is None else [(layout.MODEL, model), (layout.AVERAGE, average)]
    loaded = {name: _load_tensors(checkpoint / name, layout, state) for name, _ in models}
    tensors = _load_tensors(checkpoint / layout.OPTIMIZERS, layout, state)
    for name, own in models:
        load_model_tensors(own, loaded[name], checkpoint / name)
    try:
        cpu, cuda = tensors.pop("random.cpu.state"), tensors.pop("random.cuda.state", None)
        _restore_optimizers(optimizers, tensors)
        torch.set_rng_state(cpu)
        if cuda is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(cuda)
    except (KeyError, ValueError, RuntimeError) as error:
        raise _damaged(checkpoint / layout.OPTIMIZERS, layout) from error
    return state


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with its recipe, tokenizer and classes.

    Attributes:
        recipe: The resolved recipe of the run.
        classes: The classes in order.
        model: The model in evaluation mode, with averaged weights where the recipe averages.
        state: Where the run stood.
        text_tokenizer: The run's tokenizer; None: a run on images.
    """

    recipe: Recipe
    classes: tuple[str, ...]
    model: ARAE
    state: State
    text_tokenizer: Tokenizer | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer of a run on text.

        Raises:
            AraeError: The run is on images.
        """
        if self.text_tokenizer is None:
            raise AraeError(
                f"{self.recipe.name} is a model of images and has no sentences", "give a run of a text recipe."
            )
        return self.text_tokenizer


def load_run(run: Path, which: WhichCheckpoint = "best") -> LoadedRun:
    """Load a run's checkpoint for use.

    Raises:
        AraeError: The run or the checkpoint does not exist or is damaged.
    """
    layout = RunLayout(run)
    checkpoint = find_checkpoint(layout, which)
    recipe = load_recipe(layout.recipe, recorded=True)
    state = load_state(checkpoint, layout)
    verify_run(layout, state)
    tokenizer, vocabulary_size = task_of(recipe).load_vocabulary(recipe, layout)
    model = ARAE(recipe, state.classes, vocabulary_size)
    name = layout.AVERAGE if recipe.training.averaging > 0 else layout.MODEL
    load_model_tensors(model, _load_tensors(checkpoint / name, layout, state), checkpoint / name)
    model.eval()
    return LoadedRun(recipe, state.classes, model, state, tokenizer)
