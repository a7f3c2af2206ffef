"""Rewriting: lines in, lines out, in order, by an exported model.

A line goes one way: it is split into sentences, each is normalized to the corpus's form and encoded as ids
(``preparation``), a batch of them is decoded (``decoding``), its hypotheses are ranked (``reranking``), the best is
restored to the way in which the sentence was typed, and the answers to a line's sentences are joined (``rewrite``).
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
    batches_by_length,
    shared_batch_size,
)
from arae_transfer.runtime.decoding import (
    GREEDY,
    DecodingOptions,
    decode_greedily,
    decode_hypotheses,
    rows_at_once,
)
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.parallel import map_in_parallel
from arae_transfer.runtime.preparation import PreparedSentence, Preparer, load_tokenizer, make_normalizer, one_line
from arae_transfer.runtime.reranking import (
    RankedText,
    ScoredHypothesis,
    only_appends,
    place_copies,
    rerank,
    style_scores,
)
from arae_transfer.runtime.rewrite import Rewrite, Status, join_rewrites, left_too_long
from arae_transfer.runtime.sessions import Device, Sessions
from arae_transfer.runtime.vocabulary import Vocabulary
from arae_transfer.text.fidelity import keeps_form
from arae_transfer.text.protected import Protector
from arae_transfer.text.sentences import LONG
from arae_transfer.tokenizer import END_ID

if TYPE_CHECKING:
    from arae_transfer.text import Normalizer

Answer = TypeVar("Answer")

SECOND_BEAM = 6
"""The hypotheses that are searched where the greedy rewrite is the source itself."""

LEAST_STYLE = 0.5
"""How sure the style scorer must be of the target class for such a hypothesis to be the answer."""


class Rewriter:
    """A model that is ready to rewrite.

    It may be used from several threads. It can be pickled: what travels is where the model lies, and it is loaded
    again from there.
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
            protect: Regular expressions; what they match in a line stays as it is, as numbers and addresses do.
            glossary: Terms that stay as they are, in this spelling.

        Raises:
            AraeError: There is no such model, device or variant, the model is damaged, or an expression is none.
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
        """Return the arithmetic that the model runs in: ``"fp32"``, ``"fp16"`` or ``"int8"``."""
        return self._sessions.variant

    @property
    def searches(self) -> bool:
        """Return whether the model writes several candidates and scores their style."""
        return self._sessions.searches

    @property
    def fallback(self) -> str | None:
        """Return why ``auto`` did not take the GPU that is there, or None."""
        return self._sessions.fallback

    def prepare(self, to: str, form: str = "auto", options: DecodingOptions = GREEDY) -> str:
        """Open what rewriting to a class needs, so that the first line is as fast as the others.

        Args:
            to: A class, or the unique start of one.
            form: As in ``transfer``.
            options: As in ``transfer``.

        Returns:
            The name of the class.

        Raises:
            AraeError: There is no such class or form, the model is damaged or was exported without what the options
                need, or the device cannot be used.
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
        """Rewrite lines, lazily: this returns at once, and the work is done as the answers are taken.

        One answer per line, in order, whatever the line; a blank line has a blank answer, and no answer holds
        a line break. The batch size changes the speed and nothing else. ``lines`` is read up to 16 batches
        ahead of the answers, or 4 for each thread; with ``batch_size=1`` it is not read ahead at all.

        Args:
            lines: The lines.
            to: A class of the model, or the unique start of one, in upper or lower case.
            batch_size: The most lines that are rewritten at once.
            form: How the lines are written: ``"ordinary"`` writing, the ``"corpus"``'s own form, or ``"auto"``.
            long: What happens to lines of several sentences, or longer than the model reads: ``"split"`` rewrites
                piece by piece and joins the answers, ``"keep"`` answers a too long line as it is, ``"truncate"``
                leaves out its end.
            options: How each answer is chosen: greedily, or the best of several hypotheses; by default as the model's
                export says.

        Raises:
            AraeError: There is no such class, form or way; later, the model is damaged or onnxruntime fails.
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
        """Rewrite lines as ``transfer`` does, and yield everything that is known of each answer.

        Options with a beam or samples give each rewrite its ``candidates`` with their scores.
        """
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
        """Return how many lines are best given to ``rewrite_chunk`` at once, where so many wait."""
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
        """Rewrite lines at once, sorted by length into batches and back into their order.

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
        preparer = Preparer(normalizer, self._tokenizer, self.folder.maximum_tokens, self._sessions.threads)
        if long != "split":
            rewrites = self._rewrite_sentences(preparer.prepare(lines), to, batch_size, normalizer, options)
            return (
                [left_too_long(each) if each.truncated else each for each in rewrites] if long == "keep" else rewrites
            )
        splits, sentences, shortened = preparer.split(lines)
        answers = iter(self._rewrite_sentences(sentences, to, batch_size, normalizer, options))
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
        normalizer: Normalizer,
        options: DecodingOptions,
    ) -> list[Rewrite]:
        """Return the answer to each sentence: those without the model first, then batch by batch."""
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
            work = partial(self._search_batch, to=to, normalizer=normalizer, options=options)
        else:
            work = partial(self._decode_batch, to=to, normalizer=normalizer, options=options)
        for number, rewrite in self._in_batches(work, sentences, pending, batch_size):
            rewrites[number] = rewrite
        if not options.needs_hypotheses and options.if_unchanged == "search" and self._sessions.searches:
            self._search_again(rewrites, sentences, pending, to, normalizer)
        return [rewrite for rewrite in rewrites if rewrite is not None]

    def _without_reading(self, sentence: PreparedSentence, to: str) -> Rewrite | None:
        """Return the answer to a sentence in which there is nothing for the model to read, or None."""
        if not sentence.ids:
            if not sentence.source.strip() or not one_line(sentence.source).strip():
                return Rewrite(sentence.source, "", to, Status.BLANK, truncated=sentence.truncated)
            return Rewrite.left(sentence, to, Status.NOT_PROSE)
        if not sentence.truncated and self._is_foreign(sentence.ids):
            return Rewrite.left(sentence, to, Status.UNREAD)
        return None

    def _in_batches(
        self,
        work: Callable[[Sequence[PreparedSentence]], list[Answer]],
        sentences: Sequence[PreparedSentence],
        numbers: Sequence[int],
        batch_size: int,
    ) -> Iterator[tuple[int, Answer]]:
        """Do work on batches of some of the sentences, side by side, and yield their numbers with their answers."""
        if not numbers:
            return
        threads = self._sessions.batches_at_once
        size = shared_batch_size(len(numbers), batch_size, threads)
        lengths = [len(sentences[number].ids) for number in numbers]
        batches = [[numbers[place] for place in batch] for batch in batches_by_length(lengths, size)]
        answers = map_in_parallel(work, [[sentences[number] for number in batch] for batch in batches], threads)
        for batch, found in zip(batches, answers, strict=True):
            yield from zip(batch, found, strict=True)

    def _decode_batch(
        self, sentences: Sequence[PreparedSentence], to: str, normalizer: Normalizer, options: DecodingOptions
    ) -> list[Rewrite]:
        """Return the greedy rewrite of each sentence."""
        rows = [sentence.ids for sentence in sentences]
        answers = decode_greedily(self._sessions, rows, to, options.copy_above)
        texts = self._tokenizer.decode_rows([tokens for tokens, _ in answers])
        rewrites = []
        for sentence, (tokens, keep), text in zip(sentences, answers, texts, strict=True):
            output = normalizer.restore(text, sentence.surface)
            if options.faithful and not self._is_faithful(sentence, text, output, normalizer):
                rewrites.append(Rewrite.left(sentence, to, Status.KEPT, keep=keep))
                continue
            status = Status.UNCHANGED if text == sentence.text else Status.REWRITTEN
            rewrites.append(Rewrite.of(sentence, output, to, status, unfinished=END_ID not in tokens, keep=keep))
        return rewrites

    def _search_batch(
        self, sentences: Sequence[PreparedSentence], to: str, normalizer: Normalizer, options: DecodingOptions
    ) -> list[Rewrite]:
        """Return the best hypothesis for each sentence."""
        rewrites = []
        for sentence, found in zip(sentences, self._best_hypotheses(sentences, to, normalizer, options), strict=True):
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
        normalizer: Normalizer,
    ) -> None:
        """Replace greedy copies, and sentences whose greedy rewrite broke what must stay, by the best of a small beam.

        A copy that has the target class already is rightly left as it is.
        """
        broken = [number for number in numbers if (found := rewrites[number]) and found.status is Status.KEPT]
        copied = [number for number in numbers if (found := rewrites[number]) and found.status is Status.UNCHANGED]
        if self.folder.edits:  # it copies only what it is sure of
            copied = []
        self._find_classes([sentences[number] for number in copied])
        wanted = [*broken, *(number for number in copied if sentences[number].source_class != to)]
        options = DecodingOptions(beam=SECOND_BEAM)
        work = partial(self._best_hypotheses, to=to, normalizer=normalizer, options=options)
        for number, hypotheses in self._in_batches(work, sentences, sorted(wanted), self._rows_at_once(SECOND_BEAM)):
            left = rewrites[number]
            assert left is not None
            best = next((each for each in hypotheses if _is_rewrite(each, left.output)), None)
            if best is not None:
                truncated = sentences[number].truncated
                rewrites[number] = replace(left, output=best.output, status=Status.REWRITTEN, truncated=truncated)

    def _best_hypotheses(
        self, sentences: Sequence[PreparedSentence], to: str, normalizer: Normalizer, options: DecodingOptions
    ) -> list[list[ScoredHypothesis]]:
        """Return the ``n_best`` hypotheses for each sentence, the best first, written as it was typed."""
        found = decode_hypotheses(self._sessions, [sentence.ids for sentence in sentences], to, options)
        sources = [(sentence.text, sentence.ids) for sentence in sentences]
        ranked = rerank(self._sessions, self._tokenizer, sources, found, to, options.ranking or self.folder.ranking)
        if self.folder.edits:
            least = self.folder.copy_above if options.copy_above is None else options.copy_above
            ranked = place_copies(ranked, [sentence.text for sentence in sentences], least)
        return [
            self._faithful_first(sentence, texts, normalizer, options)
            for sentence, texts in zip(sentences, ranked, strict=True)
        ]

    def _faithful_first(
        self, sentence: PreparedSentence, ranked: Sequence[RankedText], normalizer: Normalizer, options: DecodingOptions
    ) -> list[ScoredHypothesis]:
        """Return the best hypotheses, written as the sentence was typed; those that break what must stay come last.

        A model that edits adds the copy of the sentence. Where it is not sure of it, it is no answer, even if it alone
        keeps what must stay.
        """
        most = options.n_best or options.width + self.folder.edits
        faithful: list[ScoredHypothesis] = []
        others: list[ScoredHypothesis] = []
        copies: list[ScoredHypothesis] = []
        for each in ranked:
            output = normalizer.restore(each.text, sentence.surface)
            if self.folder.edits and each.text == sentence.text and each is not ranked[0]:
                copies.append(each.written(output))
            elif not options.faithful or self._is_faithful(sentence, each.text, output, normalizer):
                faithful.append(each.written(output))
                if len(faithful) == most:
                    break
            else:
                others.append(each.written(output, faithful=False))
        if not faithful:
            return (others + copies)[:most]
        return (faithful + copies + others)[:most]

    def _is_faithful(self, sentence: PreparedSentence, text: str, output: str, normalizer: Normalizer) -> bool:
        """Say whether an answer keeps what must stay, and has only words of its source and of the corpus.

        Args:
            sentence: What is rewritten.
            text: The answer in the form of the corpus.
            output: The answer as the sentence was typed.
            normalizer: What wrote it so.
        """
        if text == sentence.text:
            return True
        number = normalizer.form.number
        if number and text.count(number) != sentence.text.count(number):
            return False
        if not self._vocabulary.has_whole_words(sentence.text, text):
            return False
        if sentence.truncated:  # what was not read cannot be kept
            return True
        return keeps_form(one_line(sentence.source), output, normalizer.protector, number)

    def _rows_at_once(self, width: int) -> int:
        return rows_at_once(self.device.kind == "cpu", width)

    def _find_classes(self, sentences: Sequence[PreparedSentence]) -> None:
        """Let each sentence, none of which is blank, know the class that the style scorer finds in it."""
        scores = style_scores(self._sessions, [sentence.ids[:-1] for sentence in sentences])
        for sentence, best in zip(sentences, scores.argmax(axis=1).tolist(), strict=True):
            sentence.source_class = self.classes[best]

    def _is_foreign(self, ids: Sequence[int]) -> bool:
        """Say whether more than half of a row's tokens, its end id left out, are single bytes of unknown characters."""
        return 2 * self._tokenizer.count_bytes(ids) > max(0, len(ids) - 1)

    def _normalizer(self, form: str) -> Normalizer:
        """Return the converter between the given form of writing and the corpus's own."""
        normalizer = self._normalizers.get(form)
        if normalizer is None:
            normalizer = self._normalizers[form] = make_normalizer(self.folder, form, self._protector)
        return normalizer


def _reload(
    model: str, device: str, threads: int | None, variant: str, protect: Sequence[str], glossary: Sequence[str]
) -> Rewriter:
    return Rewriter.load(model, device=device, threads=threads, variant=variant, protect=protect, glossary=glossary)


def _is_rewrite(hypothesis: ScoredHypothesis, source: str) -> bool:
    """Say whether a hypothesis is a rewrite of a source, in the form that both are answered in."""
    if (
        hypothesis.unfinished
        or not hypothesis.faithful
        or hypothesis.output == source
        or only_appends(source, hypothesis.output)
    ):
        return False
    return hypothesis.style > LEAST_STYLE
