"""How every command of `arae` behaves: its exit status, its error messages, its help, its speed at start."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from arae_transfer.errors import AraeError

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter
    from typer._click.core import Parameter

FAILURE = 1
INTERRUPTED = 130
CLOSED_PIPE = 141


class AraeCommand(TyperCommand):
    """A command whose help is plain text, its options grouped by their ``rich_help_panel``.

    Plain, because drawing panels would take longer than everything else that `arae --help` does.
    """

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the options, grouped."""
        _write_panels(self.get_params(ctx), ctx, formatter)

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters, converting plain values the short way."""
        return _convert_plainly(super().get_params(ctx))


class AraeGroup(TyperGroup):
    """The group of all commands, which turns exceptions into messages and exit statuses."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        _write_panels(self.get_params(ctx), ctx, formatter)

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters, converting plain values the short way."""
        return _convert_plainly(super().get_params(ctx))

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 -- as declared by Typer
        """Run the command; what the user can fix becomes one or two lines on standard error."""
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
        except MemoryError as error:
            _abandon_standard_output()
            report("out of memory", "use smaller batches.")
            raise typer.Exit(FAILURE) from error
        return result


def report(message: str, hint: str | None = None) -> None:
    """Write a message for the user on standard error, and what to do about it on a second line."""
    if sys.stderr is None:
        return
    typer.echo(f"arae: {message}", err=True)
    if hint:
        typer.echo(f"      {hint}", err=True)


def _flush_standard_output() -> None:
    """Write what `print` has kept back, while its failure can still be said.

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
        raise AraeError(f"cannot write standard output: {error.strerror or error}") from error


def _abandon_standard_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not fail a second time."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed from the start, or replaced by an object in memory
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _write_panels(parameters: Iterable[Parameter], ctx: Context, formatter: HelpFormatter) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is not None:
            panel = getattr(parameter, "rich_help_panel", None)
            fallback = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panels.setdefault(panel or fallback, []).append(record)
    for panel, records in panels.items():
        with formatter.section(panel):
            formatter.write_dl(records)


class _PlainValues:
    """Converts the values of one parameter where that is trivial, and leaves every other case to Typer.

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
    """Spare Typer's conversion where nothing needs it; a Typer that has no such step is left alone."""
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
