"""Tokenize the lines of all classes, into memory or into memory-mapped files.

Ids of a corpus that is read from the disk are kept in the user's cache (see ``folders.cache_directory``), in a folder
named by a hash of the corpus and the tokenizer: the next run finds them, and a changed corpus has another name. A
folder there is complete or absent; processes that make the same one at once each make their own, and the first stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from arae_transfer.atomic import (
    explain_write_failure,
    follow_umask,
    replace_directory,
    synchronise_directory,
    write_text,
)
from arae_transfer.corpus.batches import IntegerArray, TokenizedSentences
from arae_transfer.corpus.reading import LabelledLines, StreamedLines
from arae_transfer.errors import AraeError
from arae_transfer.layout import CorpusCacheLayout
from arae_transfer.tokenizer import Tokenizer

CACHE_FORMAT = 1
_LINES_PER_BLOCK = 50_000
# What an earlier process left when it was killed is removed after so long.
_STALE_SECONDS = 24 * 60 * 60

# Lines done, lines in all, lines per second.
Progress = Callable[[int, int, float], None]
Ids = npt.NDArray[np.int32]


def blocks(lines: LabelledLines) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield a class and some thousand of its lines, until all lines of all classes are done."""
    if isinstance(lines, StreamedLines):
        yield from lines.blocks()
        return
    for name, texts in lines.items():
        own = texts if isinstance(texts, Sequence) else list(texts)
        for start in range(0, len(own), _LINES_PER_BLOCK):
            yield name, own[start : start + _LINES_PER_BLOCK]


def sample_lines(lines: LabelledLines, most: int, seed: int) -> dict[str, Sequence[str]]:
    """Return a random sample of lines in their order, at most ``most`` in all, with the same limit for each class.

    Args:
        lines: The lines by class.
        most: How many lines can be kept in memory. Lines that are in memory already are returned as they are.
        seed: The seed of the choice.
    """
    if not isinstance(lines, StreamedLines):
        return {name: own if isinstance(own, Sequence) else list(own) for name, own in lines.items()}
    share = -(-most // len(lines))
    chosen: dict[str, IntegerArray] = {}
    for index, (name, own) in enumerate(lines.items()):
        count = len(own)
        if count > share:
            generator = np.random.default_rng([seed, 7, index])
            chosen[name] = np.sort(generator.choice(count, share, replace=False, shuffle=False))
    sample: dict[str, list[str]] = {name: [] for name in lines}
    passed = dict.fromkeys(lines, 0)
    for name, texts in lines.blocks():
        start = passed[name]
        passed[name] += len(texts)
        if name in chosen:
            first, last = np.searchsorted(chosen[name], (start, passed[name]))
            sample[name] += [texts[place - start] for place in chosen[name][first:last].tolist()]
        else:
            sample[name] += texts
    return dict(sample)


def tokenize(lines: Sequence[str], tokenizer: Tokenizer, maximum_tokens: int) -> TokenizedSentences:
    """Tokenize lines, without those of more than ``maximum_tokens`` (including the end id) or of none."""
    return tokenize_lines({"": lines}, tokenizer, maximum_tokens)[""]


def tokenize_lines(
    lines: LabelledLines,
    tokenizer: Tokenizer,
    maximum_tokens: int,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, TokenizedSentences]:
    """Tokenize the lines of each class, without those that are too long or empty.

    Args:
        lines: The lines by class. The ids of ``StreamedLines`` stay on the disk, those of others in memory.
        tokenizer: The tokenizer.
        maximum_tokens: The most tokens of a sentence, its end id included.
        cache: The folder of the cache for streamed lines.
        progress: Told after each block how far it is; not at all where the ids are in the cache.

    Raises:
        AraeError: The lines cannot be read, or the cache cannot be written.
    """
    if cache is not None and isinstance(lines, StreamedLines):
        return _tokenize_on_disk(lines, tokenizer, maximum_tokens, cache, progress)
    writers = {name: _InMemory() for name in lines}
    _tokenize_into(writers, lines, tokenizer, maximum_tokens, progress)
    return {name: writer.sentences() for name, writer in writers.items()}


class _Writer(ABC):
    """Writes the sentences of one class block by block."""

    def __init__(self) -> None:
        self.too_long = 0
        self.count = 0
        self.tokens = 0

    def take(self, sentences: Sequence[Sequence[int]], maximum_tokens: int) -> None:
        """Add the ids of sentences, without those that are too long or empty."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        ids = np.fromiter(chain.from_iterable(sentences), np.int32, int(lengths.sum()))
        fits = (lengths > 0) & (lengths < maximum_tokens)
        self.too_long += int((lengths >= maximum_tokens).sum())
        if not fits.all():
            ids, lengths = ids[np.repeat(fits, lengths)], lengths[fits]
        ends = self.tokens + np.cumsum(lengths)
        self.count += len(lengths)
        self.tokens += len(ids)
        self.write(ids, ends)

    @abstractmethod
    def write(self, ids: Ids, ends: IntegerArray) -> None:
        """Append ids, and the end positions of their sentences."""


class _InMemory(_Writer):
    def __init__(self) -> None:
        super().__init__()
        self._ids: list[Ids] = [np.zeros(0, np.int32)]
        self._starts: list[IntegerArray] = [np.zeros(1, np.int64)]

    def write(self, ids: Ids, ends: IntegerArray) -> None:
        self._ids.append(ids)
        self._starts.append(ends)

    def sentences(self) -> TokenizedSentences:
        return TokenizedSentences(np.concatenate(self._ids), np.concatenate(self._starts), self.too_long)


class _OnDisk(_Writer):
    """Appends to two ``.npy`` files, whose shapes are set at the end."""

    def __init__(self, ids: Path, starts: Path) -> None:
        super().__init__()
        self._ids, self._starts = ids.open("w+b"), starts.open("w+b")
        _write_header(self._ids, np.int32, 0)
        _write_header(self._starts, np.int64, 0)
        self._starts.write(np.zeros(1, np.int64).data)

    def write(self, ids: Ids, ends: IntegerArray) -> None:
        self._ids.write(np.ascontiguousarray(ids).data)
        self._starts.write(np.ascontiguousarray(ends).data)

    def finish(self) -> None:
        """Set the shapes, and flush the files to the disk."""
        for file, kind, count in ((self._ids, np.int32, self.tokens), (self._starts, np.int64, self.count + 1)):
            _write_header(file, kind, count)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        self._ids.close()
        self._starts.close()


def _write_header(file: IO[bytes], kind: type[np.generic], count: int) -> None:
    """Write the header of a one-dimensional ``.npy`` file, with space for a longer shape."""
    file.seek(0)
    description = np.lib.format.dtype_to_descr(np.dtype(kind))
    np.lib.format.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": (count,)})


def _tokenize_into(
    writers: dict[str, _InMemory] | dict[str, _OnDisk],
    lines: LabelledLines,
    tokenizer: Tokenizer,
    maximum_tokens: int,
    progress: Progress | None,
) -> None:
    total, done, start = sum(len(own) for own in lines.values()), 0, time.monotonic()
    for name, texts in blocks(lines):
        writers[name].take(tokenizer.encode_lines(texts), maximum_tokens)
        done += len(texts)
        if progress is not None:
            progress(done, total, done / max(time.monotonic() - start, 1e-9))


def _tokenize_on_disk(
    lines: StreamedLines, tokenizer: Tokenizer, maximum_tokens: int, cache: Path, progress: Progress | None
) -> dict[str, TokenizedSentences]:
    parts = [CACHE_FORMAT, lines.digest(), hashlib.sha256(tokenizer.serialized).hexdigest(), maximum_tokens]
    layout = CorpusCacheLayout(cache / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32])
    known = _load(layout, list(lines))
    if known is not None:
        return known
    staged: Path | None = None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _remove_stale(cache)
        staged = Path(tempfile.mkdtemp(prefix=CorpusCacheLayout.BUILDING, dir=cache))
        _build(CorpusCacheLayout(staged), lines, tokenizer, maximum_tokens, progress)
        try:
            staged.rename(layout.root)
        except OSError:
            # Another process was faster; or what is there cannot be used.
            if _load(layout, list(lines)) is None:
                replace_directory(staged, layout.root)
        synchronise_directory(cache)
    except OSError as error:
        raise explain_write_failure(cache, error) from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    made = _load(layout, list(lines))
    if made is None:
        raise AraeError(f"cannot read {layout.root} back", "remove it and start again, or check the disk.")
    return made


def _build(
    layout: CorpusCacheLayout,
    lines: StreamedLines,
    tokenizer: Tokenizer,
    maximum_tokens: int,
    progress: Progress | None,
) -> None:
    writers = {name: _OnDisk(layout.ids(index), layout.starts(index)) for index, name in enumerate(lines)}
    try:
        _tokenize_into(writers, lines, tokenizer, maximum_tokens, progress)
        for writer in writers.values():
            writer.finish()
    finally:
        for writer in writers.values():
            writer.close()
    table = {
        "format": CACHE_FORMAT,
        "classes": [
            {"name": name, "sentences": writer.count, "tokens": writer.tokens, "too_long": writer.too_long}
            for name, writer in writers.items()
        ],
    }
    write_text(layout.contents, json.dumps(table, indent=1) + "\n")
    follow_umask(layout.root)


def _load(layout: CorpusCacheLayout, classes: list[str]) -> dict[str, TokenizedSentences] | None:
    """Map the arrays of a folder into memory; return None if it is absent or damaged."""
    found: dict[str, TokenizedSentences] = {}
    try:
        table = json.loads(layout.contents.read_text("utf-8"))
        for index, (name, entry) in enumerate(zip(classes, table["classes"], strict=True)):
            ids, starts = _map(layout.ids(index)), _map(layout.starts(index))
            shapes = ((entry["tokens"],), (entry["sentences"] + 1,))
            if (ids.shape, starts.shape) != shapes or ids.dtype != np.int32 or starts.dtype != np.int64:
                return None
            if starts[-1] != len(ids) or entry["name"] != name:
                return None
            found[name] = TokenizedSentences(ids, starts, entry["too_long"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def _map(path: Path) -> npt.NDArray[Any]:
    # A plain view: each use of the subclass costs more than the read.
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return array


def _remove_stale(cache: Path) -> None:
    for folder in cache.glob(f"{CorpusCacheLayout.BUILDING}*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another process has removed it
