"""Behaviour that all commands of `arae` share: exit status, error messages, help and fast start."""

from __future__ import annotations

import errno
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup

from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from typer._click import Command, Context, HelpFormatter
    from typer._click.core import Parameter

FAILURE = 1
INTERRUPTED = 130
CLOSED_PIPE = 141

# How the operating system says that a stream which was open cannot be written to. An answer that goes to a file is
# watched where it is written; these are left for what is echoed.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class CommandSource(NamedTuple):
    """The module that declares a command, and its entry in the help of its group.

    Attributes:
        name: The command.
        place: The module in ``arae_transfer.cli``, a point, and the function's or ``Typer``'s name in it; the latter
            is left out where it is the module's own.
        summary: The first sentence of the command's help.
        panel: The heading that it stands under in the help of its group.
    """

    name: str
    place: str
    summary: str
    panel: str = "Commands"

    def load(self) -> Command:
        """Import the module and return its command."""
        module, _, attribute = self.place.partition(".")
        target = getattr(import_module(f"arae_transfer.cli.{module}"), attribute or module)
        app = target
        if not isinstance(target, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(self.name, cls=AraeCommand)(target)
        command = typer.main.get_command(app)
        command.name = self.name
        return command


class _LazyCommands(Mapping[str, "Command"]):
    """The commands of a group by name, each imported when it is first looked up."""

    def __init__(self, sources: Iterable[CommandSource]) -> None:
        self._sources = {source.name: source for source in sources}
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._loaded:
            self._loaded[name] = self._sources[name].load()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


class AraeCommand(TyperCommand):
    """A command whose help is plain text, with options grouped by ``rich_help_panel``.

    Plain, because drawing panels would take longer than everything else that `arae --help` does.
    """

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options, grouped."""
        _write_panels(self.get_params(ctx), ctx, formatter)

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """Return the arguments for the usage line, in brackets if they are optional."""
        parameters = self.get_params(ctx)
        arguments = [each for each in parameters if each.param_type_name == "argument"]
        return ["[OPTIONS]", *map(_usage_of_argument, arguments)]

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters, with fast conversion of plain values."""
        return _convert_plainly(super().get_params(ctx))


class AraeGroup(TyperGroup):
    """A group of commands that turns exceptions into messages and exit statuses.

    Attributes:
        sources: Where its commands are declared; a command is loaded when it is asked for. Empty: they are declared
            with the group.
    """

    sources: ClassVar[tuple[CommandSource, ...]] = ()

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 -- as declared by Typer
        super().__init__(**attributes)
        if self.sources:
            self.commands = cast("MutableMapping[str, Command]", _LazyCommands(self.sources))

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands and their summaries without importing any."""
        if not self.sources:
            super().format_commands(ctx, formatter)
            return
        widest = max(len(source.name) for source in self.sources)
        for panel in dict.fromkeys(source.panel for source in self.sources):
            with formatter.section(panel):
                rows = [(source.name.ljust(widest), source.summary) for source in self.sources if source.panel == panel]
                formatter.write_dl(rows)

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        _write_panels(self.get_params(ctx), ctx, formatter)

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters, with fast conversion of plain values."""
        return _convert_plainly(super().get_params(ctx))

    def main(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- as declared by Typer
        """Run the command, and report a failure to write to standard output."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            if error.errno not in UNWRITABLE or error.filename is not None:
                raise
            _abandon_standard_output()
            report(*_unwritable(error))
            sys.exit(FAILURE)

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 -- as declared by Typer
        """Run the command, and report errors that the user can fix on standard error."""
        try:
            result = super().invoke(ctx)
            _flush_standard_output()
        except AraeError as error:
            _abandon_standard_output()
            report(error.message, error.hint)
            raise typer.Exit(FAILURE) from error
        except BrokenPipeError as error:
            _abandon_standard_output()
            raise typer.Exit(CLOSED_PIPE) from error
        except KeyboardInterrupt as error:
            _abandon_standard_output()
            raise typer.Exit(INTERRUPTED) from error
        except PermissionError as error:
            if error.filename is None:
                raise
            _abandon_standard_output()
            report(f"no permission to read {error.filename}", "ask its owner to run: chmod -R u+rwX,go+rX FOLDER")
            raise typer.Exit(FAILURE) from error
        except MemoryError as error:
            _abandon_standard_output()
            report("out of memory", "use smaller batches.")
            raise typer.Exit(FAILURE) from error
        return result


_without_cleanup = False


def exit_without_cleanup() -> None:
    """End the process immediately after the command succeeds.

    Freeing what onnxruntime holds takes a twentieth of a short run. For commands that have written all their answers by
    then and leave no files, processes or threads to be ended.
    """
    global _without_cleanup
    _without_cleanup = True


def exits_without_cleanup() -> bool:
    """Return whether the command asked to end the process immediately."""
    return _without_cleanup


def report(message: str, hint: str | None = None) -> None:
    """Write a message on standard error, and its remedy on a second line."""
    if sys.stderr is None:
        return
    typer.echo(f"arae: {message}", err=True)
    if hint:
        typer.echo(f"      {hint}", err=True)


def _flush_standard_output() -> None:
    """Flush standard output while a failure can still be reported.

    Raises:
        AraeError: It cannot be written.
        BrokenPipeError: Nobody reads it.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AraeError(*_unwritable(error)) from error


def _unwritable(error: OSError) -> tuple[str, str]:
    return f"cannot write standard output: {error.strerror or error}", "free some space, or write to another disk."


def _abandon_standard_output() -> None:
    """Redirect standard output to the null device, so that the interpreter's last flush does not fail as well."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed from the start, or replaced by an object in memory
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _argument_name(parameter: Parameter) -> str:
    """Return an argument's name in the help; Typer's own shows its Python type."""
    return parameter.metavar or (parameter.name or "").upper()


def _usage_of_argument(parameter: Parameter) -> str:
    name = _argument_name(parameter) + ("..." if parameter.nargs != 1 else "")
    return name if parameter.required else f"[{name}]"


def _write_panels(parameters: Iterable[Parameter], ctx: Context, formatter: HelpFormatter) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is not None:
            panel = getattr(parameter, "rich_help_panel", None)
            fallback = "Options"
            if parameter.param_type_name == "argument":
                fallback, record = "Arguments", (_argument_name(parameter), record[1])
            panels.setdefault(panel or fallback, []).append(record)
    for panel, records in panels.items():
        with formatter.section(panel):
            formatter.write_dl(records)


class _PlainValues:
    """Converts simple values of one parameter directly, and leaves all others to Typer.

    Typer converts by pydantic, whose import alone takes as long as Typer's own.
    """

    def __init__(self, parameter: Parameter, annotation: object, minimum: float | None, maximum: float | None) -> None:
        self._parameter = parameter
        self._annotation = annotation
        self._minimum = -math.inf if minimum is None else minimum
        self._maximum = math.inf if maximum is None else maximum

    def coerce(self, value: Any, param: Parameter, ctx: Context) -> Any:  # noqa: ANN401
        many = getattr(param, "multiple", False) or param.nargs == -1
        if value is None:
            return () if many else None
        if isinstance(self._annotation, type) and type(value) is self._annotation:
            return value  # a text that is to be one, or a default
        if self._annotation == list[str] and isinstance(value, list | tuple):
            return list(value)
        if self._annotation is int and re.fullmatch("[0-9]{1,9}", str(value)):
            number = int(value)
            if self._minimum <= number <= self._maximum:
                return number
        convert = type(self._parameter).get_runtime_param(self._parameter)  # type: ignore[attr-defined]
        return convert.coerce(value, param=param, ctx=ctx)


def _convert_plainly(parameters: list[Parameter]) -> list[Parameter]:
    """Skip Typer's conversion of values that need none; leave versions of Typer without this step alone."""
    for parameter in parameters:
        descriptor = getattr(parameter, "type_descriptor", None)
        if descriptor is None or not hasattr(type(parameter), "get_runtime_param"):
            continue
        information = getattr(descriptor, "parameter_info", None)
        if getattr(information, "parser", None) is None and not getattr(information, "clamp", False):
            values = _PlainValues(
                parameter,
                getattr(descriptor, "annotation", None),
                getattr(information, "min", None),
                getattr(information, "max", None),
            )
            setattr(parameter, "get_runtime_param", lambda values=values: values)  # noqa: B010
    return parameters
