"""How much memory `arae train` needs for ten million sentences, and how long it takes to prepare them.

    python tests/benchmarks/large_corpus.py [--lines 10000000] [--folder FOLDER] [--pairs 0] [--limit 4]

Writes a corpus of two classes (about 65 bytes a line), trains a very small model for a few steps twice, the second time
with the tokenized corpus in the cache, and prints what both took. The figures are of all processes together: `resident`
counts pages of mapped files too, which the system takes back when it needs them; `own` does not count them. Exits with
status 1 when `resident` exceeds the limit. Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

RECIPE = """
description = "A very small model for a very large corpus."
data_source = "Generated."

[tokenizer]
vocabulary_size = 4000

[model]
code_size = 32
embedding_size = 32
hidden_size = 32

[adversary]
generator_layers = [32]
critic_layers = [32]

[attribute]
layers = [32]

[noise]
style_share = 0.5
style_drop = 0.3

[pairs]
sentences = {pairs}

[training]
schedule = "joint"
sentences = {sentences}
batch_size = 64
candidates = 1000

[validation]
every = {sentences}
sentences = 128
"""
LINES_TOGETHER = 100_000
WORDS = 20_000


def write_corpus(folder: Path, lines: int) -> None:
    """Write sentences whose words follow Zipf's law, with words that only one class has."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(generator.choice(letters, generator.integers(2, 9))) for _ in range(WORDS)]
    for label in ("negative", "positive"):
        style = [f"{label[:3]}{word}" for word in words[:50]]
        with (folder / f"train.{label}.txt").open("w", encoding="utf-8") as file:
            left = lines // 2
            while left > 0:
                count = min(left, LINES_TOGETHER)
                left -= count
                lengths = generator.integers(4, 17, count)
                ranks = np.exp(generator.random(int(lengths.sum())) * np.log(WORDS)).astype(np.int64) - 1
                stylish = generator.integers(0, len(style), count)
                ends = np.cumsum(lengths)
                chosen = [words[rank] for rank in ranks.tolist()]
                starts = (ends - lengths).tolist()
                file.writelines(
                    f"{' '.join(chosen[start:end])} {style[which]} .\n"
                    for start, end, which in zip(starts, ends.tolist(), stylish.tolist(), strict=True)
                )


def _status(process: str) -> dict[str, int]:
    """Return the memory of a process in bytes by kind."""
    try:
        lines = Path("/proc", process, "status").read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.endswith(" kB")}


def _family(root: int) -> list[str]:
    """Return a process and its descendants."""
    family = [str(root)]
    for process in family:
        for task in Path("/proc", process, "task").glob("*/children"):
            try:
                family += task.read_text("utf-8").split()
            except OSError:
                continue
    return family


class PeakMemory(threading.Thread):
    """Looks at a process and its descendants until it ends."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self.resident = self.own = 0

    def run(self) -> None:
        while Path("/proc", str(self._process), "status").exists():
            found = [_status(process) for process in _family(self._process)]
            self.resident = max(self.resident, sum(status.get("VmRSS", 0) for status in found))
            self.own = max(self.own, sum(status.get("RssAnon", 0) for status in found))
            time.sleep(0.02)


def train(folder: Path, name: str) -> PeakMemory:
    """Train the recipe of a folder, showing what it says and when."""
    start, cpu = time.monotonic(), os.times()
    command = [sys.executable, "-m", "arae_transfer", "train", "recipe.toml", "--data", ".", "--name", name]
    process = subprocess.Popen(
        [*command, "--device", "cpu"],
        cwd=folder,
        env={**os.environ, "ARAE_CACHE": str(folder / "cache")},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    memory = PeakMemory(process.pid)
    memory.start()
    assert process.stderr is not None
    for line in process.stderr:
        if not line.startswith(" "):
            sys.stdout.write(f"  {time.monotonic() - start:6.1f} s  {line}")
            sys.stdout.flush()
    if process.wait() != 0:
        sys.exit(f"arae train failed with status {process.returncode}")
    now = os.times()
    used = now.children_user + now.children_system - cpu.children_user - cpu.children_system
    sys.stdout.write(
        f"{name} run: {time.monotonic() - start:.0f} s, {used:.0f} s of processor time, "
        f"peak {memory.resident / 2**30:.2f} GiB resident, {memory.own / 2**30:.2f} GiB own\n"
    )
    return memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory and time of training on a very large corpus.")
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where to write about 1.5 GB; without this, a temporary folder")
    parser.add_argument("--pairs", type=int, default=0, help="search rewrites for so many sentences")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--limit", type=float, default=4.0, help="GiB of memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        start = time.monotonic()
        write_corpus(folder, options.lines)
        size = sum(path.stat().st_size for path in folder.glob("*.txt"))
        sys.stdout.write(f"{options.lines:,} lines, {size / 2**20:,.0f} MiB, in {time.monotonic() - start:.0f} s\n")
        recipe = RECIPE.format(pairs=options.pairs, sentences=options.steps * 128)
        (folder / "recipe.toml").write_text(recipe, "utf-8")
        peaks = [train(folder, name).resident for name in ("first", "second")]
    if max(peaks) > options.limit * 2**30:
        sys.exit(f"more than {options.limit} GiB")


if __name__ == "__main__":
    main()
