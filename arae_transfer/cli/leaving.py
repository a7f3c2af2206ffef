"""The end of the process: freeing what onnxruntime holds takes a twentieth of a short run, and nobody waits for it."""

from __future__ import annotations

import os
import sys

from arae_transfer.cli import main

_at_once = False


def leave_at_once() -> None:
    """Let the process end without putting anything in order, once the command has succeeded.

    For commands that have written all their answers by then and leave no files, processes or threads to be ended.
    """
    global _at_once
    _at_once = True


def run() -> None:
    """Run the command line, and end the process."""
    try:
        main()
    except SystemExit as end:
        if _at_once and not end.code:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            os._exit(0)
        raise
