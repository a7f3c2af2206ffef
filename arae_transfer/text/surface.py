"""Surface form of a typed line: what restoring a rewrite needs."""

from __future__ import annotations

from dataclasses import dataclass

from arae_transfer.text.escapes import NO_ESCAPES, Escapes


@dataclass(frozen=True, slots=True)
class CarriedSpan:
    """Part of a line that bypasses the model and keeps its position, such as an emoji, an address or a tag.

    Attributes:
        before: The position of the read word that it stands before.
        gap: The blanks before it.
        surface: How it was typed.
    """

    before: int
    gap: str
    surface: str


@dataclass(frozen=True, slots=True)
class SurfaceForm:
    """Surface form of a line; false if nothing needs restoring.

    Attributes:
        words: The typed line's words in the corpus's text format.
        surfaces: How each was typed.
        gaps: The blanks before each, and those after the last.
        carried: What is carried past the model, in order; it is not among the words.
        escapes: What the private characters among the surfaces and gaps stand for.
    """

    words: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    carried: tuple[CarriedSpan, ...] = ()
    escapes: Escapes = NO_ESCAPES

    def __bool__(self) -> bool:
        return bool(self.words or self.carried)


NOTHING = SurfaceForm()
