"""Run an evaluation: read texts, rewrite or read rewrites, measure, and show samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from arae_transfer.corpus.reading import ReadingOptions
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.evaluate import EvaluationOptions, evaluate
from arae_transfer.evaluation.outputs import (
    Alignment,
    Outputs,
    read_output_folder,
    read_output_options,
    read_references,
    write_output_folder,
)
from arae_transfer.evaluation.real_text import (
    LabelledText,
    make_builtin_text,
    read_evaluated_split,
    read_unseen_text,
)
from arae_transfer.evaluation.report import to_data
from arae_transfer.evaluation.systems import (
    FROM_FILES,
    RunCheckpoint,
    System,
    builtin_corpus,
    describe_rewriter,
    describe_run,
    name_systems,
    reading_options,
    rewrite_by_run,
    rewrite_split,
)
from arae_transfer.evaluation.words import Tokenization
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.training.checkpoint import LoadedRun

OUTPUTS = "outputs"

Sample = dict[str, str | int | dict[str, str]]


@dataclass(frozen=True)
class EvaluationRequest:
    """Systems to evaluate, and the data.

    Attributes:
        systems: Models, runs and folders of rewrites, by what the user calls them; the first is compared with.
        outputs: ``CLASS-to-CLASS=FILE`` of any system's rewrites.
        references: Human rewrites, as ``outputs.read_references`` takes them.
        data: The corpus; none: the one that the models brought themselves.
        split: The split that is rewritten.
        limit: Only the first lines of a class; None: all.
        judge_data: What judges learn from; none: ``data``.
        judge_split: The split that they learn from.
        language_model_data: What the language model learns from; none: what the judges do.
        text_column: The column of the text in tables; None: the one that a model learned from.
        label_column: The column of the class.
        words: What a word is.
        device: Where exported models run.
        threads: Their CPU threads; None: all.
        batch_size: The most lines that they rewrite at once.
        save_outputs: Where models' rewrites are written; None: nowhere.
        rule_sample: Every how many lines a sample is taken; None: none.
    """

    systems: Mapping[str, System]
    outputs: Sequence[str] = ()
    references: Sequence[str] = ()
    data: Sequence[str] = ()
    split: str = "test"
    limit: int | None = None
    judge_data: Sequence[str] = ()
    judge_split: str | None = None
    language_model_data: Sequence[str] = ()
    text_column: str | None = None
    label_column: str | None = None
    words: Tokenization = "none"
    device: str = "auto"
    threads: int | None = None
    batch_size: int = 64
    save_outputs: Path | None = None
    rule_sample: int | None = None


@dataclass(frozen=True)
class _Texts:
    """Texts of an evaluation: the split, its alignment with rewrites, and the instruments' training text."""

    source: LabelledText
    alignment: Alignment
    judge: LabelledText
    fluent: LabelledText | None


@dataclass
class _Collected:
    """Rewrites of each system, and a description of each."""

    outputs: dict[str, Outputs] = field(default_factory=dict)
    decoding: dict[str, str] = field(default_factory=dict)


def run_evaluation(
    request: EvaluationRequest, progress: Callable[[str], None], warn: Callable[[str], None]
) -> tuple[dict[str, Any], list[Sample]]:
    """Evaluate systems.

    Args:
        request: What is measured, and on what.
        progress: Receives messages on the progress.
        warn: Receives warnings about the reliability of the numbers.

    Returns:
        The results as ``report.to_data`` makes them, and samples of rewrites.

    Raises:
        AraeError: Something that was asked for cannot be read or used.
    """
    options = reading_options(request.systems.values(), request.text_column, request.label_column)
    # What cannot be used is said before anything is read.
    loaded = {wish: system.load() for wish, system in request.systems.items() if isinstance(system, RunCheckpoint)}
    progress("reading")
    texts = _read(request, options, loaded)
    if texts.judge.caution:
        warn(f"warning: {texts.judge.caution}")
    human = read_references(request.references, list(texts.source.lines), texts.alignment)
    found = _collect(request, texts, loaded, progress)
    measured = evaluate(
        texts.source,
        found.outputs,
        texts.judge,
        texts.fluent,
        human,
        EvaluationOptions(tokenization=request.words, form=options.form),
        progress,
        found.decoding,
    )
    samples = list(_sample(texts.source, found.outputs, request.rule_sample)) if request.rule_sample else []
    return to_data(measured), samples


def _read(request: EvaluationRequest, options: ReadingOptions, loaded: Mapping[str, LoadedRun]) -> _Texts:
    data, judge_data = list(request.data), list(request.judge_data)
    if data:
        owners: list[System | LoadedRun] = [loaded.get(wish) or system for wish, system in request.systems.items()]
        known = next((owner.classes for owner in owners if isinstance(owner, ModelFolder | LoadedRun)), None)
        source, alignment = read_evaluated_split(data, request.split, request.limit, options, known)
        judge = read_unseen_text(data, list(source.lines), judge_data, request.judge_split, options)
    else:
        source, alignment, judge = _read_builtin(request.systems.values(), request.split, request.limit)
        if judge_data:
            judge = read_unseen_text([], list(source.lines), judge_data, request.judge_split, options)
    fluent = None
    if request.language_model_data:
        fluent = read_unseen_text([], list(source.lines), list(request.language_model_data), None, options)
    return _Texts(source, alignment, judge, fluent)


def _read_builtin(
    systems: Iterable[System], split: str, limit: int | None
) -> tuple[LabelledText, Alignment, LabelledText]:
    """Return the text that models with a built-in corpus learned from.

    Raises:
        AraeError: A model needs data.
    """
    every = list(systems)
    if not every or any(isinstance(system, Path) or not builtin_corpus(system) for system in every):
        raise AraeError(
            "--data is missing",
            "give --data CLASS=FILE for each class, a folder of SPLIT.CLASS.txt, or a .tsv, .csv or .jsonl file.",
        )
    return make_builtin_text(split, limit)


def _collect(
    request: EvaluationRequest, texts: _Texts, loaded: Mapping[str, LoadedRun], progress: Callable[[str], None]
) -> _Collected:
    """Rewrite the split with models and runs, and read the rewrites of other systems."""
    found, classes = _Collected(), list(texts.source.lines)
    names = name_systems(request.systems)
    if request.outputs:
        name = f"--{OUTPUTS}" if OUTPUTS in names else OUTPUTS
        found.outputs[name] = read_output_options(list(request.outputs), classes, texts.alignment)
        found.decoding[name] = FROM_FILES
    for name, (wish, system) in zip(names, request.systems.items(), strict=True):
        if isinstance(system, Path):
            found.outputs[name] = read_output_folder(system, classes, texts.alignment)
            found.decoding[name] = FROM_FILES
            continue
        if isinstance(system, RunCheckpoint):
            progress(f"{name} rewrites")
            found.outputs[name] = rewrite_by_run(loaded[wish], texts.source, name)
            found.decoding[name] = describe_run(loaded[wish])
        else:
            rewriter = Rewriter.load(system.address, device=request.device, threads=request.threads)
            found.outputs[name] = rewrite_split(rewriter, texts.source, request.batch_size, progress)
            found.decoding[name] = describe_rewriter(rewriter)
        if request.save_outputs is not None:
            several = len(request.systems) > 1
            folder = request.save_outputs / quote(name, safe=" ") if several else request.save_outputs
            write_output_folder(folder, found.outputs[name])
    return found


def _sample(source: LabelledText, systems: Mapping[str, Outputs], every: int) -> Iterator[Sample]:
    """Yield every K-th line of each direction with its rewrites."""
    for direction in next(iter(systems.values())):
        lines = source.lines[direction.source]
        for place in range(every - 1, len(lines), every):
            rewrites = {name: outputs[direction][place] for name, outputs in systems.items()}
            yield {"direction": str(direction), "line": place + 1, "source": lines[place], "rewrites": rewrites}
