"""Write files atomically: under a temporary name, synchronised, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from arae_transfer.errors import AraeError, quoted


def explain_write_failure(path: Path, error: OSError) -> AraeError:
    """Return a failure of the operating system to write as an error that a user can fix."""
    reason = error.strerror or str(error)
    return AraeError(
        f"cannot write {path}: {reason}", "choose another place, free some space, or check the permissions."
    )


def explain_read_failure(path: Path, error: OSError) -> AraeError:
    """Return a failure of the operating system to read as an error that a user can fix."""
    if isinstance(error, PermissionError):
        return AraeError(
            f"no permission to read {path}: {error.strerror or error}",
            f"the file exists; ask its owner to run: chmod -R u+rwX,go+rX {quoted(path.parent)}",
        )
    if isinstance(error, FileNotFoundError):
        return AraeError(f"{path} is missing", "give another folder, or restore the file from a copy.")
    return AraeError(f"cannot read {path}: {error.strerror or error}", "check the disk, or give another folder.")


def follow_umask(path: Path) -> None:
    """Apply the user's umask to a file or folder that a library created as private."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def synchronise_directory(directory: Path) -> None:
    """Make renames inside a directory durable, where the platform can."""
    with suppress(OSError):  # Windows cannot open directories; some file systems refuse to sync them
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def synchronise_file(path: Path) -> None:
    """Make the content of a file that another library wrote durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def open_atomically(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only if the block succeeds.

    Args:
        path: The final name. Its folder is created when missing.
        mode: ``"wb"`` or ``"w"`` (UTF-8, line feeds kept as they are).

    Raises:
        AraeError: The file cannot be written (no space, no permission, a folder of that name).
    """
    import tempfile  # here, because it takes as long to import as opening a graph, and `arae transfer` writes no file

    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        temporary = Path(name)
        text = "b" not in mode
        with os.fdopen(descriptor, mode, encoding="utf-8" if text else None, newline="\n" if text else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        follow_umask(temporary)  # mkstemp makes private files; a result has ordinary permissions
        temporary.replace(path)
        temporary = None
        synchronise_directory(path.parent)
    except BrokenPipeError:
        raise  # the reader of our answers has gone: not a failure of this file
    except OSError as error:
        raise explain_write_failure(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with open_atomically(path, "w") as file:
        file.write(text)


def write_tsv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows as tab-separated values, atomically; each run of white space in a cell becomes a space."""
    write_text(path, "".join("\t".join(" ".join(cell.split()) for cell in row) + "\n" for row in rows))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a binary file atomically."""
    with open_atomically(path, "wb") as file:
        file.write(content)


def append_text(path: Path, text: str) -> None:
    """Append UTF-8 text to a file, without a buffer that a killed process would lose.

    Raises:
        AraeError: The file cannot be written (no space, no permission).
    """
    rest = memoryview(text.encode("utf-8"))
    try:
        with path.open("ab", buffering=0) as file:
            while rest:  # an unbuffered file may take a part
                rest = rest[file.write(rest) :]
    except OSError as error:
        raise explain_write_failure(path, error) from error


def replace_directory(staged: Path, final: Path) -> None:
    """Move a finished directory to its final name, in place of an older one.

    Both must lie on one file system. A reader sees the old directory or the new one; only between the two renames
    does the name not exist.

    Raises:
        AraeError: The rename fails.
    """
    old: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            import tempfile

            old = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".old", dir=final.parent))
            final.replace(old / final.name)
        staged.replace(final)
        synchronise_directory(final.parent)
    except OSError as error:
        if old is not None and not final.exists():
            (old / final.name).replace(final)
        raise explain_write_failure(final, error) from error
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
