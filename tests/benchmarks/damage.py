"""What damaged files do: a right answer, a clear error, or something worse.

    python tests/benchmarks/damage.py [--each 1000] [--model FOLDER] [--seed 1] [--no-run]

Damages copies of an exported model, and of a small run that it trains first, in five ways: a single bit is flipped, a
file is cut off, two files change places, a file is emptied, a file is missing. Of each way, ``--each`` cases are tried,
or all that there are. A case of a model rewrites lines to each of its classes; a case of a run loads its best and its
latest checkpoint as `arae export` does, and restores the latest as `--resume` does. Each is right when all that comes
out is what comes out of the undamaged folder. Prints a table; exits with status 1 when an answer is wrong or an error
is no message for a user.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from arae_transfer.corpus.quickstart import write_corpus
from arae_transfer.errors import AraeError
from arae_transfer.folders import PACKAGE
from arae_transfer.layout import RunLayout

LINES = ("the food was cold and the waiter was rude .", "Great place, I'll be back!", "we waited an hour .")
WAYS = ("bit flipped", "cut off", "two files swapped", "emptied", "missing")
RIGHT, ERROR, WRONG, CRASH = OUTCOMES = ("right", "clear error", "wrong", "no message")
RECIPE = """
description = "A small run."
data_source = "Generated."

[tokenizer]
vocabulary_size = 400

[model]
code = "sequence"
code_size = 16
embedding_size = 16
hidden_size = 16

[adversary]
generator_layers = [8]
critic_layers = [8]

[attribute]
layers = [8]

[parallel]
sentences = 100

[training]
schedule = "joint"
optimizer = "adam"
sentences = 480
batch_size = 8
averaging = 0.9

[validation]
every = 160
sentences = 16
"""


def answers_of_a_model(folder: Path) -> str:
    """Return all that a model answers, as one text."""
    from arae_transfer.runtime.rewriter import Rewriter

    rewriter = Rewriter.load(folder, device="cpu", threads=1)
    return "\n".join(line for name in rewriter.folder.classes for line in rewriter.transfer(LINES, to=name))


def answers_of_a_run(folder: Path) -> str:
    """Return a hash of all that a run hands on to whoever exports or continues it."""
    import torch

    from arae_transfer.model.arae import ARAE
    from arae_transfer.training.checkpoint import find_checkpoint, load_run, model_tensors, restore
    from arae_transfer.training.optimizers import Optimizers

    digest = hashlib.sha256()

    def add(model: ARAE) -> None:
        for name, tensor in sorted(model_tensors(model).items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())

    for which in ("best", "latest"):
        loaded = load_run(folder, which)
        add(loaded.model)
        digest.update(repr((loaded.classes, loaded.recipe.model, loaded.recipe.form)).encode())
        digest.update(loaded.tokenizer.serialized)
    layout = RunLayout(folder)
    torch.manual_seed(1)
    models = [ARAE(loaded.recipe, loaded.classes, loaded.tokenizer.vocabulary_size) for _ in range(2)]
    optimizers = Optimizers.build(models[0], loaded.recipe)
    restore(layout, find_checkpoint(layout, "latest"), models[0], models[1], optimizers)
    for model in models:
        add(model)
    digest.update(layout.pairs.read_bytes())
    digest.update(torch.get_rng_state().numpy().tobytes())
    return digest.hexdigest()


def outcome(answers: Callable[[Path], str], folder: Path, expected: str) -> str:
    """Use a folder, and say what came of it."""
    try:
        return RIGHT if answers(folder) == expected else WRONG
    except AraeError as error:
        return ERROR if error.message and "\n" not in str(error.message) else CRASH
    except Exception:
        return CRASH


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that anything reads, relative to it."""
    unread = {"README.md", "metrics.jsonl", "samples.txt", ".lock", "environment.json"}
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in unread and "tensorboard" not in path.parts
    )


def damages(way: str, files: list[Path], each: int, generator: random.Random) -> Iterator[tuple[Path, ...]]:
    """Yield the files that each case damages."""
    if way == "two files swapped":
        pairs = list(itertools.combinations(files, 2))
        yield from pairs if len(pairs) <= each else generator.sample(pairs, each)
    elif way in ("emptied", "missing"):
        yield from ((path,) for path in (files if len(files) <= each else generator.sample(files, each)))
    else:
        yield from ((generator.choice(files),) for _ in range(each))


def damage(way: str, folder: Path, files: tuple[Path, ...], generator: random.Random) -> None:
    """Damage files of a folder, each of which is a link to a whole one."""
    first = folder / files[0]
    if way == "two files swapped":
        second, aside = folder / files[1], folder / "aside"
        first.rename(aside)
        second.rename(first)
        aside.rename(second)
        return
    content = bytearray(first.read_bytes())
    first.unlink()  # the link, not what it leads to
    if way == "missing":
        return
    if way == "emptied":
        content.clear()
    elif way == "cut off":
        del content[generator.randrange(len(content)) :]
    else:
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    first.write_bytes(content)


def tried(
    whole: Path,
    answers: Callable[[Path], str],
    each: int,
    seed: int,
    found: Callable[[str, tuple[Path, ...], str], None],
) -> None:
    """Try all ways of damage on copies of a folder, in a process of its own, which may die of one."""
    files = files_of(whole)
    pools: list[ProcessPoolExecutor] = []

    def run(folder: Path, expected: str) -> str:
        if not pools:
            pools.append(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        try:
            return pools[0].submit(outcome, answers, folder, expected).result()
        except BrokenProcessPool:
            pools.pop().shutdown()
            return CRASH

    expected = answers(whole)
    for way in WAYS:
        generator = random.Random(f"{seed} {way}")
        for damaged in damages(way, files, each, generator):
            with tempfile.TemporaryDirectory(dir=whole.parent) as place:
                copy = Path(place) / whole.name
                shutil.copytree(whole, copy, copy_function=os.link)
                damage(way, copy, damaged, generator)
                found(way, damaged, run(copy, expected))
    for pool in pools:
        pool.shutdown()


def small_run(folder: Path) -> Path:
    """Train a small run and return its folder."""
    (folder / "small").mkdir()
    (folder / "small" / "recipe.toml").write_text(RECIPE, "utf-8")
    write_corpus(folder / "data")
    command = ["train", "small", "--data", "data", "--name", "run", "--device", "cpu", "--threads", "1", "--quiet"]
    subprocess.run([sys.executable, "-m", "arae_transfer", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "runs" / "small" / "run"


def main() -> None:
    """Damage, use, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=1000, help="cases of each way")
    parser.add_argument("--model", type=Path, default=PACKAGE.parent / "exported" / "yelp-sentiment")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-run", action="store_true", help="the exported model alone")
    options = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()

    def found(what: str, way: str, files: tuple[Path, ...], result: str) -> None:
        counts[what, way, result] += 1
        if result in (WRONG, CRASH):
            sys.stderr.write(f"{what}: {way}: {' and '.join(map(str, files))}: {result}\n")

    with tempfile.TemporaryDirectory() as place:
        model = Path(shutil.copytree(options.model, Path(place) / options.model.name))
        tried(model, answers_of_a_model, options.each, options.seed, partial(found, "exported model"))
        if not options.no_run:
            run = small_run(Path(place))
            tried(run, answers_of_a_run, options.each, options.seed, partial(found, "run"))
    rows = [("what", "damage", "cases", *OUTCOMES), ("---", "---", *["---:"] * (1 + len(OUTCOMES)))]
    for what in ("exported model", "run"):
        for way in WAYS:
            numbers = [counts[what, way, result] for result in OUTCOMES]
            if sum(numbers):
                rows.append((what, way, f"{sum(numbers):,}", *(f"{number:,}" for number in numbers)))
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))
    sys.exit(any(result in (WRONG, CRASH) and number for (_, _, result), number in counts.items()))


if __name__ == "__main__":
    main()
