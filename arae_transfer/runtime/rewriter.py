"""The rewriter: lines in, rewritten lines out, in order, by an exported model.

A line goes one way: it is split into sentences, each is normalized to the corpus's text format and encoded as ids
(``preparation``), a batch of them is decoded (``decoding``), its hypotheses are ranked (``reranking``) and restored to
the typed form (``faithful``), and the answers of a line's sentences are joined (``rewrite``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from arae_transfer.errors import AraeError
from arae_transfer.runtime.batching import (
    BATCH_SIZE,
    BATCHES_PER_CHUNK,
    BATCHES_PER_THREAD,
    map_batches,
)
from arae_transfer.runtime.decoding import (
    GREEDY,
    DecodingOptions,
    decode_greedily,
    decode_hypotheses,
    rows_at_once,
)
from arae_transfer.runtime.device import Device
from arae_transfer.runtime.faithful import Restorer
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.options import LONG
from arae_transfer.runtime.preparation import PreparedSentence, Preparer, load_tokenizer, make_normalizer, one_line
from arae_transfer.runtime.reranking import (
    RankedText,
    ScoredHypothesis,
    place_copies,
    rerank,
    style_scores,
)
from arae_transfer.runtime.rewrite import Rewrite, Status, join_rewrites, left_too_long
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.runtime.vocabulary import Vocabulary
from arae_transfer.text.protected import Protector
from arae_transfer.tokenizer import END_ID

if TYPE_CHECKING:
    from arae_transfer.text import Normalizer

Answer = TypeVar("Answer")

SECOND_BEAM = 6
"""The beam that is searched if greedy decoding copies the source."""


class Rewriter:
    """An exported model that rewrites; threads may share it.

    Its pickle holds the path of the model, from which it is loaded again.
    """

    def __init__(self, sessions: Sessions, protector: Protector | None = None) -> None:
        self.folder = sessions.folder
        self.folder.require_rewriting()
        self._sessions = sessions
        self._tokenizer = load_tokenizer(self.folder)
        self._protector = protector or Protector()
        self._normalizers: dict[str, Normalizer] = {}
        self._vocabulary = Vocabulary(sessions, self._tokenizer)

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        variant: str = "auto",
        protect: Iterable[str] = (),
        glossary: Iterable[str] = (),
    ) -> Rewriter:
        """Load an exported model. Its graphs are opened when they are first used.

        Args:
            model: A name or a path; None: the environment variable ``ARAE_MODEL``, else the shipped model.
            device: ``"auto"`` (a usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
            threads: The number of CPU threads; None: the processors that this process may use.
            variant: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"auto"``: int8 on a CPU and fp16 on a GPU, where the export
                found it close enough.
            protect: Regular expressions; what they match in a line stays unchanged, as numbers and addresses do.
            glossary: Terms that stay unchanged, in this spelling.

        Raises:
            AraeError: There is no such model, device or variant, the model is damaged, or a regular expression is
                invalid.
        """
        protector = Protector(protect, glossary)
        return cls(Sessions(ModelFolder.find(model), device, threads, variant), protector)

    def __reduce__(self) -> tuple[Callable[..., Rewriter], tuple[Any, ...]]:
        protector = self._protector
        return _reload, (self.folder.address, *self._sessions.wishes, protector.patterns, protector.words)

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
        """Return the precision that the model runs in: ``"fp32"``, ``"fp16"`` or ``"int8"``."""
        return self._sessions.variant

    @property
    def searches(self) -> bool:
        """Return whether the model can write several hypotheses and score their style."""
        return self._sessions.searches

    @property
    def fallback(self) -> str | None:
        """Return why ``auto`` does not use an existing GPU, or None."""
        return self._sessions.fallback

    def prepare(self, to: str, form: str = "auto", options: DecodingOptions = GREEDY) -> str:
        """Open the graphs for rewriting to a class, so that the first line is not slower than the others.

        Args:
            to: A class, or the unique start of one.
            form: As in ``transfer``.
            options: As in ``transfer``.

        Returns:
            The name of the class.

        Raises:
            AraeError: There is no such class or text format, the model is damaged or lacks what the options need, or
                the device cannot be used.
        """
        class_name = self.folder.match_class(to)
        options = options.resolve(self.folder.beam)
        self._normalizer(form)
        self._sessions.open(class_name, searching=options.needs_hypotheses)
        if options.needs_hypotheses:
            self._sessions.language_models()
        if options.needs_scorer:
            self._sessions.open_scorer()
        return class_name

    def transfer(
        self,
        lines: Iterable[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
        options: DecodingOptions = GREEDY,
    ) -> Iterator[str]:
        """Rewrite lines lazily, as the answers are consumed.

        One answer per line, in order; a blank line has a blank answer, and no answer holds a line break. The batch size
        changes only the speed. ``lines`` is read up to 16 batches ahead of the answers, or 4 for each thread; with
        ``batch_size=1`` it is not read ahead.

        Args:
            lines: The lines.
            to: A class of the model, or the unique start of one, in upper or lower case.
            batch_size: The most lines that are rewritten at once.
            form: The text format of the lines: ``"ordinary"`` text, the ``"corpus"``'s format, or ``"auto"``.
            long: What happens to lines of several sentences, or longer than the model reads: ``"split"`` rewrites each
                sentence, ``"keep"`` copies a line that is too long, ``"truncate"`` cuts off its end.
            options: How each answer is chosen; the defaults are those of the model's export.

        Raises:
            AraeError: There is no such class, text format or value of ``long``; later, the model is damaged or
                onnxruntime fails.
        """
        rewrites = self.rewrites(lines, to, batch_size=batch_size, form=form, long=long, options=options)
        return (rewrite.output for rewrite in rewrites)

    def rewrites(
        self,
        lines: Iterable[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
        options: DecodingOptions = GREEDY,
    ) -> Iterator[Rewrite]:
        """Rewrite lines as ``transfer`` does, and yield each answer with its status and its scored hypotheses."""
        if isinstance(lines, str):
            raise TypeError("lines is one string: give a list of lines, such as [line]")
        class_name = self.folder.match_class(to)
        self._normalizer(form)
        if long not in LONG:
            raise AraeError(f"unknown way {long!r} with long lines", f"use {', '.join(LONG)}.")
        if batch_size < 1:
            raise AraeError(f"a batch of {batch_size} lines cannot work", "use a batch size of 1 or more.")
        return self._stream(iter(lines), class_name, batch_size, form, long, options)

    def _stream(
        self, lines: Iterator[str], to: str, batch_size: int, form: str, long: str, options: DecodingOptions
    ) -> Iterator[Rewrite]:
        ahead = 1 if batch_size == 1 else self.chunk_size(batch_size)
        while chunk := list(islice(lines, ahead)):
            yield from self.rewrite_chunk(chunk, to, batch_size=batch_size, form=form, long=long, options=options)

    def chunk_size(self, batch_size: int) -> int:
        """Return the best number of lines for a call of ``rewrite_chunk``."""
        return batch_size * max(BATCHES_PER_CHUNK, BATCHES_PER_THREAD * self._sessions.batches_at_once)

    def rewrite_chunk(
        self,
        lines: Sequence[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
        options: DecodingOptions = GREEDY,
    ) -> list[Rewrite]:
        """Rewrite lines in batches of similar length, and return the answers in order.

        Args:
            lines: The lines.
            to: The exact name of a class of the model.
            batch_size: The most lines in a batch.
            form: As in ``transfer``.
            long: As in ``transfer``.
            options: As in ``transfer``.

        Raises:
            AraeError: The model is damaged or onnxruntime fails.
        """
        options = options.resolve(self.folder.beam)
        normalizer = self._normalizer(form)
        restorer = Restorer(normalizer, self._vocabulary, edits=self.folder.edits)
        preparer = Preparer(normalizer, self._tokenizer, self.folder.maximum_tokens, self._sessions.threads)
        if long != "split":
            rewrites = self._rewrite_sentences(preparer.prepare(lines), to, batch_size, restorer, options)
            return (
                [left_too_long(each) if each.truncated else each for each in rewrites] if long == "keep" else rewrites
            )
        splits, sentences, shortened = preparer.split(lines)
        answers = iter(self._rewrite_sentences(sentences, to, batch_size, restorer, options))
        most = options.n_best or options.width
        return [
            join_rewrites(line, split, list(islice(answers, len(split.texts))), short, most)
            for line, split, short in zip(lines, splits, shortened, strict=True)
        ]

    def _rewrite_sentences(
        self,
        sentences: Sequence[PreparedSentence],
        to: str,
        batch_size: int,
        restorer: Restorer,
        options: DecodingOptions,
    ) -> list[Rewrite]:
        """Return the answer to each sentence: first those that need no decoding, then batch by batch."""
        rewrites = [self._without_reading(sentence, to) for sentence in sentences]
        pending = [number for number, rewrite in enumerate(rewrites) if rewrite is None]
        if options.source is not None:
            self._find_classes([sentences[number] for number in pending])
            if options.if_already == "keep":
                for number in pending:
                    if sentences[number].source_class == to:
                        rewrites[number] = Rewrite.left(sentences[number], to, Status.ALREADY)
                pending = [number for number in pending if rewrites[number] is None]
        if options.needs_hypotheses:
            batch_size = min(batch_size, self._rows_at_once(options.width))
            work = partial(self._search_batch, to=to, restorer=restorer, options=options)
        else:
            work = partial(self._decode_batch, to=to, restorer=restorer, options=options)
        for number, rewrite in map_batches(work, sentences, pending, batch_size, self._sessions.batches_at_once):
            rewrites[number] = rewrite
        if not options.needs_hypotheses and options.if_unchanged == "search" and self._sessions.searches:
            self._search_again(rewrites, sentences, pending, to, restorer)
        return [rewrite for rewrite in rewrites if rewrite is not None]

    def _without_reading(self, sentence: PreparedSentence, to: str) -> Rewrite | None:
        """Return the answer to a sentence that the model cannot read, or None."""
        if not sentence.ids:
            if not sentence.source.strip() or not one_line(sentence.source).strip():
                return Rewrite(sentence.source, "", to, Status.BLANK, truncated=sentence.truncated)
            return Rewrite.left(sentence, to, Status.NOT_PROSE)
        if not sentence.truncated and self._is_foreign(sentence.ids):
            return Rewrite.left(sentence, to, Status.UNREAD)
        return None

    def _decode_batch(
        self, sentences: Sequence[PreparedSentence], to: str, restorer: Restorer, options: DecodingOptions
    ) -> list[Rewrite]:
        """Return the greedy rewrite of each sentence."""
        rows = [sentence.ids for sentence in sentences]
        answers = decode_greedily(self._sessions, rows, to, options.copy_above)
        texts = self._tokenizer.decode_rows([tokens for tokens, _ in answers])
        rewrites = []
        for sentence, (tokens, keep), text in zip(sentences, answers, texts, strict=True):
            output = restorer.restore(sentence, text)
            if options.faithful and not restorer.is_faithful(sentence, text, output):
                rewrites.append(Rewrite.left(sentence, to, Status.KEPT, keep=keep))
                continue
            status = Status.UNCHANGED if text == sentence.text else Status.REWRITTEN
            rewrites.append(Rewrite.of(sentence, output, to, status, unfinished=END_ID not in tokens, keep=keep))
        return rewrites

    def _search_batch(
        self, sentences: Sequence[PreparedSentence], to: str, restorer: Restorer, options: DecodingOptions
    ) -> list[Rewrite]:
        """Return the best hypothesis for each sentence."""
        rewrites = []
        for sentence, found in zip(sentences, self._best_hypotheses(sentences, to, restorer, options), strict=True):
            best, candidates = found[0], tuple(found)
            if not best.faithful:
                rewrites.append(Rewrite.left(sentence, to, Status.KEPT, candidates))
                continue
            if best.confidence < options.min_confidence:
                rewrites.append(Rewrite.left(sentence, to, Status.UNSURE, candidates))
                continue
            status = Status.UNCHANGED if best.output == sentence.source else Status.REWRITTEN
            rewrites.append(
                Rewrite.of(sentence, best.output, to, status, unfinished=best.unfinished, candidates=candidates)
            )
        return rewrites

    def _search_again(
        self,
        rewrites: list[Rewrite | None],
        sentences: Sequence[PreparedSentence],
        numbers: Sequence[int],
        to: str,
        restorer: Restorer,
    ) -> None:
        """Replace greedy copies and unfaithful greedy rewrites by the best hypotheses of a small beam.

        A copy that is already in the target class stays.
        """
        broken = [number for number in numbers if (found := rewrites[number]) and found.status is Status.KEPT]
        copied = [number for number in numbers if (found := rewrites[number]) and found.status is Status.UNCHANGED]
        if self.folder.edits:  # it copies only what it is sure of
            copied = []
        self._find_classes([sentences[number] for number in copied])
        wanted = [*broken, *(number for number in copied if sentences[number].source_class != to)]
        options = DecodingOptions(beam=SECOND_BEAM)
        work = partial(self._first_rewrites, to=to, restorer=restorer, options=options)
        size, at_once = self._rows_at_once(SECOND_BEAM), self._sessions.batches_at_once
        for number, output in map_batches(work, sentences, sorted(wanted), size, at_once):
            left = rewrites[number]
            assert left is not None
            if output is not None:
                truncated = sentences[number].truncated
                rewrites[number] = replace(left, output=output, status=Status.REWRITTEN, truncated=truncated)

    def _first_rewrites(
        self, sentences: Sequence[PreparedSentence], to: str, restorer: Restorer, options: DecodingOptions
    ) -> list[str | None]:
        """Return for each sentence the best hypothesis that may replace a greedy copy, or None."""
        ranked = self._ranked(sentences, to, options)
        return [restorer.first_rewrite(sentence, texts) for sentence, texts in zip(sentences, ranked, strict=True)]

    def _best_hypotheses(
        self, sentences: Sequence[PreparedSentence], to: str, restorer: Restorer, options: DecodingOptions
    ) -> list[list[ScoredHypothesis]]:
        """Decode, rerank and restore: return the ``n_best`` hypotheses for each sentence, the best first."""
        ranked = self._ranked(sentences, to, options)
        return [
            restorer.restore_ranked(sentence, texts, options) for sentence, texts in zip(sentences, ranked, strict=True)
        ]

    def _ranked(
        self, sentences: Sequence[PreparedSentence], to: str, options: DecodingOptions
    ) -> list[list[RankedText]]:
        """Decode and rerank: return the hypotheses of each sentence in the corpus's text format, the best first."""
        found = decode_hypotheses(self._sessions, [sentence.ids for sentence in sentences], to, options)
        sources = [(sentence.text, sentence.ids) for sentence in sentences]
        ranked = rerank(self._sessions, self._tokenizer, sources, found, to, options.ranking or self.folder.ranking)
        if self.folder.edits:
            least = self.folder.copy_above if options.copy_above is None else options.copy_above
            ranked = place_copies(ranked, [sentence.text for sentence in sentences], least)
        return ranked

    def _rows_at_once(self, width: int) -> int:
        return rows_at_once(self.device.kind == "cpu", width)

    def _find_classes(self, sentences: Sequence[PreparedSentence]) -> None:
        """Set each sentence's source class by the style scorer; no sentence may be blank."""
        scores = style_scores(self._sessions, [sentence.ids[:-1] for sentence in sentences])
        for sentence, best in zip(sentences, scores.argmax(axis=1).tolist(), strict=True):
            sentence.source_class = self.classes[best]

    def _is_foreign(self, ids: Sequence[int]) -> bool:
        """Return whether more than half of a row's tokens are single bytes of unknown characters."""
        return 2 * self._tokenizer.count_bytes(ids) > max(0, len(ids) - 1)

    def _normalizer(self, form: str) -> Normalizer:
        """Return the normalizer from a text format to the corpus's."""
        normalizer = self._normalizers.get(form)
        if normalizer is None:
            normalizer = self._normalizers[form] = make_normalizer(self.folder, form, self._protector)
        return normalizer


def _reload(
    model: str, device: str, threads: int | None, variant: str, protect: Sequence[str], glossary: Sequence[str]
) -> Rewriter:
    return Rewriter.load(model, device=device, threads=threads, variant=variant, protect=protect, glossary=glossary)
