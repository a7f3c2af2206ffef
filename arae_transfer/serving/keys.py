"""API keys; a file holds only their hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from arae_transfer.errors import AraeError

PREFIX = "sha256:"
LEAST_CHARACTERS = 20
"""Minimum length of a key: SHA-256 is fast, so that a short key could be guessed."""

RANDOM_BYTES = 32


def hash_key(key: str) -> str:
    """Return the line of a key file for a key."""
    return PREFIX + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def make_key(typed: str) -> tuple[str, str]:
    """Return a key and its line for the file: the typed key, or a random one for empty input.

    Raises:
        AraeError: What was typed is too short, or cannot be sent in a header.
    """
    key = typed or secrets.token_urlsafe(RANDOM_BYTES)
    if len(key) < LEAST_CHARACTERS:
        raise AraeError(
            f"a key of {len(key)} characters is easy to guess",
            f"type at least {LEAST_CHARACTERS} characters, or nothing for a random key.",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise AraeError("a key must fit into an HTTP header", "use ASCII letters, digits and marks, without spaces.")
    return key, hash_key(key)


@dataclass(frozen=True)
class Keys:
    """Hashes of the accepted keys.

    Attributes:
        hashes: Each as a file has it.
    """

    hashes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Read a file of one hash per line; text after a space, blank lines and lines with # are comments.

        Raises:
            AraeError: The file cannot be read, holds no hash, or something else.
        """
        try:
            lines = path.read_text("utf-8").splitlines()
        except OSError as error:
            raise AraeError(f"cannot read {path}: {error.strerror or error}", _REMEDY) from error
        except UnicodeDecodeError as error:
            raise AraeError(f"{path} is not UTF-8", _REMEDY) from error
        hashes = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            word = line.split()[0].lower()
            digest = word.removeprefix(PREFIX)
            if digest == word or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                # The line is not shown: it may be a key.
                raise AraeError(f"line {number} of {path} is not the hash of a key", _REMEDY)
            hashes.append(word)
        if not hashes:
            raise AraeError(f"{path} has no hash, so that no key would be accepted", _REMEDY)
        return cls(tuple(hashes))

    def admit(self, key: str | None) -> bool:
        """Return whether a key is accepted, in constant time."""
        if not key:
            return False
        shown = hash_key(key)
        return sum(hmac.compare_digest(shown, each) for each in self.hashes) > 0  # all are compared


_REMEDY = "`arae serve --hash-api-key >> FILE` writes such a line."
