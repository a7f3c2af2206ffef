"""Run the command line as ``python -m arae_transfer``."""

from __future__ import annotations

from arae_transfer.cli.leaving import run

if __name__ == "__main__":
    run()
