"""The paper's second experiment: text transfer by a plain autoencoder and by two ARAE models.

The systems are of one recipe and differ in two keys, ``adversary.weight`` and ``attribute.weight``; those of one seed
share the tokenizer, the order of the sentences and the number of updates. They may share their beginning too, a plain
autoencoder from which each goes on: before decoders read the code, critic and classifier only keep them from it, and
what comes before is trained once for all. Each is measured as it stands at the end of its training: no checkpoint is
chosen, since each choice would favour some column.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

from arae_transfer.atomic import write_text
from arae_transfer.corpus.tokenizing import sample_lines
from arae_transfer.errors import AraeError
from arae_transfer.evaluation.evaluate import COPY, REAL, EvaluationOptions, evaluate
from arae_transfer.evaluation.outputs import write_output_folder
from arae_transfer.evaluation.real_text import LabelledText
from arae_transfer.evaluation.report import LEGEND, signature_line, to_data
from arae_transfer.evaluation.systems import rewrite_by_run
from arae_transfer.layout import RunLayout
from arae_transfer.paper.experiment_plan import keep_plan
from arae_transfer.recipe import Recipe, load_recipe
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.training.checkpoint import find_checkpoint, load_run, load_state
from arae_transfer.training.data import SAMPLED_LINES, TrainingData
from arae_transfer.training.loop import Trainer
from arae_transfer.training.reporter import Reporter

AUTOENCODER = "autoencoder"
BEGINNING = "beginning"
# The columns of the table: key of the measure, head.
COLUMNS = (
    ("accuracy_linear", "transfer, linear classifier %"),
    ("accuracy_neural", "neural classifier %"),
    ("self_bleu", "BLEU to source"),
    ("perplexity", "perplexity"),
    ("reverse_perplexity", "reverse perplexity"),
)
# Transfer, BLEU to the source, perplexity and reverse perplexity as published (Zhao et al. 2018, Yelp), on their test
# split with their classifier and recurrent language model. The weights a and b of their two models are 1 and 10.
PUBLISHED = (
    ("autoencoder", (59.3, 37.28, 31.9, 68.9)),
    ("ARAE, weight a", (73.4, 31.15, 29.7, 70.1)),
    ("ARAE, weight b", (81.8, 20.18, 27.7, 77.0)),
)

PUBLISHED_EPOCHS = 25


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
        name: Its name, which is also its folder's.
        adversarial: Whether it has generator and critic.
        weight: The weight of the classifier on its code.
    """

    name: str
    adversarial: bool
    weight: float

    def recipe(self, recipe: Recipe, seed: int, tokenizer: Path) -> Recipe:
        """Return the recipe of this system, derived from that of the ARAE model."""
        adversary = recipe.adversary if self.adversarial else replace(recipe.adversary, weight=0.0)
        return replace(
            recipe,
            adversary=adversary,
            attribute=replace(recipe.attribute, weight=self.weight),
            training=replace(recipe.training, seed=seed),
            tokenizer=replace(recipe.tokenizer, model=str(tokenizer)),
        )


def make_systems(weights: Sequence[float]) -> list[System]:
    """Return the plain autoencoder, and an ARAE model for each weight of the classifier."""
    return [System(AUTOENCODER, False, 0.0), *(System(f"arae-{weight:g}", True, weight) for weight in weights)]


@dataclass(frozen=True)
class Training:
    """Training of one system.

    Attributes:
        system: Its name.
        seed: Its seed.
        sentences: The sentences that it saw.
        beginning: How many of them it saw as the plain autoencoder that all systems go on from.
        epochs: How often that is each sentence of the training split; the published trainings took 25.
        minutes: The minutes that took.
        run: Its folder.
    """

    system: str
    seed: int
    sentences: int
    beginning: int
    epochs: float
    minutes: float
    run: str


def train_systems(
    recipe: Recipe,
    systems: Sequence[System],
    seeds: Sequence[int],
    data: TrainingData,
    folder: Path,
    make_reporter: Callable[[System, int], AbstractContextManager[Reporter]],
    *,
    beginning: int = 0,
    device: str = "auto",
) -> list[Training] | None:
    """Train every system with every seed, or continue an interrupted training.

    Args:
        recipe: The recipe of the adversarially regularized system.
        systems: The systems.
        seeds: The seeds.
        data: What they learn from.
        folder: Where the runs are kept.
        make_reporter: Returns who shows a run.
        beginning: The sentences of the plain autoencoder that all systems of a seed go on from; 0: of none.
        device: Where to train.

    Returns:
        What became of each; None where one was interrupted.

    Raises:
        AraeError: The folder holds runs of another recipe or another beginning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep_plan(folder, {"beginning": beginning})
    tokenizer = folder / "tokenizer.model"
    if not tokenizer.is_file():
        train_tokenizer(recipe, data).save(tokenizer)
    corpus = sum(map(len, data.train.values()))
    trainings = []
    for seed in seeds:

        def train(system: System, resolved: Recipe, seed: int = seed, initial: Path | None = None) -> Path | None:
            run = folder / f"{system.name}-{seed}"
            finished = train_system(resolved, data, run, lambda: make_reporter(system, seed), initial, device)
            return run if finished else None

        initial, before, minutes = None, 0, 0.0
        if beginning > 0:
            plain = System(BEGINNING, False, 0.0)
            resolved = plain.recipe(recipe, seed, tokenizer.absolute())
            # Its learning rate does not fall: that of the systems does, to their end.
            training = replace(resolved.training, sentences=beginning, decay="none")
            initial = train(plain, replace(resolved, training=training))
            if initial is None:
                return None
            before, minutes = _seen(initial)
            initial = initial.absolute()  # a run that is resumed from elsewhere finds it again
        for system in systems:
            run = train(system, system.recipe(recipe, seed, tokenizer.absolute()), initial=initial)
            if run is None:
                return None
            seen, own_minutes = _seen(run)
            seen += before
            epochs = round(seen / corpus, 2)
            trainings.append(
                Training(system.name, seed, seen, before, epochs, round(minutes + own_minutes, 1), str(run))
            )
    return trainings


def train_system(
    recipe: Recipe,
    data: TrainingData,
    run: Path,
    make_reporter: Callable[[], AbstractContextManager[Reporter]],
    initial: Path | None,
    device: str,
) -> bool:
    """Train one system, or continue it, and return whether it is complete."""
    layout = RunLayout(run)
    started = layout.recipe.is_file() and layout.tokenizer.is_file()
    if started and load_recipe(layout.recipe, recorded=True) != recipe:
        raise AraeError(f"{run} was trained with another recipe", "give another --output, or remove that run's folder.")
    rows = recipe.training.batch_size * len(data.train)
    if layout.latest.is_file():
        # Known without reading the corpus again.
        step = load_state(find_checkpoint(layout, "latest"), layout).step
        if step >= max(1, recipe.training.sentences // rows):
            return True
    with make_reporter() as reporter:
        # All go on from the end of their beginning: its best checkpoint, by a score that asks for style too, may be one
        # from long before.
        trainer = Trainer(
            recipe,
            data,
            run,
            reporter,
            device=device,
            resume=started,
            initial=None if started else initial,
            initial_checkpoint="latest",
        )
        return trainer.train().finished


def _seen(run: Path) -> tuple[int, float]:
    """Return the number of training sentences of a run, and its minutes."""
    loaded = load_run(run, "latest")
    return loaded.state.step * loaded.recipe.training.batch_size * len(loaded.classes), loaded.state.minutes


def train_tokenizer(recipe: Recipe, data: TrainingData) -> Tokenizer:
    """Train the tokenizer of all systems."""
    if recipe.tokenizer.model:
        return Tokenizer.load(Path(recipe.tokenizer.model))
    lines = sample_lines(data.train, SAMPLED_LINES, recipe.training.seed)
    whole = [recipe.form.number] if recipe.form.number else []
    return Tokenizer.train(chain.from_iterable(lines.values()), recipe.tokenizer.vocabulary_size, whole=whole)


def measure_trainings(
    trainings: Sequence[Training],
    source: LabelledText,
    judge_text: LabelledText,
    folder: Path,
    progress: Callable[[str], None] = lambda message: None,
    options: EvaluationOptions | None = None,
) -> dict[str, Any]:
    """Measure the rewrites of trained systems, seed by seed, with the same instruments.

    Args:
        trainings: The trained systems.
        source: The split that is rewritten.
        judge_text: What judges and language model learn from.
        folder: Where rewrites (``rewrites/RUN/CLASS-to-CLASS.txt``) and numbers (``table.json``) go.
        progress: Called with what is being done.
        options: How to evaluate.

    Returns:
        What ``render`` reads: the trainings and, for each seed, its evaluation in the form of ``arae evaluate --json``.
    """
    evaluations = {}
    for seed in dict.fromkeys(training.seed for training in trainings):
        outputs = {}
        for training in trainings:
            if training.seed == seed:
                progress(f"{training.system} rewrites, seed {seed}")
                run = load_run(Path(training.run), "latest")
                outputs[training.system] = rewrite_by_run(run, source, training.system)
                write_output_folder(folder / "rewrites" / Path(training.run).name, outputs[training.system])
        evaluations[str(seed)] = to_data(evaluate(source, outputs, judge_text, options=options, progress=progress))
    table = {"trainings": [asdict(training) for training in trainings], "seeds": evaluations}
    write_text(folder / "table.json", json.dumps(table, ensure_ascii=False, indent=1) + "\n")
    return table


def render(table: Mapping[str, Any]) -> str:
    """Return the output of ``measure_trainings`` as Markdown, followed by the published rows."""
    seeds = table["seeds"]
    together = [evaluation["together"] for evaluation in seeds.values()]
    heads = ["system", *(head for _, head in COLUMNS)]
    rows = [heads, ["---", *("---:" for _ in COLUMNS)]]
    for name in together[0]["systems"]:
        rows.append([name, *(_cell([part["systems"][name] for part in together], key) for key, _ in COLUMNS)])
    for name in (COPY, REAL):
        rows.append([name, *(_cell([part["baselines"][name] for part in together], key) for key, _ in COLUMNS)])
    for name, (transfer, bleu, perplexity, reverse) in PUBLISHED:
        rows.append([f"published: {name}", f"{transfer}", "–", f"{bleu}", f"{perplexity}", f"{reverse}"])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    trained = [_told(training) for training in table["trainings"]]
    trends = [f"- {sentence}" for sentence in tell_trends(table)]
    first = next(iter(seeds.values()))
    notes = [*LEGEND[:3], f"Signature: {signature_line(first)}"]
    return "\n".join([*lines, "", *trends, "", "Trained: " + "; ".join(trained) + ".", "", *notes]) + "\n"


def _told(training: Mapping[str, Any]) -> str:
    shared = f", {training['beginning']:,} of them in common pretraining" if training["beginning"] else ""
    return (
        f"{training['system']}, seed {training['seed']}: {training['sentences']:,} sentences{shared} "
        f"({training['epochs']:.1f} of the published {PUBLISHED_EPOCHS} epochs), {training['minutes']:.1f} minutes"
    )


def _cell(scores: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return the mean over seeds, with the standard deviation for several."""
    values = [score[key]["value"] for score in scores if key in score]
    if not values:
        return "–"
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


Trend = Literal["holds", "is not confirmed"]
# What the paper's rows have in common: (measure, from which row to which, by how much it changes at least).
GAIN = 10.0


def tell_trends(table: Mapping[str, Any]) -> list[str]:
    """Return whether these systems show each trend of the published table, by means over the seeds."""
    together = [evaluation["together"]["systems"] for evaluation in table["seeds"].values()]
    names = list(together[0])

    def mean(name: str, *keys: str) -> float:
        values: list[float] = [part[name][key]["value"] for part in together for key in keys]
        return statistics.mean(values)

    transfer = {name: mean(name, "accuracy_linear", "accuracy_neural") for name in names}
    perplexity = {name: mean(name, "perplexity") for name in names}
    plain, *adversarial = names
    sentences = []
    if adversarial:
        gain = transfer[adversarial[0]] - transfer[plain]
        sentences.append(
            f"{adversarial[0]} raises transfer over {plain} by {GAIN:g} points and more: {_verdict(gain >= GAIN)} "
            f"({gain:+.1f})."
        )
    for weaker, stronger in pairwise(adversarial):
        gain = transfer[stronger] - transfer[weaker]
        sentences.append(f"{stronger} raises it over {weaker}: {_verdict(gain > 0)} ({gain:+.1f}).")
    if adversarial:
        steps = [perplexity[name] for name in names]
        falls = all(after < before for before, after in pairwise(steps))
        listed = ", ".join(f"{step:.1f}" for step in steps)
        sentences.append(f"Perplexity falls from row to row: {_verdict(falls)} ({listed}).")
    return sentences


def _verdict(holds: bool) -> Trend:
    return "holds" if holds else "is not confirmed"
