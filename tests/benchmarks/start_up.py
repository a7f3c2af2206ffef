"""How long `arae` takes to start, beside imports that it cannot do without: ``python tests/benchmarks/start_up.py``.

Bars: rewriting one line takes at most 2.0 times ``import onnxruntime``, help and version 1.5 times ``import typer``.
The processes take turns, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 20
ARAE = [sys.executable, "-m", "arae_transfer"]
COMMANDS = {
    "import onnxruntime": [sys.executable, "-c", "import onnxruntime"],
    "import typer": [sys.executable, "-c", "import typer"],
    "arae transfer --to positive": [*ARAE, "transfer", "--to", "positive"],
    "arae --help": [*ARAE, "--help"],
    "arae --version": [*ARAE, "--version"],
}
RATIOS = (
    ("arae transfer --to positive", "import onnxruntime", 2.0),
    ("arae --help", "import typer", 1.5),
    ("arae --version", "import typer", 1.5),
)


def measure(command: list[str]) -> tuple[float, float]:
    """Return the seconds by the clock and those of processor time of one process that is given one line."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=_as_installed())
    assert process.stdin is not None
    try:
        process.stdin.write(b"the food was cold\n")
        process.stdin.close()
    except BrokenPipeError:
        pass  # what only imports reads nothing
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_utime + usage.ru_stime


def _as_installed() -> dict[str, str]:
    """Return the environment, byte code allowed: an installed package has it, and compiling is not starting.

    The telemetry of onnxruntime is off in the bare import, too: nothing is sent, and like is compared with like.
    """
    own = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "ORT_DISABLE_TELEMETRY": "1"}


def main() -> None:
    """Measure and print a table and the ratios."""
    for command in COMMANDS.values():
        measure(command)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            found[name].append(measure(command))
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in found.items()
    }
    for name, (clock, processor) in medians.items():
        print(f"{name:<30} {1e3 * clock:7.1f} ms, processor {1e3 * processor:7.1f} ms")  # noqa: T201
    for name, base, bar in RATIOS:
        clock, processor = (medians[name][column] / medians[base][column] for column in range(2))
        print(f"{name} / {base}: {clock:.2f}, processor {processor:.2f} (at most {bar})")  # noqa: T201


if __name__ == "__main__":
    main()
