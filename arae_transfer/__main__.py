"""Run the command line as ``python -m arae_transfer``."""

from __future__ import annotations

from arae_transfer.cli.main import main

if __name__ == "__main__":
    main()
