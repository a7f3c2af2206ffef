"""The one place where the server meets the runtime: options to decoding, rewrites to the fields of ``--json``."""

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
from arae_transfer.runtime.paths import PATHS
from arae_transfer.runtime.preparation import FORMS, make_normalizer, one_line
from arae_transfer.runtime.records import rewrite_record
from arae_transfer.runtime.reranking import Ranking
from arae_transfer.runtime.rewrite import Rewrite, Status
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.runtime.sessions import Sessions
from arae_transfer.serving.options import CANDIDATES, NAMES, NOT_IN_CHOICE, check_together, one_of
from arae_transfer.serving.texts import Unit, lines_of
from arae_transfer.text.sentences import LONG, split_sentences

PROBABILITY_DECIMALS = 6
FIRST_LINE = "the first line ."


@dataclass(frozen=True)
class RewriteTask:
    """Lines to be rewritten alike; each is answered by its record.

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
        """How many candidates a line costs."""
        return self.options.resolve(self.engine.folder.beam).width

    def run(self, lines: Sequence[str]) -> list[Any]:
        """Return the record of each line."""
        rewrites = self.engine.rewriter.rewrite_chunk(
            lines, self.to, form=self.form, long=self.long, options=self.options
        )
        return [self._record(each) for each in rewrites]

    def _record(self, rewrite: Rewrite) -> dict[str, Any]:
        """Return the fields of ``arae transfer --json``, and in words what was not done, if anything."""
        record = rewrite_record(rewrite, self.options)
        record["note"] = self._note(rewrite)
        return record

    def _note(self, rewrite: Rewrite) -> str | None:
        """Return why a line, or a part of it, was left as it is."""
        tokens = self.engine.folder.maximum_tokens - 1
        part = "part of it was left as it is" if rewrite.pieces else "left as it is"
        if rewrite.status is Status.TOO_LONG:
            return f"left as it is: longer than the {tokens} tokens that the model reads"
        if rewrite.unfaithful:
            return f"{part}: no candidate kept its numbers, names, marks and words whole"
        if rewrite.status is Status.NOT_PROSE:
            return "left as it is: there is no sentence in it"
        if rewrite.unread:
            return f"{part}: the model knows too few of its characters"
        if rewrite.already and self.options.if_already == "keep":
            return f"{part}: already {rewrite.to}"
        if rewrite.unsure:
            return f"{part}: no candidate was {self.options.min_confidence:g} sure to be {rewrite.to}"
        if rewrite.truncated:
            return f"its end was left out: the model reads {tokens} tokens"
        if rewrite.unfinished:
            return "the answer was stopped before its end"
        if rewrite.source.strip() and rewrite.output == one_line(rewrite.source):
            return "the model found nothing to change"
        return None


@dataclass(frozen=True)
class ClassifyTask:
    """Lines to be classified; each is answered by the fields of ``arae classify --json``."""

    engine: Engine
    form: str = "auto"
    width: int = 1

    def run(self, lines: Sequence[str]) -> list[Any]:
        """Return the record of each line."""
        return [_verdict(each) for each in self.engine.classifier(self.form).classify_chunk(lines)]


@dataclass(frozen=True)
class CheckTask:
    """Sentences to be checked: whether each has another class than the target, and how it may be rewritten.

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
        """How many candidates a line costs."""
        return self.offers if self.engine.rewriter.searches else 1

    def run(self, lines: Sequence[str]) -> list[Any]:
        """Return for each line its class, that class's probability and rewrites, or None: nothing is wrong with it."""
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
    """Pairs of sentences; each is answered by the sentences on the way between its two, or an ``AraeError``."""

    engine: Engine
    to: str
    steps: int
    path: str = "sphere"
    form: str = "auto"

    @property
    def width(self) -> int:
        """How many sentences a pair costs."""
        return self.steps

    def run(self, lines: Sequence[tuple[str, str]]) -> list[Any]:
        """Return the record of each step of each pair."""
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
    """One exported model, as the server uses it. What runs the model is for the batching thread alone.

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
        """Find a model; see ``Rewriter.load``. Its graphs are opened by ``warm_up``.

        Raises:
            AraeError: There is no such model or device, or the model neither rewrites nor classifies text.
        """
        folder = ModelFolder.find(model)
        if not _can(folder.require_rewriting):
            folder.require_classifier()  # its error says what else the model is for
        return cls(folder, Sessions(folder, device, threads, variant))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.folder.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The model's classes."""
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
        """The model, ready to rewrite."""
        return Rewriter(self.sessions)

    @cached_property
    def code_space(self) -> CodeSpace:
        """The model's code space."""
        return CodeSpace(self.sessions)

    def classifier(self, form: str) -> Classifier:
        """Return the model, ready to classify lines of a form."""
        if form not in self._classifiers:
            self._classifiers[form] = Classifier(self.sessions, form)
        return self._classifiers[form]

    def warm_up(self) -> None:
        """Open all that the first requests need, and answer a line with it.

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
        """Return what a client may want to know of the model."""
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
        """Return what the options of a request ask for.

        Args:
            options: Of ``REWRITE_OPTIONS``, with values of their types.

        Raises:
            AraeError: The model does not rewrite, an option is out of range, or two do not go together.
        """
        self.folder.require_rewriting()
        if "to" not in options:
            raise AraeError("the class to rewrite to is missing", f'give "to", one of {", ".join(self.classes)}.')
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
                f"the model {self.name} writes no candidates: it was exported before exports could",
                'leave the options about candidates and "from" out, or export the model again.',
            )
        return RewriteTask(self, to, form, long, decoding)

    def classify_task(self, options: Mapping[str, Any]) -> ClassifyTask:
        """Return what the options of a request ask for.

        Raises:
            AraeError: The model does not classify, or there is no such form.
        """
        self.folder.require_classifier()
        return ClassifyTask(self, self.form(options))

    def check_task(self, to: str | None, confidence: float, offers: int) -> CheckTask:
        """Return the check for sentences that are not of a target class; None: the model's last.

        Raises:
            AraeError: The model does not rewrite or classify, or has no such class.
        """
        self.folder.require_rewriting()
        self.folder.require_classifier()
        return CheckTask(self, self.folder.match_class(to if to is not None else self.classes[-1]), confidence, offers)

    def interpolate_task(self, options: Mapping[str, Any]) -> InterpolateTask:
        """Return what the options of a request ask for.

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
        """Return the form that options ask for.

        Raises:
            AraeError: There is no such form.
        """
        form = options.get("form", "auto")
        one_of("form", form, FORMS)
        return str(form)


def sentences_of(text: str) -> list[Unit]:
    """Cut a text at its line ends and between sentences, as the rewriter does."""
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
