"""Surface form of a typed line: what restoring a rewrite needs."""

from __future__ import annotations

from dataclasses import dataclass

from arae_transfer.text.escapes import NO_ESCAPES, Escapes


@dataclass(frozen=True, slots=True)
class CarriedSpan:
    """Part of a line that bypasses the model and keeps its position, such as an emoji, an address or a tag.

    Attributes:
        before: The position of the word after it, among the words that the model reads.
        gap: The blanks before it.
        surface: Its typed form.
    """

    before: int
    gap: str
    surface: str


@dataclass(frozen=True, slots=True)
class SurfaceForm:
    """Surface form of a line; false if nothing needs restoring.

    Attributes:
        words: The typed line's words in the corpus's text format.
        surfaces: The typed form of each word.
        gaps: The blanks before each word, and those after the last.
        carried: The spans that bypass the model, in order; they are not among the words.
        escapes: The escapes behind the private characters in surfaces and gaps.
    """

    words: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    carried: tuple[CarriedSpan, ...] = ()
    escapes: Escapes = NO_ESCAPES

    def __bool__(self) -> bool:
        return bool(self.words or self.carried)


NOTHING = SurfaceForm()
