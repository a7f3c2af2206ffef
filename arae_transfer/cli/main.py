"""The entry point of the console script ``arae``."""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from typing import TextIO

from arae_transfer.cli import app
from arae_transfer.cli.command import exits_without_cleanup, report
from arae_transfer.errors import AraeNotice

_show_any_warning = warnings.showwarning


def main() -> None:
    """Run the command line and end the process."""
    try:
        run()
    except SystemExit as end:
        if exits_without_cleanup() and not end.code:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            os._exit(0)
        raise


def run() -> None:
    """Run the command line without ending the process."""
    # Python would choose the encoding from the locale, and fail on text that the locale cannot write.
    # A file name that is no text in this locale leaves as the bytes that it is.
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    warnings.showwarning = _show_warning
    try:
        app(prog_name="arae")
    finally:
        gc.freeze()  # the interpreter's last search for garbage would take longer than `arae --help`


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a notice of this program as one line; leave other warnings to Python."""
    if isinstance(message, AraeNotice):
        report(str(message))
    else:
        _show_any_warning(message, category, filename, lineno, file, line)
