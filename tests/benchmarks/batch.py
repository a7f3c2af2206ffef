"""What rewriting in parts costs beside a pipe: ``python tests/benchmarks/batch.py [ROWS] [KIND]``.

Bars: a worker holds at most 300 MB, and rewrites at least 90 % of the rows that the pipe does in a second of processor
time. Processor time, because whatever else the machine does must not decide; both are given one thread, and start-up,
which a long job hardly notices, is measured apart with one row and taken off.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MOST_MEMORY = 300e6
LEAST_SPEED = 0.9
ARAE = [sys.executable, "-m", "arae_transfer", "transfer", "--to", "positive", "--beam", "1", "--quiet"]
STARTS = (
    "the food was",
    "our waiter was",
    "this place is",
    "the service here is",
    "my soup came and was",
    "i think it is",
)
ENDS = ("cold", "terrible", "slow and rude", "not worth the money", "awful", "bland and dry", "a disappointment")


def write_rows(folder: Path, rows: int, kind: str) -> tuple[Path, Path]:
    """Write the same texts as a table and as lines, and return both."""
    chance = random.Random(1)
    texts = [f"{chance.choice(STARTS)} {chance.choice(ENDS)} , and {chance.choice(ENDS)} ." for _ in range(rows)]
    lines = folder / f"{rows}.txt"
    lines.write_text("".join(f"{text}\n" for text in texts))
    table = folder / f"{rows}.{kind}"
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"id": range(rows), "text": texts}), table)
    else:
        table.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    return lines, table


def largest_child(pid: int, found: list[int], ended: threading.Event) -> None:
    """Note the greatest memory that any process started by one has held, in bytes, while it runs."""
    while not ended.wait(0.05):
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in children:
                status = Path(f"/proc/{child}/status").read_text()
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        except (OSError, IndexError):
            continue


def run(command: list[str]) -> tuple[float, float, int]:
    """Return the processor time and the time by the clock of a command and its children, and a worker's memory."""
    before = os.times()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    memory: list[int] = [0]
    ended = threading.Event()
    watch = threading.Thread(target=largest_child, args=(process.pid, memory, ended))
    watch.start()
    status = process.wait()
    ended.set()
    watch.join()
    if status:
        raise subprocess.CalledProcessError(status, command)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, time.perf_counter() - started, max(memory)


def main() -> None:
    """Measure both, print a table, and say whether the bars are met."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    kind = sys.argv[2] if len(sys.argv) > 2 else "jsonl"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines, table = write_rows(folder, rows, kind)
        one_line, one_row = write_rows(folder, 1, kind)
        parts = ["--workers", "1", "--rows-per-part", str(-(-rows // 4))]
        commands = {
            "pipe": ([*ARAE, "--threads", "1", str(lines)], [*ARAE, "--threads", "1", str(one_line)]),
            "parts": (
                [*ARAE, str(table), "-o", f"{folder}/out/", *parts],
                [*ARAE, str(one_row), "-o", f"{folder}/one/", *parts],
            ),
        }
        speeds: dict[str, float] = {}
        memory = 0
        print(f"{rows:,} rows, {kind}")  # noqa: T201
        print(f"{'':8}{'start-up, s':>14}{'processor, s':>14}{'clock, s':>10}{'rows a second':>15}")  # noqa: T201
        for who, (command, shortest) in commands.items():
            start, _, _ = run(shortest)
            spent, clock, memory = run(command)
            speeds[who] = (rows - 1) / (spent - start)
            print(f"{who:8}{start:14.2f}{spent:14.2f}{clock:10.2f}{speeds[who]:15,.0f}")  # noqa: T201
    ratio = speeds["parts"] / speeds["pipe"]
    missed = "" if ratio >= LEAST_SPEED else " MISSED"
    print(f"speed a core: {ratio:.1%} of the pipe's (bar: at least {LEAST_SPEED:.0%}){missed}")  # noqa: T201
    held = "" if memory <= MOST_MEMORY else " MISSED"
    print(f"memory of a worker: {memory / 1e6:,.0f} MB (bar: at most {MOST_MEMORY / 1e6:.0f} MB){held}")  # noqa: T201
    sys.exit(ratio < LEAST_SPEED or memory > MOST_MEMORY)


if __name__ == "__main__":
    main()
