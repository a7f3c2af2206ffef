"""What the help says of a command without loading it is what the command says of itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from arae_transfer.cli import COMMANDS, app
from arae_transfer.cli.bench import bench
from arae_transfer.cli.command import AraeGroup, CommandSource
from arae_transfer.cli.study import study

SOURCES = [("", source) for source in COMMANDS] + [
    (f"{group.info.name} ", source)
    for group in (bench, study)
    for source in getattr(typer.main.get_command(group), "sources")  # noqa: B009
]


@pytest.mark.parametrize(("group", "source"), SOURCES, ids=lambda value: getattr(value, "name", value))
def test_a_summary_is_the_first_sentence_of_its_command(group: str, source: CommandSource) -> None:
    command = source.load()
    assert command.name == source.name
    assert " ".join((command.help or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".") + "." == source.summary
    shown = CliRunner().invoke(app, [*group.split(), source.name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"arae {group}{source.name}" in shown.output.replace("root", "arae")


def test_all_commands_stand_in_the_help() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    for source in COMMANDS:
        assert f"  {source.name} " in shown.output


@pytest.mark.parametrize(("words", "meant"), [(["trasfer"], "transfer"), (["bench", "trian"], "train")])
def test_a_mistyped_command_names_the_nearest(words: list[str], meant: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"Did you mean {meant!r}" in result.stderr


def test_commands_declared_with_their_group_still_work() -> None:
    group = typer.Typer(cls=AraeGroup, rich_markup_mode=None)

    @group.command()
    def first() -> None:
        """Say one."""
        typer.echo("one")

    @group.command()
    def second() -> None:
        """Say two."""

    assert CliRunner().invoke(group, ["first"]).stdout == "one\n"
    assert "Say two." in CliRunner().invoke(group, ["--help"]).stdout


@pytest.mark.parametrize(("group", "source"), SOURCES, ids=lambda value: getattr(value, "name", value))
def test_arguments_are_words_of_the_user_and_not_python_types(group: str, source: CommandSource) -> None:
    shown = CliRunner().invoke(app, [*group.split(), source.name, "--help"]).output
    usage, _, rest = shown.partition("\n\n")
    assert not re.search(r"[{}]|\[\[", usage), usage
    assert not re.search(r"<(str|path|int|list)", rest), rest


# What is echoed where it cannot be written.

ECHOING = [["--help"], ["--version"], ["transfer", "--help"], ["transfer", "--list-classes"], ["train", "--list-keys"]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ECHOING, ids=" ".join)
def test_a_full_disk_is_one_message_whatever_is_echoed(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "arae_transfer", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().startswith("arae: cannot write standard output: No space left")
    assert done.stderr.count(b"\n") == 2


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX closes the stream")
@pytest.mark.parametrize("words", [["train"], ["train", "--list-keys"], ["transfer", "--list-models"]], ids=" ".join)
def test_lists_need_nobody_who_reads_them(words: list[str]) -> None:
    command = " ".join([sys.executable, "-m", "arae_transfer", *words, "1>&-"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
