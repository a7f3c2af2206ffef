"""Preparation: lines are split into sentences, normalized to the corpus's text format and encoded as ids."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from arae_transfer.errors import AraeError
from arae_transfer.text.prose import is_prose
from arae_transfer.text.sentences import SentenceSplit, split_in_two, split_sentences
from arae_transfer.text.surface import NOTHING, SurfaceForm
from arae_transfer.tokenizer import END_ID, Tokenizer

if TYPE_CHECKING:
    from arae_transfer.runtime.model_folder import ModelFolder
    from arae_transfer.text import Normalizer
    from arae_transfer.text.protected import Protector

FORMS = ("auto", "ordinary", "corpus")
CHARACTERS_PER_TOKEN = 16
"""No token of a tokenizer trained here is longer, so this many characters per token are always enough."""

LONGEST_SPLIT = 1 << 14
"""Characters of a line that are split into sentences; the rest of a longer one, which no person wrote, is left out."""

# Control characters, line and paragraph separators: inside a line they would break it, or drive a terminal.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class PreparedSentence:
    """A sentence as the encoder reads it; it is not frozen, which would take longer to make.

    Attributes:
        source: The sentence as it was typed.
        text: The part that the model reads, in the corpus's text format.
        ids: The ids of that text with the end id; empty if the model reads nothing.
        surface: What ``Normalizer.restore`` needs to restore the typed form.
        truncated: Whether its end was cut off.
        source_class: The class that the style scorer finds, if requested.
    """

    source: str
    text: str
    ids: list[int]
    surface: SurfaceForm
    truncated: bool
    source_class: str | None = None

    @property
    def tokens(self) -> int:
        """How many tokens the model reads, the end id not counted."""
        return max(0, len(self.ids) - 1)


class Preparer:
    """Splits, normalizes and encodes lines for one model and one text format of the input."""

    def __init__(self, normalizer: Normalizer, tokenizer: Tokenizer, maximum_tokens: int, threads: int) -> None:
        self._normalizer = normalizer
        self._tokenizer = tokenizer
        self._maximum_tokens = maximum_tokens
        self._threads = threads

    def split(self, lines: Sequence[str]) -> tuple[list[SentenceSplit], list[PreparedSentence], list[bool]]:
        """Split lines into sentences; halve those that are too long for the model.

        Returns:
            How each line was split, all prepared sentences, and whether the end of each line was cut off.
        """
        bounded = [bound(one_line(line), LONGEST_SPLIT) for line in lines]
        splits = [split_sentences(text) if is_prose(text) else SentenceSplit((text,)) for text, _ in bounded]
        ready: dict[str, PreparedSentence] = {}
        while True:
            new = list(dict.fromkeys(text for split in splits for text in split.texts if text not in ready))
            ready.update(zip(new, self.prepare(new), strict=True))
            halves = {text: split_in_two(text) for text in new if ready[text].truncated}
            if not any(halves.values()):
                break
            splits = [_exchange(split, halves) for split in splits]
        return splits, [ready[text] for split in splits for text in split.texts], [short for _, short in bounded]

    def prepare(self, sentences: Sequence[str]) -> list[PreparedSentence]:
        """Normalize and encode sentences; a blank one has no ids."""
        normalizer, most = self._normalizer, self._maximum_tokens
        number = normalizer.form.number
        texts: list[str] = []
        surfaces: list[SurfaceForm] = []
        cuts: list[bool] = []
        special: list[int] = []
        counted: list[int] = []
        for place, sentence in enumerate(sentences):
            text, cut = bound(one_line(sentence), most * CHARACTERS_PER_TOKEN)
            surface = NOTHING
            if not cut and not is_prose(text):
                text = ""
            elif normalizer.may_protect(text):
                text, surface = normalizer.normalize(text, self._tokenizer.characters)
                special.append(place)
            else:
                if number and number in text:
                    counted.append(place)
                text, surface = normalizer.normalize(text)
            texts.append(text)
            surfaces.append(surface)
            cuts.append(cut)
        encoded = self._tokenizer.encode_lines(texts, self._threads)
        read = set(special)
        for place, ids in enumerate(encoded):
            if place not in read and self._tokenizer.count_bytes(ids):
                text, _ = bound(one_line(sentences[place]), most * CHARACTERS_PER_TOKEN)
                texts[place], surfaces[place] = normalizer.normalize(text, self._tokenizer.characters)
                encoded[place] = self._tokenizer.encode(texts[place])
                special.append(place)
        for place in special + counted:
            ids = encoded[place]
            if len(ids) >= most:
                surfaces[place] = normalizer.forget_after(surfaces[place], self._tokenizer.decode(ids[: most - 1]))
            elif not _has_word(texts[place], number):
                texts[place], encoded[place] = "", []
        return [
            PreparedSentence(source, text, [*ids[: most - 1], END_ID] if ids else [], surface, cut or len(ids) >= most)
            for source, text, ids, surface, cut in zip(sentences, texts, encoded, surfaces, cuts, strict=True)
        ]


def make_normalizer(folder: ModelFolder, form: str, protector: Protector | None = None) -> Normalizer:
    """Return the normalizer from a text format to that of a model's corpus.

    Raises:
        AraeError: There is no such text format, or the model's own is unknown.
    """
    if form not in FORMS:
        raise AraeError(f"unknown form {form!r}", f"use {', '.join(FORMS)}.")
    from arae_transfer.text import FormatChoice, Normalizer, TextFormat

    try:
        settings = TextFormat(**folder.form)
    except (TypeError, ValueError) as error:
        raise AraeError(
            f"the form of writing of the model {folder.name} is not understood: {error}",
            "upgrade arae, or export the model again.",
        ) from error
    choice = cast(FormatChoice, form)
    return Normalizer(settings, choice) if protector is None else Normalizer(settings, choice, protector)


def load_tokenizer(folder: ModelFolder) -> Tokenizer:
    """Return a model's tokenizer.

    Raises:
        AraeError: Its file is missing or damaged.
    """
    serialized = folder.read_file(folder.tokenizer)
    try:
        return Tokenizer(serialized)
    except RuntimeError as error:
        raise AraeError(
            f"{folder.root / folder.tokenizer} is not a SentencePiece model", "export the model again."
        ) from error


def one_line(text: str) -> str:
    """Replace control characters, line breaks and surrogates."""
    if text.isprintable():  # as most lines are
        return text
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))


def bound(text: str, limit: int) -> tuple[str, bool]:
    """Cut a text to a number of characters, to bound the cost of reading it.

    Runs of spaces, which the tokenizer joins anyway, count as one character.

    Returns:
        The text, and whether anything but spaces was cut off.
    """
    if len(text) <= limit:
        return text, False
    words = text.split(None, limit)  # the last of them is all that follows the others
    joined = " ".join(words[:limit])
    return joined[:limit], len(joined) > limit or len(words) > limit


def _has_word(text: str, number: str) -> bool:
    """Return whether a text in the corpus's text format has a word of letters."""
    return any(
        word != number
        and word not in ("am", "pm", "a.m.", "p.m.")
        and any(map(str.isalpha, word))
        and not any(map(str.isdecimal, word))
        for word in text.split()
    )


def _exchange(split: SentenceSplit, halves: Mapping[str, SentenceSplit | None]) -> SentenceSplit:
    """Replace sentences by their halves."""
    texts: list[str] = []
    gaps: list[str] = []
    for text, gap in zip(split.texts, (*split.gaps, ""), strict=True):
        part = halves.get(text) or SentenceSplit((text,))
        texts += part.texts
        gaps += [*part.gaps, gap]
    return SentenceSplit(tuple(texts), tuple(gaps[:-1]))
