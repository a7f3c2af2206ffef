"""Show the current activity on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def status(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show the last message on standard error, if that is a terminal, until the work is done."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda message: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as shown:
        yield lambda message: shown.update(f"[dim]{escape(message)}[/dim]")
