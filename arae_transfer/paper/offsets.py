"""Vector offsets: shift a sentence's code by the mean difference of two groups, and decode it.

Zhao et al. 2018, Section 6.1: to give sentences a property, a verb for example, move their codes by the mean of codes
that have it minus the mean of codes that have it not. Here codes are moved by growing multiples of that offset until
the decoded sentence has the property. ``match`` is the share of sentences for which one multiple succeeds,
``precision`` the share of the answer's words that stand in the original. (The paper moves the noise of generated
sentences, and decodes each at random up to 100 times.) It runs in onnxruntime alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.runtime.code_space import CodeSpace
from arae_transfer.runtime.paths import Code

Floats = npt.NDArray[np.float32]
# Says of each line, in the corpus's text format, whether it has the property.
HasProperty = Callable[[Sequence[str]], list[bool]]


@dataclass(frozen=True)
class Pool:
    """Sentences in the corpus's text format with their codes."""

    lines: Sequence[str]
    codes: Sequence[Code]

    def where(self, chosen: Sequence[bool]) -> Pool:
        """Return a subset."""
        places = [place for place, wanted in enumerate(chosen) if wanted]
        return Pool([self.lines[place] for place in places], [self.codes[place] for place in places])

    def hold_out(self) -> tuple[Pool, list[str]]:
        """Return the pool without its last tenth, which is at least a sentence, and the sentences of that tenth."""
        kept = len(self.lines) - max(1, len(self.lines) // 10)
        return Pool(self.lines[:kept], self.codes[:kept]), list(self.lines[kept:])


@dataclass(frozen=True)
class Shifted:
    """A sentence and its shifted rewrite.

    Attributes:
        output: In the corpus's text format: of the smallest multiple that gives the property, otherwise of the
            greatest.
        match: Whether the output has the property.
        strength: That multiple; 0: the sentence has the property already, or no code.
        precision: The share of the output's words that stand in the sentence, each as often as there.
    """

    output: str
    match: bool
    strength: float
    precision: float


@dataclass(frozen=True)
class Measured:
    """Success of an offset.

    Attributes:
        sentences: The sentences that were moved.
        match: How many of them got the property, in percent.
        precision: The mean share of an answer's words that stand in its sentence, in percent.
        strength: The mean multiple of those that got it; 0 where none did.
    """

    sentences: int
    match: float
    precision: float
    strength: float


def generated_pool(space: CodeSpace, to: str, number: int, seed: int) -> Pool:
    """Return generated sentences with their codes.

    Raises:
        AraeError: The model has no generator, or cannot run.
    """
    codes = space.generate(number, seed)
    return Pool([each.output for each in space.decode(codes, to)], codes)


def encoded_pool(space: CodeSpace, lines: Sequence[str]) -> Pool:
    """Return the lines that can be encoded, with their codes.

    Raises:
        AraeError: None has, or the model cannot run.
    """
    usable = [line for line in lines if space.fits(line)]
    if not usable:
        raise AraeError(
            f"the model cannot read any of {len(lines):,} sentences",
            "write one sentence per line, in the model's form.",
        )
    return Pool(usable, space.encode(usable))


def with_word(word: str) -> HasProperty:
    """Return a test for a word, ignoring case."""
    wanted = word.casefold()
    return lambda lines: [wanted in line.casefold().split() for line in lines]


def nearer_to(space: CodeSpace, wanted: Floats, other: Floats) -> HasProperty:
    """Return a test whether a line's code is closer to one mean than to another."""

    def test(lines: Sequence[str]) -> list[bool]:
        usable = [line for line in lines if space.fits(line)]
        vectors = [code.mean(axis=0) for code in space.encode(usable)] if usable else []
        near = {
            line: bool(np.linalg.norm(vector - wanted) < np.linalg.norm(vector - other))
            for line, vector in zip(usable, vectors, strict=True)
        }
        return [near.get(line, False) for line in lines]

    return test


def mean_code(codes: Sequence[Code]) -> Floats:
    """Return the mean of codes, (size,), each represented by the mean of its vectors."""
    mean: Floats = np.mean([code.mean(axis=0) for code in codes], axis=0)
    return mean


def shift(code: Code, offset: Floats, strength: float) -> Code:
    """Shift each vector of a code by a multiple of an offset, and rescale it to its norm."""
    moved = code + strength * offset
    norms = np.linalg.norm(code, axis=1, keepdims=True) / np.maximum(
        np.linalg.norm(moved, axis=1, keepdims=True), 1e-12
    )
    result: Code = (moved * norms).astype(np.float32)
    return result


def precision(output: str, source: str) -> float:
    """Return the share of an output's words that occur in its source, with multiplicity; 0 without words."""
    words = output.split()
    if not words:
        return 0.0
    return sum((Counter(words) & Counter(source.split())).values()) / len(words)


class Offset:
    """Offset between two groups of sentences, and the test that separates them.

    Attributes:
        vector: (size,) the mean code of those that have the property minus that of those that have not.
        strengths: The multiples that are tried, in this order.
    """

    def __init__(
        self, space: CodeSpace, to: str, wanted: Pool, other: Pool, has: HasProperty | None, strengths: Sequence[float]
    ) -> None:
        """Compute the difference of the groups' means.

        Args:
            space: The model.
            to: The class whose decoder writes.
            wanted: Sentences with the property.
            other: Sentences without it.
            has: The property; None: to be nearer to the mean of the first group.
            strengths: The multiples, growing.

        Raises:
            AraeError: A group is empty.
        """
        if not wanted.lines or not other.lines:
            raise AraeError("a group of sentences is empty", "give sentences with and without the property.")
        first, second = mean_code(wanted.codes), mean_code(other.codes)
        self.vector: Floats = first - second
        self.strengths = tuple(strengths)
        self._has = has if has is not None else nearer_to(space, first, second)
        self._space = space
        self._to = to

    def apply(self, lines: Sequence[str]) -> list[Shifted]:
        """Shift lines in the corpus's text format; lines with the property or without a code stay unchanged.

        Raises:
            AraeError: The model cannot run.
        """
        already = self._has(lines)
        answers = {place: Shifted(lines[place], has, 0.0, 1.0) for place, has in enumerate(already)}
        waiting = [place for place, has in enumerate(already) if not has and self._space.fits(lines[place])]
        codes = dict(zip(waiting, self._space.encode([lines[place] for place in waiting]), strict=True))
        for strength in self.strengths:
            if not waiting:
                break
            moved = [shift(codes[place], self.vector, strength) for place in waiting]
            texts = [each.output for each in self._space.decode(moved, self._to)]
            for place, text, has in zip(waiting, texts, self._has(texts), strict=True):
                answers[place] = Shifted(text, has, strength, precision(text, lines[place]))
            waiting = [place for place in waiting if not answers[place].match]
        return [answers[place] for place in range(len(lines))]

    def measure(self, lines: Sequence[str], most: int) -> Measured:
        """Shift the first distinct lines without the property, up to a maximum, and measure success.

        Raises:
            AraeError: No line that the model reads lacks it.
        """
        usable = [line for line in dict.fromkeys(lines) if self._space.fits(line)]
        chosen = [line for line, has in zip(usable, self._has(usable), strict=True) if not has][:most]
        if not chosen:
            raise AraeError("every sentence has the property", "give a FILE of sentences without it.")
        moved = self.apply(chosen)
        strengths = [each.strength for each in moved if each.match]
        return Measured(
            sentences=len(chosen),
            match=round(100 * len(strengths) / len(chosen), 2),
            precision=round(100 * float(np.mean([each.precision for each in moved])), 2),
            strength=round(float(np.mean(strengths)), 3) if strengths else 0.0,
        )
