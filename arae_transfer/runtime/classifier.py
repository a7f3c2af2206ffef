"""Classifying: lines in, classes with probabilities out, in order, by an exported model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from arae_transfer.export_config import FP32
from arae_transfer.runtime.batching import BATCH_SIZE, BATCHES_PER_CHUNK, pad
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.preparation import CHARACTERS_PER_TOKEN, bound, load_tokenizer, make_normalizer, one_line
from arae_transfer.runtime.reranking import style_scores, wrong_shape
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.tokenizer import END_ID

Probabilities = npt.NDArray[np.float32]
SEPARATOR = "\t"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line and its class.

    Attributes:
        source: The line as it was given.
        label: The most probable class; empty if the line has none.
        probabilities: The probability of each class; empty if the line has none.
        truncated: Whether a sentence was cut because it is longer than the model reads.
        incomplete: Whether a model of sentence pairs got a line that is not two sentences with a tab between them.
    """

    source: str
    label: str
    probabilities: Mapping[str, float]
    truncated: bool = False
    incomplete: bool = False


class Classifier:
    """A model that classifies: one trained for it, or the style scorer of a model that rewrites."""

    def __init__(self, sessions: Sessions, form: str = "auto") -> None:
        """Read the tokenizer and find the graphs, which are opened when they are first used.

        Raises:
            AraeError: The model cannot classify, is damaged, or there is no such form.
        """
        self.folder = sessions.folder
        self._sessions = sessions
        self.folder.require_classifier()
        self._tokenizer = load_tokenizer(self.folder)
        self._normalizer = make_normalizer(self.folder, form)

    @classmethod
    def load(
        cls, model: str | Path | None = None, *, device: str = "auto", threads: int | None = None, form: str = "auto"
    ) -> Classifier:
        """Load an exported model; see ``Rewriter.load``.

        Raises:
            AraeError: There is no such model, it cannot classify, or it is damaged.
        """
        folder = ModelFolder.find(model)
        return cls(Sessions(folder, device, threads, FP32 if FP32 in folder.variants else "auto"), form)

    def classify(self, lines: Iterable[str], *, batch_size: int = BATCH_SIZE) -> Iterator[Verdict]:
        """Classify lines, lazily and in order; ``lines`` is read ahead of the answers as ``Rewriter.transfer`` does."""
        if isinstance(lines, str):
            raise TypeError("lines is one string: give a list of lines, such as [line]")
        iterator = iter(lines)
        ahead = 1 if batch_size == 1 else batch_size * BATCHES_PER_CHUNK
        while chunk := list(islice(iterator, ahead)):
            yield from self.classify_chunk(chunk, batch_size=batch_size)

    def classify_chunk(self, lines: Sequence[str], *, batch_size: int = BATCH_SIZE) -> list[Verdict]:
        """Classify lines at once; a blank line, and a line that is no pair for a model of pairs, gets an empty class.

        Raises:
            AraeError: The model is damaged or onnxruntime fails.
        """
        verdicts = [Verdict(line, "", {}) for line in lines]
        number = 2 if self.folder.pairs else 1
        rows: list[tuple[int, list[list[int]], bool]] = []
        for place, line in enumerate(lines):
            if not line.strip():
                continue
            sentences = line.split(SEPARATOR) if number == 2 else [line]
            if len(sentences) != number or not all(sentence.strip() for sentence in sentences):
                verdicts[place] = Verdict(line, "", {}, incomplete=True)
                continue
            read = [self._read(sentence) for sentence in sentences]
            if all(ids for ids, _ in read):
                rows.append((place, [ids for ids, _ in read], any(cut for _, cut in read)))
        rows.sort(key=lambda row: -max(map(len, row[1])))
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            found = self._run([[row[1][which] for row in batch] for which in range(number)])
            for (place, _, cut), values in zip(batch, found.tolist(), strict=True):
                probabilities = dict(zip(self.folder.classes, values, strict=True))
                label = max(probabilities, key=probabilities.__getitem__)
                verdicts[place] = Verdict(lines[place], label, probabilities, truncated=cut)
        return verdicts

    def _read(self, sentence: str) -> tuple[list[int], bool]:
        """Return the ids of a sentence, without end id, and whether it was cut."""
        most = self.folder.maximum_tokens - 1
        text, cut = bound(one_line(sentence), most * CHARACTERS_PER_TOKEN)
        protects = self._normalizer.may_protect(text)
        ids = [] if protects else self._tokenizer.encode(self._normalizer.normalize(text)[0])
        if protects or self._tokenizer.count_bytes(ids):
            ids = self._tokenizer.encode(self._normalizer.normalize(text, self._tokenizer.characters)[0])
        return ids[:most], cut or len(ids) > most

    def _run(self, sentences: Sequence[Sequence[list[int]]]) -> Probabilities:
        """Return the probabilities (batch, classes) for the ids of the one or two sentences of each example."""
        folder, run = self.folder, self._sessions.run_file
        found: Probabilities
        if folder.classifier is None:
            found = np.exp(style_scores(self._sessions, sentences[0]))
            return found
        feed: dict[str, Any] = {}
        for prefix, rows in zip(("", "second_"), sentences, strict=False):
            tokens, lengths = pad([[*ids, END_ID] for ids in rows])
            code, mask = run(folder.encoder, ["code", "code_mask"], {"tokens": tokens, "lengths": lengths})
            feed |= {f"{prefix}code": code, f"{prefix}code_mask": mask}
        found = run(folder.classifier, ["probabilities"], feed)[0]
        if found.shape != (len(sentences[0]), len(folder.classes)):
            raise wrong_shape(folder)
        return found
