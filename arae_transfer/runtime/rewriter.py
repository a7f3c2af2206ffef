"""Rewriting: lines in, lines out, in order, by an exported model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from arae_transfer.errors import AraeError
from arae_transfer.runtime.long_lines import LONG, Pieces, cut_in_two, cut_into_sentences
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.sessions import Device, Int64, Sessions
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer

if TYPE_CHECKING:
    from arae_transfer.form import Writer

FORMS = ("auto", "ordinary", "corpus")
BATCH_SIZE = 64
BATCHES_PER_CHUNK = 16
"""A chunk is what is sorted by length together: more makes fuller batches, fewer makes earlier answers."""

CHARACTERS_PER_TOKEN = 16
"""No piece of a tokenizer made here is longer, so this many characters a token are always enough."""

LONGEST_SPLIT = 1 << 14
"""Characters of a line that are rewritten in pieces; the rest of a longer one, which no person wrote, is left out."""

LONGEST_GROWTH = 16
"""An answer may have this many tokens more than its line. A bound for each line alone: none depends on its batch."""

# Control characters, line and paragraph separators: inside a line they would break it, or drive a terminal.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One line and its answer.

    Attributes:
        source: The line as it was given.
        output: The answer: one line, blank when the source is blank.
        to: The class that it was rewritten to.
        tokens: The number of tokens of the source that the model read, the end id not counted.
        truncated: Whether the source was longer than the model can read, so that its end was left out.
        unfinished: Whether the answer reached its greatest length before its end.
        pieces: In how many pieces it was rewritten; 0: it was not, being blank or kept.
        kept: Whether it was answered as it is, because it is longer than the model reads.
    """

    source: str
    output: str
    to: str
    tokens: int
    truncated: bool
    unfinished: bool
    pieces: int = 1
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A line as the encoder reads it."""

    source: str
    ids: list[int]
    memory: Any
    truncated: bool


class Rewriter:
    """A model that is ready to rewrite.

    It may be used from several threads. It can be pickled: what travels is where the model lies, and it is loaded
    again from there.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.folder = sessions.folder
        self._sessions = sessions
        self._tokenizer = load_tokenizer(self.folder)
        self._writers: dict[str, Writer] = {}

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        variant: str = "auto",
    ) -> Rewriter:
        """Load an exported model. Its graphs are opened when they are first used.

        Args:
            model: A name or a path; None: the environment variable ``ARAE_MODEL``, else the shipped model.
            device: ``"auto"`` (a usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
            threads: The number of CPU threads; None: the processors that this process may use.
            variant: ``"fp32"``, ``"int8"`` or ``"auto"``: int8 on a CPU where the export found it close enough.

        Raises:
            AraeError: There is no such model, device or variant, or the model is damaged.
        """
        return cls(Sessions(ModelFolder.find(model), device, threads, variant))

    def __reduce__(self) -> tuple[Callable[..., Rewriter], tuple[Path, str, int | None, str]]:
        return _reload, (self.folder.root.absolute(), *self._sessions.wishes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that the model can rewrite to."""
        return self.folder.classes

    @property
    def device(self) -> Device:
        """Return the device that the model runs on."""
        return self._sessions.device

    @property
    def variant(self) -> str:
        """Return the arithmetic that the model runs in, ``"fp32"`` or ``"int8"``."""
        return self._sessions.variant

    @property
    def fallback(self) -> str | None:
        """Return why ``auto`` did not take the GPU that is there, or None."""
        return self._sessions.fallback

    def prepare(self, to: str, form: str = "auto") -> str:
        """Open what rewriting to a class needs, so that the first line is as fast as the others.

        Args:
            to: A class, or the unique start of one.
            form: As in ``transfer``.

        Returns:
            The name of the class.

        Raises:
            AraeError: There is no such class or form, the model is damaged, or the device cannot be used.
        """
        class_name = self.folder.match_class(to)
        self._writer(form)
        self._sessions.open(class_name)
        return class_name

    def transfer(
        self,
        lines: Iterable[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
    ) -> Iterator[str]:
        """Rewrite lines, lazily: this returns at once, and the work is done as the answers are taken.

        One answer per line, in order, whatever the line; a blank line has a blank answer, and no answer holds
        a line break. The batch size changes the speed and nothing else. ``lines`` is read up to 16 batches
        ahead of the answers; with ``batch_size=1`` it is not read ahead at all.

        Args:
            lines: The lines.
            to: A class of the model, or the unique start of one, in upper or lower case.
            batch_size: The most lines that are rewritten at once.
            form: How the lines are written: ``"ordinary"`` writing, the ``"corpus"``'s own form, or ``"auto"``.
            long: What happens to lines of several sentences, or longer than the model reads: ``"split"`` rewrites
                piece by piece and joins the answers, ``"keep"`` answers a too long line as it is, ``"truncate"``
                leaves out its end.

        Raises:
            AraeError: There is no such class, form or way; later, the model is damaged or onnxruntime fails.
        """
        return (rewrite.output for rewrite in self.rewrites(lines, to, batch_size=batch_size, form=form, long=long))

    def rewrites(
        self,
        lines: Iterable[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
    ) -> Iterator[Rewrite]:
        """Rewrite lines as ``transfer`` does, and yield everything that is known of each answer."""
        if isinstance(lines, str):
            raise TypeError("lines is one string: give a list of lines, such as [line]")
        class_name = self.folder.match_class(to)
        self._writer(form)
        if long not in LONG:
            raise AraeError(f"unknown way {long!r} with long lines", f"use {', '.join(LONG)}.")
        if batch_size < 1:
            raise AraeError(f"a batch of {batch_size} lines cannot work", "use a batch size of 1 or more.")
        return self._stream(iter(lines), class_name, batch_size, form, long)

    def _stream(self, lines: Iterator[str], to: str, batch_size: int, form: str, long: str) -> Iterator[Rewrite]:
        ahead = 1 if batch_size == 1 else batch_size * BATCHES_PER_CHUNK
        while chunk := list(islice(lines, ahead)):
            yield from self.rewrite_chunk(chunk, to, batch_size=batch_size, form=form, long=long)

    def rewrite_chunk(
        self,
        lines: Sequence[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
    ) -> list[Rewrite]:
        """Rewrite lines at once, sorted by length into batches and back into their order.

        Args:
            lines: The lines.
            to: The exact name of a class of the model.
            batch_size: The most lines in a batch.
            form: As in ``transfer``.
            long: As in ``transfer``.

        Raises:
            AraeError: The model is damaged or onnxruntime fails.
        """
        if long != "split":
            rewrites = self._rewrite_prepared(self._prepare_lines(lines, form), to, batch_size, form)
            return [_keep(each) if each.truncated else each for each in rewrites] if long == "keep" else rewrites
        bounded = [bound(one_line(line), LONGEST_SPLIT) for line in lines]
        cuts, prepared = self._cut_further([cut_into_sentences(text) for text, _ in bounded], form)
        pieces = iter(self._rewrite_prepared(prepared, to, batch_size, form))
        return [
            _join(line, cut, list(islice(pieces, len(cut.texts))), shortened)
            for line, cut, (_, shortened) in zip(lines, cuts, bounded, strict=True)
        ]

    def _cut_further(self, cuts: list[Pieces], form: str) -> tuple[list[Pieces], list[_Prepared]]:
        """Halve the pieces that are longer than the model reads until none is, or none can be; prepare all."""
        ready: dict[str, _Prepared] = {}
        while True:
            new = list(dict.fromkeys(text for cut in cuts for text in cut.texts if text not in ready))
            ready.update(zip(new, self._prepare_lines(new, form), strict=True))
            halves = {text: cut_in_two(text) for text in new if ready[text].truncated}
            if not any(halves.values()):
                return cuts, [ready[text] for cut in cuts for text in cut.texts]
            cuts = [_exchange(cut, halves) for cut in cuts]

    def _rewrite_prepared(self, prepared: Sequence[_Prepared], to: str, batch_size: int, form: str) -> list[Rewrite]:
        rewrites = [Rewrite(line.source, "", to, 0, line.truncated, False, pieces=0) for line in prepared]
        for batch in _batches([len(line.ids) for line in prepared], batch_size):
            answers = self._run([prepared[number].ids for number in batch], to)
            for number, answer in zip(batch, answers, strict=True):
                line = prepared[number]
                text = self._writer(form).from_corpus(self._tokenizer.decode(answer), line.memory)
                rewrites[number] = Rewrite(
                    source=line.source,
                    output=text,  # one line: the writer sees to it
                    to=to,
                    tokens=len(line.ids) - 1,
                    truncated=line.truncated,
                    unfinished=END_ID not in answer,
                )
        return rewrites

    def _prepare_lines(self, lines: Sequence[str], form: str) -> list[_Prepared]:
        """Turn lines into the ids that the encoder reads; a blank line has none."""
        writer = self._writer(form)
        most = self.folder.maximum_tokens
        texts: list[str] = []
        memories: list[Any] = []
        cuts: list[bool] = []
        for line in lines:
            text, cut = bound(one_line(line), most * CHARACTERS_PER_TOKEN)
            text, memory = writer.to_corpus(text) if text.strip() else ("", None)
            texts.append(text)
            memories.append(memory)
            cuts.append(cut)
        prepared = []
        for source, ids, memory, cut in zip(lines, self._tokenizer.encode_lines(texts), memories, cuts, strict=True):
            row = [*ids[: most - 1], END_ID] if ids else []
            prepared.append(_Prepared(source, row, memory, cut or len(ids) >= most))
        return prepared

    def _run(self, rows: Sequence[Sequence[int]], to: str) -> list[list[int]]:
        """Return the decoder's ids for rows of ids that end with the end id, each cut at its own bound."""
        tokens, lengths = pad(rows)
        longest = tokens.shape[1] + LONGEST_GROWTH
        answers: list[list[int]] = self._sessions.run(tokens, lengths, to, longest).tolist()
        if len(answers) != len(rows):
            raise AraeError(
                f"the model {self.folder.name} gave {len(answers)} answers for {len(rows)} lines",
                "export it again: its decoder does not fit its encoder.",
            )
        return [answer[: len(row) + LONGEST_GROWTH] for row, answer in zip(rows, answers, strict=True)]

    def _writer(self, form: str) -> Writer:
        """Return the converter between the given form of writing and the corpus's own."""
        writer = self._writers.get(form)
        if writer is None:
            writer = self._writers[form] = make_writer(self.folder, form)
        return writer


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


def pad(rows: Sequence[Sequence[int]]) -> tuple[Int64, Int64]:
    """Return rows of ids as (batch, time) ids, padded at the right, and (batch,) lengths."""
    lengths: Int64 = np.array([len(row) for row in rows], dtype=np.int64)
    tokens: Int64 = np.full((len(rows), int(lengths.max())), PAD_ID, dtype=np.int64)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens, lengths


def make_writer(folder: ModelFolder, form: str) -> Writer:
    """Return the converter between a form of writing and that of a model's corpus.

    Raises:
        AraeError: There is no such form, or the model's own is not understood.
    """
    if form not in FORMS:
        raise AraeError(f"unknown form {form!r}", f"use {', '.join(FORMS)}.")
    from arae_transfer.form import Form, FormChoice, Writer

    try:
        settings = Form(**folder.form)
    except (TypeError, ValueError) as error:
        raise AraeError(
            f"the form of writing of the model {folder.name} is not understood: {error}",
            "upgrade arae, or export the model again.",
        ) from error
    return Writer(settings, cast(FormChoice, form))


def _reload(root: Path, device: str, threads: int | None, variant: str) -> Rewriter:
    return Rewriter.load(root, device=device, threads=threads, variant=variant)


def _keep(rewrite: Rewrite) -> Rewrite:
    """Return the answer of a line that is left as it is."""
    return replace(
        rewrite, output=one_line(rewrite.source), tokens=0, truncated=False, unfinished=False, pieces=0, kept=True
    )


def _join(line: str, cut: Pieces, rewrites: list[Rewrite], shortened: bool) -> Rewrite:
    """Return the answer of a line from those of its pieces; shortened: they are not all of it."""
    return Rewrite(
        source=line,
        output=cut.join([each.output for each in rewrites]),
        to=rewrites[0].to,
        tokens=sum(each.tokens for each in rewrites),
        truncated=shortened or any(each.truncated for each in rewrites),
        unfinished=any(each.unfinished for each in rewrites),
        pieces=sum(each.pieces for each in rewrites),
    )


def _exchange(cut: Pieces, halves: Mapping[str, Pieces | None]) -> Pieces:
    """Put halves in the place of pieces."""
    texts: list[str] = []
    gaps: list[str] = []
    for text, gap in zip(cut.texts, (*cut.gaps, ""), strict=True):
        part = halves.get(text) or Pieces((text,))
        texts += part.texts
        gaps += [*part.gaps, gap]
    return Pieces(tuple(texts), tuple(gaps[:-1]))


def one_line(text: str) -> str:
    """Replace what would break a line, and what cannot be written as UTF-8."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))


def bound(text: str, limit: int) -> tuple[str, bool]:
    """Cut a text that is far too long, so that it costs no more than one that is just too long.

    Runs of blanks, which the tokenizer joins anyway, count as one character.

    Returns:
        The text, and whether anything but blanks was left out.
    """
    if len(text) <= limit:
        return text, False
    words = text.split(None, limit)  # the last of them is all that follows the others
    joined = " ".join(words[:limit])
    return joined[:limit], len(joined) > limit or len(words) > limit


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Group the numbers of the rows that are not empty: the longest first, rows of like length together."""
    order = sorted((number for number, length in enumerate(lengths) if length), key=lambda number: -lengths[number])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
