"""Check optional dependencies, and name the extra that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from arae_transfer.errors import AraeError


def require(*modules: str, extra: str, command: str) -> None:
    """Check that modules are installed, without importing them.

    Raises:
        AraeError: One is missing; the hint says what to type.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise AraeError(
            f"{command} needs {', '.join(missing)}, which the base install does not have",
            f"run: pip install 'arae-transfer[{extra}]'",
        )
