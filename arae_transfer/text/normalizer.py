"""Normalize a typed line to the corpus's text format, and restore the rewrite to the typed form."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from arae_transfer.text.characters import fold
from arae_transfer.text.escapes import read_escapes
from arae_transfer.text.format import FormatChoice, TextFormat
from arae_transfer.text.protected import Protector
from arae_transfer.text.recognition import recognizer
from arae_transfer.text.restoration import Restorer
from arae_transfer.text.surface import NOTHING, CarriedSpan, SurfaceForm
from arae_transfer.text.treebank import tokenize

_NO_PROTECTOR = Protector()


class Normalizer:
    """Converts between ordinary text and a corpus's text format; thread-safe.

    ``auto`` decides line by line: a line that is certainly in the corpus's format stays unchanged and is answered in
    it; all other lines count as ordinary text. ``ordinary`` and ``corpus`` decide for every line.
    """

    def __init__(self, form: TextFormat, choice: FormatChoice = "auto", protector: Protector = _NO_PROTECTOR) -> None:
        self.form = form
        self.choice = choice
        self.protector = protector
        self._untouched = choice == "corpus" or form == TextFormat()
        self._treebank = form.tokens == "penn-treebank"
        self._is_in_form = recognizer(form)
        self._restorer = Restorer(form)

    def normalize(self, line: str, known: Collection[str] | None = None) -> tuple[str, SurfaceForm]:
        """Return the line in the corpus's text format, and the surface form that ``restore`` needs.

        No line raises. Control characters and line breaks inside an ordinary line become blanks.

        Args:
            line: The line.
            known: The characters that the model reads, for lines with other characters or protected spans: accents are
                then dropped, escapes are decoded, and protected spans, such as emoji and addresses, and words with
                other characters bypass the model. If most words have other characters, or if the line is in the
                corpus's format, all characters count as known. A line of protected spans alone is normalized to
                nothing.
        """
        if known is not None and self.choice != "corpus":
            text, surface = self._protected(line, known)
            if surface:
                return text, surface
        if self._untouched or (self.choice == "auto" and self._is_in_form(line)):
            return line, NOTHING
        words, surfaces, gaps, _ = tokenize(line, self.form)
        return self._join(words, gaps), SurfaceForm(tuple(words), tuple(surfaces), tuple(gaps))

    def restore(self, answer: str, surface: SurfaceForm) -> str:
        """Return the model's output in the typed form; see ``Restorer.restore``."""
        return self._restorer.restore(answer, surface)

    def forget_after(self, surface: SurfaceForm, read: str) -> SurfaceForm:
        """Return the surface form of the beginning of a line, ``read``, if the model read only that."""
        if not surface.carried:
            return surface
        words = len(read.split() if self._treebank else tokenize(read, self.form).words)
        return replace(surface, carried=tuple(each for each in surface.carried if each.before < words))

    def may_protect(self, line: str) -> bool:
        """Return whether a line may have protected spans; a fast test without false negatives."""
        return self.choice != "corpus" and self.protector.may_hold(line, self.form.number)

    def _protected(self, line: str, known: Collection[str]) -> tuple[str, SurfaceForm]:
        """Rewrite a line in known characters; return it as it is if most of its words have others, or if none has."""
        typed, escapes = read_escapes(line)
        meant = typed.translate(escapes.characters) if escapes else typed
        spans = self.protector.find(meant, self.form.number)
        tokenized = tokenize(typed, self.form, spans, escapes.characters)
        words: list[str] = []
        surfaces: list[str] = []
        gaps: list[str] = []
        carried: list[CarriedSpan] = []
        unknown = 0
        for place, (word, typed_word, gap) in enumerate(
            zip(tokenized.words, tokenized.surfaces, tokenized.gaps, strict=False)
        ):
            folded: str | None = word  # the placeholder of numbers is read as a whole
            protected = place in tokenized.protected
            if protected:
                folded = None
            elif word != self.form.number:
                folded = fold(word, known, lower_case=self.form.lower_case)
            if folded is None:
                carried.append(CarriedSpan(len(words), gap, typed_word))
                unknown += not protected
            else:
                words.append(folded)
                surfaces.append(typed_word)
                gaps.append(gap)
        measured = any(span.number for span in spans)
        if unknown > len(words) or not (carried or escapes or measured or words != tokenized.words):
            return line, NOTHING
        gaps.append(tokenized.gaps[-1])
        # Words between which others stood, and no blank, are still two.
        parted = {each.before for each in carried} - {0}
        apart = [gap or " " if place in parted else gap for place, gap in enumerate(gaps)]
        surface = SurfaceForm(tuple(words), tuple(surfaces), tuple(gaps), tuple(carried), escapes)
        return self._join(words, apart), surface

    def _join(self, words: Sequence[str], gaps: Sequence[str]) -> str:
        if self._treebank:
            return " ".join(words)
        return "".join([gap + word for gap, word in zip(gaps, words, strict=False)]) + gaps[-1]
