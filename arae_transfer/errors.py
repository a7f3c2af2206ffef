"""The exception for errors that a user can fix, the warning for deprecations, and shell quoting."""

from __future__ import annotations


def quoted(word: object) -> str:
    """Return a word quoted for a shell, for printed commands."""
    import shlex  # here, because most commands print none

    return shlex.quote(str(word))


class AraeError(Exception):
    """An error that the user can fix.

    The command line prints it as one or two lines on standard error and exits with status 1; any other exception
    is a bug and shows its traceback.

    Attributes:
        message: What is wrong, in one line.
        hint: What exists and what to type, in one line, or None.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class AraeNotice(FutureWarning):
    """A deprecated feature that stops working in the next version, such as the old name of a key.

    The command line prints it as one line on standard error.
    """
