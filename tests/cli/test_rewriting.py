"""`arae train rewriting`: someone else's corpus, by name."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.corpus.adaptation import adapt, find_writing
from arae_transfer.folders import find_recipe
from arae_transfer.layout import RunLayout
from arae_transfer.recipe import Recipe, load_recipe

TINY = [
    *("model.code_size=16", "model.embedding_size=16", "model.hidden_size=16", "adversary.generator_layers=[8]"),
    *("adversary.critic_layers=[8]", "attribute.layers=[8]", "training.batch_size=4", "validation.sentences=3"),
    *("training.sampled_softmax=60", "training.sentences=16", "parallel.sentences=40"),
]
THINGS = ("food", "soup", "staff", "room", "place", "price")


def invoke(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "comments"
    folder.mkdir()
    for label, words in (("neutral", ("Fine", "Nice", "Good")), ("toxic", ("Awful", "Dumb", "Vile"))):
        lines = [
            f"{word}, the {thing} {'really ' * times}wasn't {word.lower()}!"
            for word in words
            for thing in THINGS
            for times in range(4)
        ]
        (folder / f"train.{label}.txt").write_text("\n".join(lines * 3) + "\n", "utf-8")
    return folder


def train(corpus: Path, *more: str) -> str:
    settings = [word for setting in TINY for word in ("--set", setting)]
    status, _, said = invoke(
        "train", "rewriting", "--data", str(corpus), "--device", "cpu", "--threads", "1", *settings, *more
    )
    assert status == 0, said
    return said


def test_a_run_its_export_and_its_card_have_the_users_name(corpus: Path) -> None:
    said = train(corpus, "--name", "detox")
    run = Path("runs/rewriting/detox")
    recipe = load_recipe(RunLayout(run).recipe)
    assert (recipe.name, recipe.data.classes, recipe.data.writing) == ("detox", ("neutral", "toxic"), "ordinary")
    assert not recipe.data.adapt
    assert "found 2 classes: neutral (" in said
    assert "ordinary writing" in said
    export = shlex.split(said.splitlines()[-2])
    assert export == ["arae", "export", str(run), "-o", "exported/detox"]
    status, out, more = invoke(*export[1:], "--quiet")
    assert (status, out) == (0, "exported/detox\n"), more
    card = Path("exported/detox/README.md").read_text("utf-8")
    assert "# detox" in card
    assert "yelp" not in card.casefold()
    assert json.loads(Path("exported/detox/config.json").read_text("utf-8"))["name"] == "detox"


def test_the_printed_command_names_no_export_that_is_there(corpus: Path) -> None:
    for taken in ("detox", "detox-2"):
        (corpus.parent / "exported" / taken).mkdir(parents=True)
    said = train(corpus, "--name", "detox", "--set", "parallel.sentences=0")
    export, use = (shlex.split(line) for line in said.splitlines()[-2:])
    assert export[-1] == "exported/detox-3"
    assert use[use.index("--model") + 1] == "exported/detox-3"


def rewriting(*settings: str) -> Recipe:
    return load_recipe(find_recipe("rewriting"), settings)


@pytest.mark.parametrize(
    ("line", "writing"),
    [("the food was n't good .", "corpus"), ("The food wasn't good.", "ordinary"), ("cafe closed at 9pm", "ordinary")],
)
def test_the_way_of_writing_is_found(tmp_path: Path, line: str, writing: str) -> None:
    for label in ("a", "b"):
        (tmp_path / f"train.{label}.txt").write_text(f"{line}\n" * 30, "utf-8")
    assert find_writing(rewriting(), [str(tmp_path)]).data.writing == writing


def lines_of(count: int, words: int) -> dict[str, list[str]]:
    """Return lines of ten words out of a vocabulary of a size."""
    own = [" ".join(f"w{(line * 10 + place) % words}" for place in range(10)) for line in range(count)]
    return {"a": own, "b": own}


def test_a_recipe_is_sized_by_its_corpus() -> None:
    small, found = adapt(rewriting(), lines_of(500, 100), "mine", ())
    assert (small.tokenizer.vocabulary_size, small.parallel.sentences, small.training.sentences) == (1000, 1000, 60_000)
    assert "1,000 sentences" not in found
    middle, _ = adapt(rewriting(), lines_of(9_000, 3_000), "mine", ())
    assert (middle.tokenizer.vocabulary_size, middle.parallel.sentences) == (3300, 18_000)
    assert (middle.training.sentences, middle.validation.every) == (216_000, 43_200)
    large, _ = adapt(rewriting(), lines_of(60_000, 30_000), "mine", ())
    assert large.tokenizer == rewriting().tokenizer
    assert large.training == rewriting().training
    assert large.parallel == rewriting().parallel
    assert large.data.maximum_tokens == 40


def test_long_lines_get_room_and_what_the_user_set_stays() -> None:
    long = {label: [" ".join(["word"] * 50)] * 100 for label in ("a", "b")}
    assert adapt(rewriting(), long, "mine", ())[0].data.maximum_tokens == 66
    longer = {label: [" ".join(["word"] * 500)] * 100 for label in ("a", "b")}
    assert adapt(rewriting(), longer, "mine", ())[0].data.maximum_tokens == 80
    kept, _ = adapt(rewriting("training.sentences=7"), lines_of(500, 100), "mine", {"training.sentences"})
    assert kept.training.sentences == 7


def test_the_list_of_recipes_and_the_help_begin_with_it() -> None:
    assert invoke("train")[1].startswith("rewriting\t")
    assert "arae train rewriting --data" in invoke("train", "--help")[1]
