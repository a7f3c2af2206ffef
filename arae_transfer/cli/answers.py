"""Write answers to standard output, or to a file that appears when it is complete."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from arae_transfer.atomic import explain_write_failure, open_atomically
from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded

Write = Callable[[bytes], None]


@contextmanager
def open_answers(output: Path | None) -> Iterator[Write]:
    """Open the output and yield a function that writes bytes to it at once.

    Args:
        output: A file; None: standard output. A file appears under its name only when the block ends without
            an exception. What is no ordinary file (a named pipe, a device) is written to as answers come.

    Raises:
        AraeError: The place cannot be written to; for a file, this is known before the block begins.
        BrokenPipeError: Nobody reads the answers any more.
    """
    if output is None:
        if sys.stdout is None:
            raise AraeError("standard output is closed", "use --output FILE.")
        yield _writer(sys.stdout.buffer, "standard output")
        return
    path = expanded(output)
    try:
        path.stat()
    except FileNotFoundError:
        pass  # it will be made
    except OSError as error:  # links that lead to each other, for example
        raise explain_write_failure(output, error) from error
    path = path.resolve()  # a link stays a link, to a new file
    if path.is_dir():
        raise AraeError(f"cannot write {output}: it is a folder", "name a file in it.")
    if path.exists() and not os.access(path, os.W_OK):
        raise AraeError(f"cannot write {output}: permission denied", "choose another file.")
    if path.exists() and not path.is_file():
        try:
            special = path.open("wb", buffering=0)
        except OSError as error:
            raise explain_write_failure(output, error) from error
        with special:
            yield _writer(special, str(output))
        return
    with open_atomically(path, "wb") as file:
        yield _writer(file, str(output))


def _writer(stream: IO[bytes], name: str) -> Write:
    def write(content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:  # an unbuffered stream may take a part
                rest = rest[stream.write(rest) :]
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise AraeError(
                f"cannot write {name}: {error.strerror or error}", "free some space, or write to another disk."
            ) from error

    return write
