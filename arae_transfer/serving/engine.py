"""Connects the server with the runtime: request options to decoding options, rewrites to ``--json`` fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from arae_transfer.errors import AraeError
from arae_transfer.runtime.classifier import Classifier, Verdict
from arae_transfer.runtime.code_space import CodeSpace
from arae_transfer.runtime.decoding import GREEDY, DecodingOptions
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.options import LONG, Ranking
from arae_transfer.runtime.paths import PATHS
from arae_transfer.runtime.preparation import FORMS, make_normalizer, one_line
from arae_transfer.runtime.records import rewrite_record
from arae_transfer.runtime.rewrite import Rewrite, Status
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.serving.options import CANDIDATES, NAMES, NOT_IN_CHOICE, check_together, one_of
from arae_transfer.serving.texts import Unit, lines_of
from arae_transfer.text.sentences import split_sentences

PROBABILITY_DECIMALS = 6
FIRST_LINE = "the first line ."


@dataclass(frozen=True)
class RewriteTask:
    """Lines to rewrite with the same options; each answer is a record.

    Attributes:
        engine: The model.
        to: The exact name of the class.
        form: How the lines are written.
        long: What happens to long lines.
        options: How answers are chosen.
    """

    engine: Engine
    to: str
    form: str = "auto"
    long: str = "split"
    options: DecodingOptions = GREEDY

    @property
    def width(self) -> int:
        """Number of candidates per line."""
        return self.options.resolve(self.engine.folder.beam).width

    def run(self, lines: Sequence[str]) -> list[Any]:
        """Return a record per line."""
        rewrites = self.engine.rewriter.rewrite_chunk(
            lines, self.to, form=self.form, long=self.long, options=self.options
        )
        return [self._record(each) for each in rewrites]

    def _record(self, rewrite: Rewrite) -> dict[str, Any]:
        """Return the fields of ``arae transfer --json``, and a note on anything left undone."""
        record = rewrite_record(rewrite, self.options)
        record["note"] = self._note(rewrite)
        return record

    def _note(self, rewrite: Rewrite) -> str | None:
        """Return why a line, or a part of it, was left unchanged."""
        tokens = self.engine.folder.maximum_tokens - 1
        part = "part of it was left unchanged" if rewrite.pieces else "left unchanged"
        already = rewrite.already and self.options.if_already == "keep"
        unchanged = bool(rewrite.source.strip()) and rewrite.output == one_line(rewrite.source)
        reasons = (
            (rewrite.status is Status.TOO_LONG, f"left unchanged: longer than the limit of {tokens} tokens"),
            (rewrite.unfaithful, f"{part}: no candidate kept its numbers, names, marks and words whole"),
            (rewrite.status is Status.NOT_PROSE, "left unchanged: it has no sentence"),
            (rewrite.unread, f"{part}: the model knows too few of its characters"),
            (already, f"{part}: already {rewrite.to}"),
            (rewrite.unsure, f"{part}: no candidate had a confidence of {self.options.min_confidence:g}"),
            (rewrite.truncated, f"truncated to {tokens} tokens"),
            (rewrite.unfinished, "the answer was cut off"),
            (unchanged, "the model found nothing to change"),
        )
        return next((reason for holds, reason in reasons if holds), None)


@dataclass(frozen=True)
class ClassifyTask:
    """Lines to classify; each answer has the fields of ``arae classify --json``."""

    engine: Engine
    form: str = "auto"
    width: int = 1

    def run(self, lines: Sequence[str]) -> list[Any]:
        """Return a record per line."""
        return [_verdict(each) for each in self.engine.classifier(self.form).classify_chunk(lines)]


@dataclass(frozen=True)
class CheckTask:
    """Sentences to check for other classes than the target, with suggested rewrites.

    Attributes:
        engine: The model.
        to: The exact name of the target class.
        confidence: How sure the classifier must be of the other class.
        offers: The most rewrites of a sentence.
    """

    engine: Engine
    to: str
    confidence: float
    offers: int

    @property
    def width(self) -> int:
        """Number of candidates per line."""
        return self.offers if self.engine.rewriter.searches else 1

    def run(self, lines: Sequence[str]) -> list[Any]:
        """Return for each line its class, probability and rewrites, or None for a line without a finding."""
        found: list[Any] = [None] * len(lines)
        for place, verdict in enumerate(self.engine.classifier("auto").classify_chunk(lines)):
            probability = verdict.probabilities.get(verdict.label, 0.0)
            if verdict.label and verdict.label != self.to and probability >= self.confidence:
                found[place] = (verdict.label, probability)
        chosen = [place for place, each in enumerate(found) if each is not None]
        options = DecodingOptions(n_best=self.offers) if self.width > 1 else GREEDY
        rewrites = self.engine.rewriter.rewrite_chunk([lines[place] for place in chosen], self.to, options=options)
        for place, rewrite in zip(chosen, rewrites, strict=True):
            texts = [rewrite.output, *(each.output for each in rewrite.candidates)]
            offered = [text for text in dict.fromkeys(texts) if text.strip() and text != lines[place]]
            found[place] = (*found[place], offered[: self.offers])
        return found


@dataclass(frozen=True)
class InterpolateTask:
    """Pairs of sentences to interpolate; each answer is the sentences between the two, or an ``AraeError``."""

    engine: Engine
    to: str
    steps: int
    path: str = "sphere"
    form: str = "auto"

    @property
    def width(self) -> int:
        """Number of sentences per pair."""
        return self.steps

    def run(self, lines: Sequence[tuple[str, str]]) -> list[Any]:
        """Return a record for each step of each pair."""
        found: list[Any] = []
        for first, second in lines:
            try:
                found.append(self._walk(first, second))
            except AraeError as error:
                found.append(error)
        return found

    def _walk(self, first: str, second: str) -> list[dict[str, Any]]:
        normalizer = make_normalizer(self.engine.folder, self.form)
        ends = [normalizer.normalize(one_line(text)) for text in (first, second)]

        def write(place: int, text: str) -> str:
            return normalizer.restore(text, ends[0 if place <= (self.steps - 1) / 2 else 1][1])

        way = self.engine.code_space.walk(ends[0][0], ends[1][0], self.to, self.steps, self.path, write)
        return [
            {
                "position": round(place / (self.steps - 1), 6),
                "output": each.output,
                "to": self.to,
                "path": self.path,
                "vectors": each.vectors,
                "unfinished": each.unfinished,
            }
            for place, each in enumerate(way)
        ]


@dataclass(eq=False)
class Engine:
    """One exported model in the server; only the batching thread runs it.

    Attributes:
        folder: The model.
        sessions: Its graphs.
    """

    folder: ModelFolder
    sessions: Sessions
    _classifiers: dict[str, Classifier] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        variant: str = "auto",
    ) -> Engine:
        """Find a model; see ``Rewriter.load``. ``warm_up`` opens its graphs.

        Raises:
            AraeError: There is no such model or device, or the model neither rewrites nor classifies text.
        """
        folder = ModelFolder.find(model)
        if not _can(folder.require_rewriting):
            folder.require_classifier()  # its error says what else the model is for
        return cls(folder, Sessions(folder, device, threads, variant))

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.folder.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the model."""
        return self.folder.classes

    @property
    def rewrites(self) -> bool:
        """Whether the model rewrites."""
        return _can(self.folder.require_rewriting)

    @property
    def classifies(self) -> bool:
        """Whether the model classifies."""
        return _can(self.folder.require_classifier)

    @cached_property
    def rewriter(self) -> Rewriter:
        """Rewriter of the model."""
        return Rewriter(self.sessions)

    @cached_property
    def code_space(self) -> CodeSpace:
        """Code space of the model."""
        return CodeSpace(self.sessions)

    def classifier(self, form: str) -> Classifier:
        """Return a classifier of lines in a form."""
        if form not in self._classifiers:
            self._classifiers[form] = Classifier(self.sessions, form)
        return self._classifiers[form]

    def warm_up(self) -> None:
        """Open everything that the first requests need, and rewrite a line.

        Raises:
            AraeError: The model is damaged, or its device cannot be used.
        """
        if self.rewrites:
            for name in self.classes:
                self.rewriter.prepare(name)
                self.rewriter.rewrite_chunk([FIRST_LINE], name)
        if self.classifies:
            self.classifier("auto").classify_chunk(["\t".join([FIRST_LINE] * (1 + self.folder.pairs))])

    def description(self) -> dict[str, Any]:
        """Return a description of the model for clients."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "rewrites": self.rewrites,
            "classifies": self.classifies,
            "candidates": self.rewrites and self.sessions.searches,
            "interpolates": self.rewrites,
            "pairs": self.folder.pairs,
            "beam": self.folder.beam,
            "maximum_tokens": self.folder.maximum_tokens,
            "device": str(self.sessions.device),
            "variant": self.sessions.variant,
            "threads": self.sessions.threads,
        }

    def rewrite_task(self, options: Mapping[str, Any]) -> RewriteTask:
        """Return the task for the options of a request.

        Args:
            options: Of ``REWRITE_OPTIONS``, with values of their types.

        Raises:
            AraeError: The model does not rewrite, an option is out of range, or two do not go together.
        """
        self.folder.require_rewriting()
        if "to" not in options:
            raise AraeError("the target class is missing", f'give "to", one of {", ".join(self.classes)}.')
        check_together(options)
        to = self.folder.match_class(options["to"])
        form, long = self.form(options), options.get("long", "split")
        one_of("long", long, LONG)
        said = {NAMES.get(name, name): value for name, value in options.items() if name not in NOT_IN_CHOICE}
        if "rerank" in options:
            said["ranking"] = Ranking.parse(options["rerank"])
        if "if_unchanged" in options and not any(options.get(name) for name in CANDIDATES):
            said["beam"] = 1  # it is about the one greedy rewrite
        decoding = DecodingOptions(**said)
        if (decoding.needs_hypotheses and not self.sessions.searches) or (
            decoding.needs_scorer and self.folder.scorer is None
        ):
            raise AraeError(
                f"the model {self.name} cannot search candidates: an old version exported it",
                'omit "from" and the options for candidates, or export the model again.',
            )
        return RewriteTask(self, to, form, long, decoding)

    def classify_task(self, options: Mapping[str, Any]) -> ClassifyTask:
        """Return the task for the options of a request.

        Raises:
            AraeError: The model does not classify, or there is no such form.
        """
        self.folder.require_classifier()
        return ClassifyTask(self, self.form(options))

    def check_task(self, to: str | None, confidence: float, offers: int) -> CheckTask:
        """Return the check for sentences outside a target class; None: the model's last class.

        Raises:
            AraeError: The model does not rewrite or classify, or has no such class.
        """
        self.folder.require_rewriting()
        self.folder.require_classifier()
        return CheckTask(self, self.folder.match_class(to if to is not None else self.classes[-1]), confidence, offers)

    def interpolate_task(self, options: Mapping[str, Any]) -> InterpolateTask:
        """Return the task for the options of a request.

        Raises:
            AraeError: The model does not rewrite, or not from codes, or an option is unknown.
        """
        self.folder.require_rewriting()
        self.folder.require_codes()
        path, form = options.get("path", "sphere"), self.form(options)
        one_of("path", path, PATHS)
        to = self.folder.match_class(options.get("to", self.classes[-1]))
        return InterpolateTask(self, to, int(options.get("steps", 7)), path, form)

    @staticmethod
    def form(options: Mapping[str, Any]) -> str:
        """Return the form that options name.

        Raises:
            AraeError: There is no such form.
        """
        form = options.get("form", "auto")
        one_of("form", form, FORMS)
        return str(form)


def sentences_of(text: str) -> list[Unit]:
    """Split a text at line ends and between sentences, like the rewriter."""
    units = []
    for line in lines_of(text):
        split = split_sentences(line.text)
        units += [Unit(*each) for each in zip(split.texts, (*split.gaps, line.after), strict=True)]
    return units


def _verdict(verdict: Verdict) -> dict[str, Any]:
    probabilities = {name: round(value, PROBABILITY_DECIMALS) for name, value in verdict.probabilities.items()}
    return {
        "source": verdict.source,
        "label": verdict.label,
        "probabilities": probabilities,
        "truncated": verdict.truncated,
        "incomplete": verdict.incomplete,
    }


def _can(require: Any) -> bool:  # noqa: ANN401 -- a method that raises where something cannot be done
    try:
        require()
    except AraeError:
        return False
    return True
