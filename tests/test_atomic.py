"""Files are complete or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from arae_transfer.atomic import append_text, open_atomically, replace_directory, write_bytes, write_text
from arae_transfer.errors import AraeError

FULL = Path("/dev/full")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_text_file_is_utf8_with_line_feeds_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "é\r\nx\n")
    assert path.read_bytes() == "é\r\nx\n".encode()
    assert names(path.parent) == ["a.txt"]


def test_nothing_appears_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"old")
    with open_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, BrokenPipeError])
def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"old")
    with pytest.raises(failure), open_atomically(path) as file:
        file.write(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_file_has_ordinary_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_folder_of_that_name_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a" / "inside").mkdir(parents=True)
    with pytest.raises(AraeError, match=r"cannot write .*a: "):
        write_bytes(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["inside"]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x")
    with pytest.raises(AraeError, match="cannot write"):
        write_bytes(tmp_path / "a" / "b", b"x")


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files fails in the middle of a write, as a full disk does."""
    program = """
import resource, sys
from pathlib import Path
from arae_transfer.atomic import write_bytes
from arae_transfer.errors import AraeError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_bytes(Path(sys.argv[1]), b"old")
try:
    write_bytes(Path(sys.argv[1]), b"x" * 2000)
except AraeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {tmp_path / 'a'}: ")
    assert "free some space" in done.stdout
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from arae_transfer.atomic import open_atomically
with open_atomically(Path(sys.argv[1])) as file:
    file.write(b"x" * 100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    write_bytes(tmp_path / "a", b"old")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_bytes() == b"old"


def test_appending_adds_to_what_is_there(tmp_path: Path) -> None:
    append_text(tmp_path / "a", "é\n")
    append_text(tmp_path / "a", "x\n")
    assert (tmp_path / "a").read_bytes() == "é\nx\n".encode()


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_appending_to_a_full_disk_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(FULL)
    with pytest.raises(AraeError, match="cannot write"):
        append_text(tmp_path / "a", "x")


def test_a_directory_replaces_another(tmp_path: Path) -> None:
    write_text(tmp_path / "staged" / "new", "1")
    write_text(tmp_path / "place" / "final" / "old", "2")
    replace_directory(tmp_path / "staged", tmp_path / "place" / "final")
    assert names(tmp_path) == ["place"]
    assert names(tmp_path / "place") == ["final"]
    assert names(tmp_path / "place" / "final") == ["new"]


def test_a_directory_takes_a_free_name(tmp_path: Path) -> None:
    write_text(tmp_path / "staged" / "new", "1")
    replace_directory(tmp_path / "staged", tmp_path / "place" / "final")
    assert names(tmp_path / "place" / "final") == ["new"]


def test_a_failed_replacement_puts_the_old_directory_back(tmp_path: Path) -> None:
    write_text(tmp_path / "final" / "old", "2")
    with pytest.raises(AraeError, match=r"cannot write .*final"):
        replace_directory(tmp_path / "missing", tmp_path / "final")
    assert names(tmp_path) == ["final"]
    assert names(tmp_path / "final") == ["old"]
