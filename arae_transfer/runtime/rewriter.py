"""Rewriting: lines in, lines out, in order, by an exported model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from arae_transfer.errors import AraeError
from arae_transfer.runtime.candidates import (
    GREEDY,
    MOST_ROWS,
    MOST_ROWS_ON_CPU,
    Candidate,
    Choice,
    Hypothesis,
    agreement,
    follow,
    join_candidates,
    naturalness,
    only_appends,
    uniform_numbers,
)
from arae_transfer.runtime.long_lines import LONG, Pieces, cut_in_two, cut_into_sentences
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.sessions import Device, Float32, Int64, Sessions
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer

if TYPE_CHECKING:
    from arae_transfer.form import Writer

FORMS = ("auto", "ordinary", "corpus")
BATCH_SIZE = 64
BATCHES_PER_CHUNK = 16
"""A chunk is what is sorted by length together: more makes fuller batches, fewer makes earlier answers."""

BATCHES_PER_THREAD = 4
"""A chunk has at least as many, so that no thread waits long for the one that has the longest lines."""

LEAST_ROWS = 8
"""A batch that is divided among threads: smaller ones take as long."""

CHARACTERS_PER_TOKEN = 16
"""No piece of a tokenizer made here is longer, so this many characters a token are always enough."""

LONGEST_SPLIT = 1 << 14
"""Characters of a line that are rewritten in pieces; the rest of a longer one, which no person wrote, is left out."""

SECOND_BEAM = 6
"""The candidates that are searched where the greedy rewrite is the source itself."""

LEAST_STYLE = 0.5
"""How sure the style scorer must be of the wished class for such a candidate to be the answer."""

LONGEST_GROWTH = 16
"""An answer may have this many tokens more than its line. A bound for each line alone: none depends on its batch."""

# Control characters, line and paragraph separators: inside a line they would break it, or drive a terminal.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Rewrite:
    """One line and its answer; it is not frozen, which would take four times as long to make.

    Attributes:
        source: The line as it was given.
        output: The answer: one line, blank when the source is blank.
        to: The class that it was rewritten to.
        tokens: The number of tokens of the source that the model read, the end id not counted.
        truncated: Whether the source was longer than the model can read, so that its end was left out.
        unfinished: Whether the answer reached its greatest length before its end.
        pieces: In how many pieces it was rewritten; 0: it was not, being blank or kept.
        kept: Whether it was answered as it is, because it is longer than the model reads.
        source_class: The class that the style scorer finds in the source, where it was asked for; of a line in pieces
            that of most of its tokens.
        already: How many of its pieces had the wished class already, where that was asked for.
        unsure: How many of its pieces were left as they are, because no candidate was as sure to have the wished class
            as was asked for.
        unread: How many of its pieces were left as they are, because they are mostly of characters that the model's
            tokenizer has no piece for (another script, emoji): it would make up words for them.
        candidates: The candidates, the best first, where they were asked for; the best one alone where the model's
            export asks for a beam.
    """

    source: str
    output: str
    to: str
    tokens: int
    truncated: bool
    unfinished: bool
    pieces: int = 1
    kept: bool = False
    source_class: str | None = None
    already: int = 0
    unsure: int = 0
    unread: int = 0
    candidates: tuple[Candidate, ...] = ()


@dataclass(slots=True)
class _Prepared:
    """A line as the encoder reads it: its text in the form of the corpus, and that text's ids with the end id."""

    source: str
    text: str
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
        self.folder.require_rewriting()
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
            variant: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"auto"``: int8 on a CPU and fp16 on a GPU, where the export
                found it close enough.

        Raises:
            AraeError: There is no such model, device or variant, or the model is damaged.
        """
        return cls(Sessions(ModelFolder.find(model), device, threads, variant))

    def __reduce__(self) -> tuple[Callable[..., Rewriter], tuple[str, str, int | None, str]]:
        return _reload, (self.folder.address, *self._sessions.wishes)

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

    def prepare(self, to: str, form: str = "auto", choice: Choice = GREEDY) -> str:
        """Open what rewriting to a class needs, so that the first line is as fast as the others.

        Args:
            to: A class, or the unique start of one.
            form: As in ``transfer``.
            choice: As in ``transfer``.

        Returns:
            The name of the class.

        Raises:
            AraeError: There is no such class or form, the model is damaged or was exported without what the choice
                needs, or the device cannot be used.
        """
        class_name = self.folder.match_class(to)
        choice = choice.settled(self.folder.beam)
        self._writer(form)
        self._sessions.open(class_name, searching=choice.searches)
        if choice.searches:
            self._sessions.language_models()
        if choice.scores:
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
        choice: Choice = GREEDY,
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
            choice: How each answer is chosen: greedily, or the best of several candidates; by default as the model's
                export says.

        Raises:
            AraeError: There is no such class, form or way; later, the model is damaged or onnxruntime fails.
        """
        rewrites = self.rewrites(lines, to, batch_size=batch_size, form=form, long=long, choice=choice)
        return (rewrite.output for rewrite in rewrites)

    def rewrites(
        self,
        lines: Iterable[str],
        to: str,
        *,
        batch_size: int = BATCH_SIZE,
        form: str = "auto",
        long: str = "split",
        choice: Choice = GREEDY,
    ) -> Iterator[Rewrite]:
        """Rewrite lines as ``transfer`` does, and yield everything that is known of each answer.

        A choice with a beam or samples gives each rewrite its ``candidates`` with their scores.
        """
        if isinstance(lines, str):
            raise TypeError("lines is one string: give a list of lines, such as [line]")
        class_name = self.folder.match_class(to)
        self._writer(form)
        if long not in LONG:
            raise AraeError(f"unknown way {long!r} with long lines", f"use {', '.join(LONG)}.")
        if batch_size < 1:
            raise AraeError(f"a batch of {batch_size} lines cannot work", "use a batch size of 1 or more.")
        return self._stream(iter(lines), class_name, batch_size, form, long, choice)

    def _stream(
        self, lines: Iterator[str], to: str, batch_size: int, form: str, long: str, choice: Choice
    ) -> Iterator[Rewrite]:
        ahead = 1 if batch_size == 1 else self.chunk_size(batch_size)
        while chunk := list(islice(lines, ahead)):
            yield from self.rewrite_chunk(chunk, to, batch_size=batch_size, form=form, long=long, choice=choice)

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
        choice: Choice = GREEDY,
    ) -> list[Rewrite]:
        """Rewrite lines at once, sorted by length into batches and back into their order.

        Args:
            lines: The lines.
            to: The exact name of a class of the model.
            batch_size: The most lines in a batch.
            form: As in ``transfer``.
            long: As in ``transfer``.
            choice: As in ``transfer``.

        Raises:
            AraeError: The model is damaged or onnxruntime fails.
        """
        choice = choice.settled(self.folder.beam)
        if long != "split":
            rewrites = self._rewrite_prepared(self._prepare_lines(lines, form), to, batch_size, form, choice)
            return [_keep(each) if each.truncated else each for each in rewrites] if long == "keep" else rewrites
        bounded = [bound(one_line(line), LONGEST_SPLIT) for line in lines]
        cuts, prepared = self._cut_further([cut_into_sentences(text) for text, _ in bounded], form)
        pieces = iter(self._rewrite_prepared(prepared, to, batch_size, form, choice))
        return [
            _join(line, cut, list(islice(pieces, len(cut.texts))), shortened, choice)
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

    def _rewrite_prepared(
        self, prepared: Sequence[_Prepared], to: str, batch_size: int, form: str, choice: Choice
    ) -> list[Rewrite]:
        # Each is made when all that it tells is known: a copy with changes takes longer than decoding a line.
        rewrites: list[Rewrite | None] = [None] * len(prepared)
        lengths = [len(line.ids) for line in prepared]
        for number, line in enumerate(prepared):
            nothing = not line.ids and line.source.strip()
            if nothing or (not line.truncated and self._is_foreign(line.ids)):
                tokens = max(0, len(line.ids) - 1)
                output = one_line(line.source)
                rewrites[number] = Rewrite(line.source, output, to, tokens, line.truncated, False, pieces=0, unread=1)
                lengths[number] = 0  # answered
            elif not line.ids:
                rewrites[number] = Rewrite(line.source, "", to, 0, line.truncated, False, pieces=0)
        classes: list[str | None] = [None] * len(prepared)
        if choice.source is not None:
            classes = self._find_classes(prepared)
            for number, found in enumerate(classes):
                if found == to and lengths[number] and choice.if_already == "keep":
                    line = prepared[number]
                    output, tokens = one_line(line.source), len(line.ids) - 1
                    rewrites[number] = Rewrite(
                        line.source, output, to, tokens, False, False, pieces=0, source_class=found, already=1
                    )
                    lengths[number] = 0  # answered
        unchanged: list[int] = []

        def answer(number: int, output: str, *, unfinished: bool, candidates: tuple[Candidate, ...] = ()) -> Rewrite:
            line, found = prepared[number], classes[number]
            return Rewrite(
                line.source,
                output,
                to,
                len(line.ids) - 1,
                line.truncated,
                unfinished,
                source_class=found,
                already=int(found == to),
                candidates=candidates,
            )

        def search(batch: list[int]) -> None:
            lines = [prepared[number] for number in batch]
            for number, line, found in zip(batch, lines, self._search(lines, to, form, choice), strict=True):
                best, candidates = found[0], tuple(found)
                if best.style < choice.min_confidence:
                    rewrite = answer(number, one_line(line.source), unfinished=False, candidates=candidates)
                    rewrites[number] = replace(rewrite, truncated=False, pieces=0, unsure=1)
                else:
                    rewrites[number] = answer(number, best.output, unfinished=best.unfinished, candidates=candidates)

        def decode(batch: list[int]) -> None:
            lines = [prepared[number] for number in batch]
            answers = self._run([line.ids for line in lines], to)
            texts = self._tokenizer.decode_rows(answers)
            writer = self._writer(form)
            for number, line, tokens, text in zip(batch, lines, answers, texts, strict=True):
                if text == line.text:
                    unchanged.append(number)
                output = writer.from_corpus(text, line.memory)  # one line
                rewrites[number] = answer(number, output, unfinished=END_ID not in tokens)

        if choice.searches:
            batch_size = min(batch_size, self._lines_searched(choice.width))
        self._run_batches(search if choice.searches else decode, lengths, batch_size)
        answered = cast(list[Rewrite], rewrites)
        if unchanged and choice.if_unchanged == "search" and self._sessions.searches:
            self._search_unchanged(answered, prepared, sorted(unchanged), form)
        return answered

    def _search_unchanged(
        self, rewrites: list[Rewrite], prepared: Sequence[_Prepared], unchanged: Sequence[int], form: str
    ) -> None:
        """Exchange rewrites that are their sources for the best other candidates of a beam, where these are rewrites.

        What has the wished class already is rightly left as it is.
        """
        classes = self._find_classes([prepared[number] for number in unchanged])
        wanted = [number for number, found in zip(unchanged, classes, strict=True) if found != rewrites[number].to]
        search = Choice(beam=SECOND_BEAM)

        def work(batch: list[int]) -> None:
            numbers = [wanted[place] for place in batch]
            lines = [prepared[number] for number in numbers]
            found_by_line = self._search(lines, rewrites[numbers[0]].to, form, search)
            for number, candidates in zip(numbers, found_by_line, strict=True):
                source = rewrites[number].output
                rewrite = next((each for each in candidates if _is_rewrite(each, source)), None)
                if rewrite is not None:
                    rewrites[number] = replace(rewrites[number], output=rewrite.output)

        lengths = [len(prepared[number].ids) for number in wanted]
        self._run_batches(work, lengths, self._lines_searched(SECOND_BEAM))

    def _lines_searched(self, width: int) -> int:
        """Return of how many lines candidates are searched at once."""
        rows = MOST_ROWS_ON_CPU if self.device.kind == "cpu" else MOST_ROWS
        return max(1, rows // width)

    def _run_batches(self, work: Callable[[list[int]], None], lengths: Sequence[int], batch_size: int) -> None:
        """Do work on batches of the rows that are not empty, smaller ones where threads would have none."""
        rows = sum(length > 0 for length in lengths)
        if not rows:
            return
        share = -(-rows // self._sessions.batches_at_once)
        self._sessions.run_batches(work, _batches(lengths, min(batch_size, max(LEAST_ROWS, share))))

    def _find_classes(self, lines: Sequence[_Prepared]) -> list[str | None]:
        """Return the class that the style scorer finds in each line; a blank one has none."""
        chosen = [number for number, line in enumerate(lines) if line.ids]
        found: list[str | None] = [None] * len(lines)
        scores = style_scores(self._sessions, [lines[number].ids[:-1] for number in chosen])
        for number, best in zip(chosen, scores.argmax(axis=1).tolist(), strict=True):
            found[number] = self.classes[best]
        return found

    def _search(self, lines: Sequence[_Prepared], to: str, form: str, choice: Choice) -> list[list[Candidate]]:
        """Return the ``n_best`` candidates of each line, the best first; of those that read alike the most probable."""
        rows = [line.ids for line in lines]
        tokens, lengths = pad(rows)
        limits = lengths + LONGEST_GROWTH
        temperature, uniforms = 0.0, None
        if choice.sample:
            temperature, uniforms = choice.temperature, uniform_numbers(rows, limits, choice.width, choice.seed)
        written = self._sessions.search(tokens, lengths, to, limits, choice.width, temperature, uniforms)
        found_by_line = follow(*written, choice.width)
        decoded = iter(self._tokenizer.decode_rows([each.tokens for found in found_by_line for each in found]))
        distinct: list[dict[str, Hypothesis]] = []
        for hypotheses in found_by_line:
            texts: dict[str, Hypothesis] = {}
            read = [(hypothesis, next(decoded)) for hypothesis in hypotheses]
            for hypothesis, text in sorted(read, key=lambda each: -each[0].fluency):
                texts.setdefault(text, hypothesis)
            distinct.append(texts)
        # What a text's style is must not depend on the pieces that the decoder happened to write it in.
        encoded = self._tokenizer.encode_lines([text for texts in distinct for text in texts], threads=1)
        styles = style_scores(self._sessions, encoded)
        style = iter(styles[:, self.classes.index(to)].tolist())
        models = self._sessions.language_models()
        worth: Iterator[float] = iter(())
        if models:
            of_sources = [model.score([line.ids[:-1] for line in lines]) for model in models.values()]
            sources = np.maximum.reduce(of_sources).tolist()
            number = [place for place, texts in enumerate(distinct) for _ in texts]
            worth = iter(
                naturalness(own, sources[place], len(lines[place].ids))
                for place, own in zip(number, models[to].score(encoded).tolist(), strict=True)
            )
        writer = self._writer(form)
        ranked = []
        for line, texts in zip(lines, distinct, strict=True):
            candidates = []
            for (text, hypothesis), content in zip(texts.items(), agreement(line.text, list(texts)), strict=True):
                probability, natural = next(style), next(worth, 0.0)
                score = choice.ranking.score(probability, hypothesis.fluency, content, natural)
                candidates.append((score, text, hypothesis, probability, content, natural))
            candidates.sort(key=lambda each: -each[0])
            ranked.append(
                [
                    Candidate(
                        output=writer.from_corpus(text, line.memory),
                        score=score,
                        style=math.exp(probability),
                        fluency=hypothesis.fluency,
                        content=content,
                        language=natural,
                        unfinished=not hypothesis.finished,
                    )
                    for score, text, hypothesis, probability, content, natural in candidates[: choice.n_best]
                ]
            )
        return ranked

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
        encoded = self._tokenizer.encode_lines(texts, self._sessions.threads)
        for place, ids in enumerate(encoded):
            if not (self._tokenizer.count_bytes(ids) or writer.may_hold_verbatim(texts[place])):
                continue
            text, _ = bound(one_line(lines[place]), most * CHARACTERS_PER_TOKEN)
            texts[place], memory = writer.to_corpus(text, self._tokenizer.characters)
            encoded[place] = again = self._tokenizer.encode(texts[place])
            if len(again) >= most:
                memory = writer.forget_behind(memory, self._tokenizer.decode(again[: most - 1]))
            memories[place] = memory
        for source, text, ids, memory, cut in zip(lines, texts, encoded, memories, cuts, strict=True):
            row = [*ids[: most - 1], END_ID] if ids else []
            prepared.append(_Prepared(source, text, row, memory, cut or len(ids) >= most))
        return prepared

    def _is_foreign(self, ids: Sequence[int]) -> bool:
        """Say whether more than half of a row's tokens, its end id left out, are single bytes of unknown characters."""
        return 2 * self._tokenizer.count_bytes(ids) > max(0, len(ids) - 1)

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


def pad(rows: Sequence[Sequence[int]], least: int = 0) -> tuple[Int64, Int64]:
    """Return rows as ids (rows, time), padded at the right to the longest or to a least time, and lengths (rows,)."""
    lengths: Int64 = np.array([len(row) for row in rows], dtype=np.int64)
    tokens: Int64 = np.full((len(rows), max(int(lengths.max()), least)), PAD_ID, dtype=np.int64)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens, lengths


def style_scores(sessions: Sessions, rows: Sequence[Sequence[int]]) -> Float32:
    """Return the style scorer's log-probability of each class, (rows, classes), for rows of ids without end ids.

    Raises:
        AraeError: The model has no style scorer, or it is damaged, or onnxruntime fails.
    """
    classes = sessions.folder.classes
    scores: Float32 = np.zeros((len(rows), len(classes)), dtype=np.float32)
    for batch in _batches([len(row) + 1 for row in rows], MOST_ROWS):
        tokens, lengths = pad([rows[number] for number in batch], least=1)
        mask: Float32 = (np.arange(tokens.shape[1]) < lengths[:, np.newaxis]).astype(np.float32)
        found = sessions.score(tokens, mask)
        if found.shape != (len(batch), len(classes)):
            raise wrong_shape(sessions.folder)
        scores[batch] = found
    return scores


def wrong_shape(folder: ModelFolder) -> AraeError:
    """Return the error of a graph that does not fit the model's classes."""
    return AraeError(f"the model {folder.name} gave answers of a wrong shape", "export it again.")


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


def _reload(model: str, device: str, threads: int | None, variant: str) -> Rewriter:
    return Rewriter.load(model, device=device, threads=threads, variant=variant)


def _is_rewrite(candidate: Candidate, source: str) -> bool:
    """Say whether a candidate is a rewrite of a source, in the form that both are answered in."""
    if candidate.unfinished or candidate.output == source or only_appends(source, candidate.output):
        return False
    return candidate.style > LEAST_STYLE


def _keep(rewrite: Rewrite) -> Rewrite:
    """Return the answer of a line that is left as it is."""
    return replace(
        rewrite,
        output=one_line(rewrite.source),
        tokens=0,
        truncated=False,
        unfinished=False,
        pieces=0,
        kept=True,
        unsure=0,
        unread=0,
        candidates=(),
    )


def _join(line: str, cut: Pieces, rewrites: list[Rewrite], shortened: bool, choice: Choice) -> Rewrite:
    """Return the answer of a line from those of its pieces; shortened: they are not all of it."""
    if len(rewrites) == 1:
        if rewrites[0].source == line and not shortened:
            return rewrites[0]
        return replace(rewrites[0], source=line, truncated=shortened or rewrites[0].truncated)
    classes: Counter[str] = Counter()
    for each in rewrites:
        if each.source_class is not None:
            classes[each.source_class] += each.tokens
    return Rewrite(
        source=line,
        output=cut.join([each.output for each in rewrites]),
        to=rewrites[0].to,
        tokens=sum(each.tokens for each in rewrites),
        truncated=shortened or any(each.truncated for each in rewrites),
        unfinished=any(each.unfinished for each in rewrites),
        pieces=sum(each.pieces for each in rewrites),
        source_class=classes.most_common(1)[0][0] if classes else None,
        already=sum(each.already for each in rewrites),
        unsure=sum(each.unsure for each in rewrites),
        unread=sum(each.unread for each in rewrites),
        candidates=join_candidates(
            [(each.candidates, each.output, each.tokens) for each in rewrites], cut.join, choice.n_best or choice.width
        ),
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
    if text.isprintable():  # as most lines are
        return text
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
