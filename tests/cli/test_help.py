"""What the help says of a command without loading it is what the command says of itself."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from arae_transfer.cli import COMMANDS, app
from arae_transfer.cli.bench import bench
from arae_transfer.cli.command import AraeGroup, CommandSource

SOURCES = [("", source) for source in COMMANDS] + [
    ("bench ", source)
    for source in getattr(typer.main.get_command(bench), "sources")  # noqa: B009
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
