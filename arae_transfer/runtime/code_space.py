"""The code space of an exported model: sentences to codes, noise to codes, codes to sentences; onnxruntime alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import Generator
from arae_transfer.runtime.batching import BATCH_SIZE, BATCHES_PER_CHUNK, pad
from arae_transfer.runtime.decoding import LONGEST_GROWTH
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.paths import Code, interpolate
from arae_transfer.runtime.preparation import one_line
from arae_transfer.runtime.sessions import Int64, Sessions
from arae_transfer.runtime.threads import map_in_parallel
from arae_transfer.tokenizer import END_ID, Tokenizer

Floats = npt.NDArray[np.float32]


class Runnable(Protocol):
    """The interface of an onnxruntime session."""

    def run(self, names: list[str] | None, feed: dict[str, Any]) -> list[Any]:
        """Return the named outputs for named inputs."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A code as a sentence.

    Attributes:
        output: The sentence, one line.
        unfinished: Whether it reached the length limit before its end.
        vectors: The number of vectors of the code.
    """

    output: str
    unfinished: bool
    vectors: int


def vectors_of_codes(generator: Generator, maximum_tokens: int) -> list[float]:
    """Return the probability weight of 1, 2, ... vectors in a generated code.

    The numbers of vectors are those of the corpus's sentences, as the export counted them. Without these, every number
    from an eighth to three eighths of ``maximum_tokens`` is as likely.
    """
    most = generator.maximum_vectors
    if most == 1:
        return [1.0]
    counts = [float(count) for count in generator.lengths[:most]]
    if sum(counts) > 0:
        return counts
    low, high = max(2, maximum_tokens // 8), max(2, 3 * maximum_tokens // 8)
    return [float(low <= length <= high) for length in range(1, most + 1)]


def _no_generator(folder: ModelFolder) -> AraeError:
    """Return the error for a model without generator: it was never trained, or its export is too old to hold it."""
    try:
        trained = float(folder.config.recipe["adversary"]["weight"]) != 0
    except (KeyError, TypeError, ValueError):
        trained = True
    if trained:
        return AraeError(
            f"the model {folder.name} has no generator: it was exported before exports held one",
            f"export its run again: arae export RUN -o {quoted(folder.root)}",
        )
    return AraeError(
        f"the model {folder.name} has no generator: its recipe trained none (adversary.weight = 0)",
        "train with --set adversary.weight=0.01, and export that run: arae export RUN",
    )


class CodeGenerator:
    """The generator of one exported model: noise to codes."""

    def __init__(self, folder: ModelFolder) -> None:
        """Open nothing: the graph is opened when it is first used."""
        self.folder = folder
        self._generator: Runnable | None = None

    def generate(self, number: int, seed: int, batch_size: int = BATCH_SIZE, first: int = 0) -> list[Code]:
        """Return generated codes, each (vectors, size).

        The code at an index depends only on the seed and the index, not on the number of codes or the batches.

        Args:
            number: How many.
            seed: Another seed gives other codes.
            batch_size: The most codes that are generated at once.
            first: The index of the first one.

        Raises:
            AraeError: The model has no generator, or it cannot run.
        """
        description = self.folder.config.generator
        if description is None:
            raise _no_generator(self.folder)
        weights = vectors_of_codes(description, self.folder.maximum_tokens)
        if self._generator is None:
            self._generator = self._open_generator(description)
        shares = np.cumsum(weights) / np.sum(weights)
        noise: Floats = np.empty((number, description.noise_size), dtype=np.float32)
        lengths: Int64 = np.empty(number, dtype=np.int64)
        for place in range(number):
            random = np.random.default_rng((seed, first + place))
            noise[place] = random.standard_normal(description.noise_size)
            drawn = np.searchsorted(shares, random.random(), side="right")
            lengths[place] = 1 + min(int(drawn), len(shares) - 1)  # the shares' sum may be a little less than 1
        codes: list[Code] = []
        for start in range(0, number, batch_size):
            rows = slice(start, start + batch_size)
            mask = (np.arange(lengths[rows].max()) < lengths[rows, np.newaxis]).astype(np.float32)  # (batch, vectors)
            (code,) = run_session(self._generator, ["code"], {"noise": noise[rows], "code_mask": mask})
            codes += [own[:length] for own, length in zip(code, lengths[rows], strict=True)]
        return codes

    def _open_generator(self, description: Generator) -> Runnable:
        """Open the generator, on the CPU always: it is small, and its codes are then the same everywhere."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        content = self.folder.read_file(description.file)
        try:
            session: Runnable = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise AraeError(
                f"onnxruntime cannot open {self.folder.root / description.file}", "export the model again."
            ) from error
        return session


class CodeSpace(CodeGenerator):
    """The code space of one exported model of text."""

    def __init__(self, sessions: Sessions) -> None:
        """Read the tokenizer; graphs are opened when they are first used.

        Raises:
            AraeError: The tokenizer is damaged, or the model edits lines and writes none from a code.
        """
        super().__init__(sessions.folder)
        self.folder.require_codes()
        self._sessions = sessions
        try:
            self._tokenizer = Tokenizer(self.folder.read_file(self.folder.tokenizer))
        except RuntimeError as error:
            raise AraeError(
                f"{self.folder.root / self.folder.tokenizer} is not a SentencePiece model", "export the model again."
            ) from error

    def fits(self, line: str) -> bool:
        """Say whether a line in the corpus's text format has a code: it has words, and no more than the model reads."""
        return 0 < len(self._tokenizer.encode(one_line(line))) < self.folder.maximum_tokens

    def encode(self, lines: Sequence[str]) -> list[Code]:
        """Return the code of each line, (vectors, size).

        Args:
            lines: Sentences in the corpus's text format, none of them blank.

        Raises:
            AraeError: A line is blank or too long for the model, or the model cannot run.
        """
        encoder, _ = self._sessions.open(self.folder.classes[0])
        rows = self._tokenizer.encode_lines([one_line(line) for line in lines])
        for line, ids in zip(lines, rows, strict=True):
            if not ids:
                raise AraeError(f"{line!r} has no words, and so no code", "give a sentence.")
            if len(ids) >= self.folder.maximum_tokens:
                raise AraeError(
                    f"a sentence has {len(ids)} tokens; the model reads up to {self.folder.maximum_tokens - 1}",
                    "give a shorter one.",
                )
        codes: dict[int, Code] = {}
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            tokens, lengths = pad([[*rows[place], END_ID] for place in batch])
            code, mask = run_session(encoder, ["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
            codes |= {place: own[real > 0] for place, own, real in zip(batch, code, mask, strict=True)}
        return [codes[place] for place in range(len(rows))]

    def decode(
        self,
        codes: Sequence[Code],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        write: Callable[[int, str], str] | None = None,
    ) -> list[Decoded]:
        """Return the sentence of each code.

        Args:
            codes: Each (vectors, size).
            to: The exact name of a class of the model, whose decoder reads them.
            batch_size: The most codes that are decoded at once; it does not change the sentences.
            write: Converts the sentence of the code with that index to the user's own form; None: sentences stay in the
                corpus's text format.

        Raises:
            AraeError: The model cannot run.
        """
        _, decoder = self._sessions.open(to)
        from_source = any(each.name == "source" for each in decoder.get_inputs())
        decoded: list[Decoded | None] = [None] * len(codes)
        bounds = [self._longest(code) for code in codes]
        order = sorted(range(len(codes)), key=lambda place: -len(codes[place]))

        def work(batch: list[int]) -> None:
            most = max(len(codes[place]) for place in batch)
            code: Floats = np.zeros((len(batch), most, codes[batch[0]].shape[1]), dtype=np.float32)
            mask: Floats = np.zeros((len(batch), most), dtype=np.float32)
            for row, place in enumerate(batch):
                code[row, : len(codes[place])] = codes[place]
                mask[row, : len(codes[place])] = 1.0
            longest = np.array(max(bounds[place] for place in batch), dtype=np.int64)
            feed: dict[str, Any] = {"code": code, "code_mask": mask, "maximum_length": longest}
            if from_source:
                feed["source"] = np.zeros((len(batch), 0), dtype=np.int64)  # there is none: any token may be written
            (answers,) = run_session(decoder, ["tokens"], feed)
            for place, answer in zip(batch, answers.tolist(), strict=True):
                own = answer[: bounds[place]]
                text = self._tokenizer.decode(own)
                text = write(place, text) if write is not None else " ".join(one_line(text).split())
                decoded[place] = Decoded(text, END_ID not in own, len(codes[place]))

        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        map_in_parallel(work, batches, self._sessions.batches_at_once)
        return [each for each in decoded if each is not None]

    def sample(self, number: int, to: str, *, seed: int = 0, batch_size: int = BATCH_SIZE) -> list[Decoded]:
        """Return sentences of generated codes, by the decoder of a class."""
        return [each for chunk in self.sample_chunks(number, to, seed=seed, batch_size=batch_size) for each in chunk]

    def sample_chunks(
        self, number: int, to: str, *, seed: int = 0, batch_size: int = BATCH_SIZE
    ) -> Iterator[list[Decoded]]:
        """Yield the sentences of ``sample`` as they are made, some batches at a time."""
        size = batch_size * BATCHES_PER_CHUNK
        for first in range(0, number, size):
            codes = self.generate(min(size, number - first), seed, batch_size, first)
            yield self.decode(codes, to, batch_size=batch_size)

    def walk(
        self,
        first: str,
        second: str,
        to: str,
        steps: int,
        path: str = "sphere",
        write: Callable[[int, str], str] | None = None,
    ) -> list[Decoded]:
        """Return the sentences of codes between those of two sentences, both ends included (``paths.interpolate``)."""
        start, end = self.encode([first, second])
        return self.decode(interpolate(start, end, steps, path), to, write=write)

    def _longest(self, code: Code) -> int:
        """Return the length limit of a code's sentence: a single vector does not say how long it is."""
        return (self.folder.maximum_tokens if len(code) == 1 else len(code)) + LONGEST_GROWTH


def run_session(session: Runnable, names: list[str], feed: dict[str, Any]) -> list[Any]:
    """Return the named outputs of a session for named inputs.

    Raises:
        AraeError: onnxruntime fails, for want of memory for example.
    """
    try:
        return session.run(names, feed)
    except Exception as error:  # as above
        raise AraeError(
            f"onnxruntime failed: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}",
            "if memory is short, use a smaller --batch-size; otherwise try --device cpu.",
        ) from error
