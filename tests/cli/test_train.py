"""`arae train` as its users meet it: runs that start, stop, continue, and mistakes that are named."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.errors import AraeError
from arae_transfer.folders import list_recipes
from arae_transfer.layout import RunLayout
from arae_transfer.recipe import load_recipe, recipe_keys
from arae_transfer.training.checkpoint import load_run
from arae_transfer.training.run_lock import lock_run

RECIPE = """
description = "A recipe for tests."

[tokenizer]
vocabulary_size = 300

[model]
code_size = 16
embedding_size = 16
hidden_size = 16

[adversary]
noise_size = 4
generator_layers = [8]
critic_layers = [8]
critic_updates = 1

[attribute]
layers = [8]

[training]
sentences = 48
batch_size = 4

[validation]
sentences = 4
probes = 1
log_every = 2
"""


class Done(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


def arae(*arguments: str) -> Done:
    """Run a command in this process, which is fast."""
    done = CliRunner().invoke(app, ["train", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def train(*arguments: str) -> Done:
    return arae("shop", "--data", "data", "--device", "cpu", "--threads", "1", *arguments)


def succeed(done: Done) -> Path:
    """Return the run that a successful command names."""
    assert done.status == 0, done.stderr
    return Path(done.stdout.removesuffix("\n"))


def fail(done: Done, *words: str) -> None:
    """Check that a command failed with one or two lines that hold these words."""
    assert done.status == 1
    assert done.stdout == ""
    assert 1 <= len(done.stderr.splitlines()) <= 2
    assert done.stderr.startswith("arae: ")
    for word in words:
        assert word in done.stderr


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds a recipe and a corpus of two classes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "recipe.toml").write_text(RECIPE, "utf-8")
    (tmp_path / "data").mkdir()
    for label, word in (("bad", "cold"), ("good", "warm")):
        lines = [
            f"the {thing} was {word} {end}" for thing in ("food", "soup", "tea", "room") for end in (".", "!", "?")
        ]
        (tmp_path / "data" / f"train.{label}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (tmp_path / "data" / f"valid.{label}.txt").write_text(f"the place was {word} .\n" * 3, "utf-8")
    return tmp_path


# --- a run


def test_a_run_is_trained_and_its_folder_is_the_answer() -> None:
    done = train("--name", "one")
    run = succeed(done)
    assert run == Path("runs/shop/one")
    assert load_run(run, "latest").state.step == 6
    assert load_run(run, "latest").classes == ("bad", "good")
    for text in (
        "bad · good · 18 sentences",  # two are held out for a test part, and four differ from them in punctuation alone
        "step 2/6",
        "step 6/6",
        "reconstruction=",
        "critic=",
        "validation at step 6: nll=",
        "(best)",
        "the place was cold . ▸",
        "▸ good: ",
        "finished runs/shop/one",
        "arae export runs/shop/one -o exported/shop",
        "arae transfer --model exported/shop --to good",
    ):
        assert text in done.stderr


def test_a_run_without_a_name_is_named_after_the_time() -> None:
    run = succeed(train("--set", "training.sentences=8", "--runs", "elsewhere"))
    assert run.parent == Path("elsewhere/shop")
    assert re.fullmatch(r"\d{8}-\d{6}", run.name)


def test_a_run_killed_before_its_recipe_was_written_can_begin_again() -> None:
    run = Path("runs/shop/one")
    run.mkdir(parents=True)
    for name in (".lock", "tokenizer.model", ".recipe.toml.abc.part"):
        (run / name).write_bytes(b"")
    assert succeed(train("--name", "one", "--set", "training.sentences=8")) == run
    other = Path("runs/shop/two")
    other.mkdir()
    (other / "notes.txt").write_text("mine", "utf-8")
    fail(train("--name", "two"), "the run runs/shop/two exists")


def test_a_run_of_before_is_continued_with_its_near_duplicates() -> None:
    run = succeed(train("--name", "one", "--set", "data.keep_near_duplicates=true", "--set", "training.sentences=8"))
    assert load_run(run, "latest").state.step == 1
    path = RunLayout(run).recipe
    kept = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("keep_near_duplicates")]
    path.write_text("\n".join(kept) + "\n", "utf-8")
    state = RunLayout(run).checkpoint(1) / RunLayout.STATE
    table = {key: value for key, value in json.loads(state.read_text("utf-8")).items() if key != "files"}
    state.write_text(json.dumps({**table, "format": 1}), "utf-8")
    RunLayout(run).latest.write_text('{"step": 1}', "utf-8")
    lengthen(run, 24)
    assert succeed(arae(str(run), "--resume", "--device", "cpu", "--threads", "1", "-q")) == run
    assert load_run(run, "latest").state.step == 3


def test_settings_go_into_the_run() -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8", "--set", "name=market"))
    assert run == Path("runs/market/one")
    recipe = load_recipe(RunLayout(run).recipe)
    assert recipe.training.sentences == 8
    assert recipe.name == "market"
    assert load_run(run, "latest").recipe == recipe


def test_quiet_says_nothing_but_the_answer() -> None:
    done = train("--name", "one", "--set", "training.sentences=8", "--quiet")
    assert done == Done(0, "runs/shop/one\n", "")


def test_the_data_may_be_files_of_classes() -> None:
    done = arae(
        "shop/recipe.toml",
        *("--data", "good=data/train.good.txt", "-d", "bad=data/train.bad.txt"),
        *("--set", "training.sentences=8", "--device", "cpu", "--threads", "1", "--name", "one"),
    )
    run = succeed(done)
    sources = json.loads(RunLayout(run).environment.read_text("utf-8"))["data"]
    assert sources == [f"{label}={Path.cwd() / 'data' / f'train.{label}.txt'}" for label in ("good", "bad")]


def test_the_projects_own_corpus_needs_no_data() -> None:
    done = arae(
        *("shop", "--set", "data.builtin=quickstart", "--set", "training.sentences=16"),
        *("--set", "tokenizer.vocabulary_size=400", "--device", "cpu", "--threads", "1", "--name", "one"),
    )
    run = succeed(done)
    assert len(load_run(run, "latest").classes) >= 2


# --- lists


def test_without_a_recipe_the_recipes_are_listed() -> None:
    done = arae()
    assert done.status == 0
    assert done.stderr == ""
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert sorted(name for name, _ in rows) == list(list_recipes())
    assert "quickstart" in dict(rows)
    assert all(description.endswith(".") for _, description in rows)


def test_all_keys_are_listed_with_their_defaults() -> None:
    done = arae("--list-keys")
    assert done.status == 0
    found = dict(line.split(" = ", 1) for line in done.stdout.splitlines())
    assert list(found) == list(recipe_keys())
    for key, text in found.items():
        default, documentation = text.split("\t")
        assert documentation == recipe_keys()[key][0]
        value: Any = recipe_keys()[key][1]
        assert json.loads(default) == (list(value) if isinstance(value, tuple) else value)


def test_lists_and_mistakes_need_no_heavy_import(place: Path) -> None:
    program = """
import sys
from typer.testing import CliRunner
from arae_transfer.cli import app
for arguments in ([], ["--list-keys"], ["--help"], ["missing"], ["shop", "--set", "x=1"], ["shop", "--resume"]):
    CliRunner().invoke(app, ["train", *arguments])
print(sorted({"torch", "onnx", "onnxruntime", "safetensors", "sklearn", "sacrebleu"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=place)
    assert done.stdout == "[]\n"


# --- mistakes


def test_an_unknown_recipe_names_the_nearest() -> None:
    fail(arae("quikstart"), "there is no recipe named 'quikstart'", "did you mean quickstart?")


def test_data_without_a_recipe_train_nothing_and_are_no_success() -> None:
    done = arae("--data", "data")
    assert (done.status, done.stdout) == (2, "")
    assert "Missing argument 'RECIPE'" in done.stderr


def test_other_classes_than_the_recipe_names_are_told_how_to_be_learnt() -> None:
    recipe = Path("shop/recipe.toml")
    recipe.write_text(RECIPE.replace("[model]", '[data]\nclasses = ["cold", "it\'s"]\n\n[model]'), "utf-8")
    done = train("-q")
    fail(done, "there is no class 'cold'", "its classes are: bad, good")
    setting = shlex.split(done.stderr.partition("to learn these, add ")[2])
    assert load_run(succeed(train("-q", *setting)), "latest").classes == ("bad", "good")


def test_a_recipe_without_data_says_what_to_give() -> None:
    fail(arae("shop"), "the recipe shop needs data", "give --data CLASS=FILE")


def test_data_that_is_not_there_is_named() -> None:
    fail(arae("shop", "--data", "nowhere"), "nowhere")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.batchsize=4", ["there is no key training.batchsize", "the nearest key is training.batch_size"]),
        ("training.batch_size=four", ["training.batch_size = 'four' must be a whole number"]),
        ("training.batch_size=0", ["training.batch_size = 0 must be at least 1"]),
        ("training.batch_size", ["does not have the form section.key=value"]),
    ],
)
def test_a_wrong_setting_is_named(setting: str, words: list[str]) -> None:
    fail(train("--set", setting), *words)
    assert not Path("runs").exists()


def test_a_damaged_recipe_is_named() -> None:
    Path("shop/recipe.toml").write_text("[model\n", "utf-8")
    fail(train(), "shop/recipe.toml is not a TOML file")


def test_a_device_that_is_not_there_is_named() -> None:
    fail(arae("shop", "--data", "data", "--device", "gpu", "-q"), "there is no device 'gpu'", "--device auto, cpu")


def test_a_run_that_exists_is_not_trained_over() -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    before = RunLayout(run).metrics.read_bytes()
    fail(train("--name", "one"), f"the run {run} exists", f"continue it with `arae train {run} --resume`")
    fail(arae(str(run), "--data", "data"), f"the run {run} exists", "--resume")
    assert RunLayout(run).metrics.read_bytes() == before


def test_a_file_in_the_runs_place_is_not_trained_over() -> None:
    Path("runs/shop").mkdir(parents=True)
    Path("runs/shop/one").write_text("x", "utf-8")
    fail(train("--name", "one"), "the run runs/shop/one exists")


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_is_trained_by_one_process_at_a_time(resume: bool) -> None:
    run = Path("runs/shop/one")
    more = ["--resume"] if resume else []
    if resume:
        succeed(train("--name", "one", "--set", "training.sentences=8"))
        lengthen(run, 24)
        before = RunLayout(run).metrics.read_bytes()
    with lock_run(RunLayout(run), resume=resume):
        fail(train("--name", "one", "-q", *more), "the run runs/shop/one is being trained by another process", "--name")
        if resume:
            assert RunLayout(run).metrics.read_bytes() == before
    succeed(train("--name", "one", *more))  # the other one has gone


def test_a_killed_process_holds_its_run_no_longer() -> None:
    program = (
        "import sys, pathlib\nfrom arae_transfer.layout import RunLayout\n"
        "from arae_transfer.training.run_lock import lock_run\n"
        "with lock_run(RunLayout(pathlib.Path(sys.argv[1])), resume=False): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", program, "runs/shop/one"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        fail(train("--name", "one", "-q"), "is being trained by another process")
        process.kill()
    succeed(train("--name", "one", "--set", "training.sentences=8"))


def test_a_run_that_another_process_finished_meanwhile_is_not_trained_over() -> None:
    layout = RunLayout(succeed(train("--name", "one", "--set", "training.sentences=8")))
    with pytest.raises(AraeError, match="exists: another process"), lock_run(layout, resume=False):
        pytest.fail("the run was claimed")


def test_a_claim_without_a_run_leaves_nothing_behind() -> None:
    for resume in (False, True):
        with lock_run(RunLayout(Path("runs/shop/one")), resume=resume):
            pass
        assert not Path("runs/shop/one").exists()


def test_resume_needs_something_to_resume() -> None:
    done = arae("--resume")
    assert done.status == 2
    assert "--resume needs a recipe or the folder of a run" in done.stderr
    fail(train("--resume"), "there is no run in runs/shop", "without --resume")
    succeed(train("--name", "one", "--set", "training.sentences=8"))
    fail(train("--resume", "--name", "two"), "there is no run two in runs/shop")
    fail(
        arae("runs/shop/two", "--resume"), "neither a run nor a recipe named 'runs/shop/two'", "in runs: runs/shop/one"
    )


def test_a_run_that_is_continued_keeps_its_recipe() -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    fail(
        arae(str(run), "--resume", "--set", "training.sentences=80"),
        "--set cannot change the recipe of a run that is continued",
    )


def test_the_recipe_of_a_recipe_folder_is_no_run() -> None:
    fail(arae("shop", "--resume"), "there is no run in runs/shop")


# --- continued


def lengthen(run: Path, sentences: int) -> None:
    """Make a finished run look as if it had been stopped on its way."""
    path = RunLayout(run).recipe
    path.write_text(re.sub(r"(?m)^sentences = 8$", f"sentences = {sentences}", path.read_text("utf-8")), "utf-8")


def test_a_run_continues_from_anywhere_without_being_told_its_data(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    lengthen(run, 24)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    done = arae(str(place / run), "--resume", "--device", "cpu", "--threads", "1")
    assert succeed(done) == place / run
    assert f"continuing {place / run} at step 1 of 3" in done.stderr
    assert load_run(place / run, "latest").state.step == 3
    assert json.loads(RunLayout(place / run).environment.read_text("utf-8"))["data"] == [str(place / "data")]


def test_the_newest_run_of_a_recipe_continues() -> None:
    for name in ("b", "c", "a"):
        lengthen(succeed(train("--name", name, "--set", "training.sentences=8")), 24)
        time.sleep(0.02)
    assert succeed(train("--resume")) == Path("runs/shop/a")
    assert succeed(train("--resume", "--name", "c")) == Path("runs/shop/c")
    assert load_run(Path("runs/shop/b"), "latest").state.step == 1


def test_other_data_are_refused() -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    lengthen(run, 24)
    with Path("data/train.bad.txt").open("a", encoding="utf-8") as file:
        file.write("the tea was cold indeed .\n")
    done = arae(str(run), "--resume", "--device", "cpu", "--threads", "1", "-q")
    fail(done, f"{run} was trained on other data", "give the same --data")
    shutil.rmtree("data")
    fail(arae(str(run), "--resume", "--device", "cpu", "--threads", "1", "-q"), str(Path("data").absolute()))


def test_a_damaged_checkpoint_names_the_other() -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    checkpoint = RunLayout(run).checkpoint(1)
    model = checkpoint / RunLayout.MODEL
    model.write_bytes(model.read_bytes()[:-9])
    fail(arae(str(run), "--resume", "-q", "--device", "cpu"), f"{model} is damaged", "no other checkpoint")


# --- started from another run


def test_from_needs_a_run_and_begins_a_new_one() -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    other = succeed(train("--name", "two", "--set", "training.sentences=8", "--from", str(run)))
    assert other != run
    assert RunLayout(other).tokenizer.read_bytes() == RunLayout(run).tokenizer.read_bytes()
    third = succeed(train("--name", "three", "--set", "training.sentences=8", "--from", f"{run}:latest"))
    for name, which in ((other, "best"), (third, "latest")):
        environment = json.loads(RunLayout(name).environment.read_text("utf-8"))
        assert (environment["initial"], environment["initial_checkpoint"]) == (str(run.absolute()), which)
    fail(train("--name", "four", "--from", "nowhere"), "nowhere is neither a run nor an exported model")
    done = arae(str(run), "--resume", "--from", str(run))
    assert done.status == 2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("tokenizer.vocabulary_size=290", "--set tokenizer.vocabulary_size has no effect: the tokenizer of"),
        ("training.initialization=scaled", "--set training.initialization has no effect: the weights of"),
    ],
)
def test_a_key_beside_from_that_has_no_effect_is_refused(setting: str, said: str) -> None:
    run = succeed(train("--name", "one", "--set", "training.sentences=8"))
    fail(train("--name", "two", "--set", setting, "--from", str(run)), said, str(run), "leave")
    assert not Path("runs/shop/two").exists()


def test_printed_commands_can_be_pasted_into_a_shell() -> None:
    for split in ("train", "valid"):
        Path(f"data/{split}.good.txt").rename(f"data/{split}.not so good.txt")
    done = train("--name", "the first", "--set", "training.sentences=8", "--set", "name=my shop")
    assert succeed(done) == Path("runs/my shop/the first")
    export, use = (shlex.split(line) for line in done.stderr.splitlines()[-2:])
    assert export == ["arae", "export", "runs/my shop/the first", "-o", "exported/my shop"]
    assert use == ["arae", "transfer", "--model", "exported/my shop", "--to", "not so good"]
    done = arae("my shop/recipe.toml", "--data", "data")
    again = arae("runs/my shop/the first")
    assert "arae train 'runs/my shop/the first' --resume" in again.stderr


def test_an_encoding_becomes_a_key_of_the_run() -> None:
    for path in Path("data").iterdir():
        path.write_bytes(path.read_text("utf-8").replace("was", "wäs").encode("latin-1"))
    assert "--encoding latin-1" in train("--name", "one", "--set", "training.sentences=8").stderr
    done = train("--name", "two", "--set", "training.sentences=8", "--encoding", "latin-1")
    assert load_recipe(RunLayout(succeed(done)).recipe).data.encoding == "latin-1"
    assert "wäs cold" in done.stderr
    fail(train("--name", "three", "--encoding", "utf-16"), "cannot be split into lines", "iconv")


# --- interrupted


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-m", "arae_transfer", "train", *arguments, "--device", "cpu", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_an_interrupted_run_saves_and_says_how_to_continue() -> None:
    process = start("shop", "--data", "data", "--name", "a run", "--set", "training.sentences=8_000_000")
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("step 4/"):
            process.send_signal(signal.SIGINT)
            break
    stdout, stderr = process.communicate(timeout=60)
    said.append(stderr)
    assert process.returncode == 130, "".join(said)
    assert stdout == "runs/shop/a run\n"
    assert "Traceback" not in "".join(said)
    last = stderr.splitlines()[-1]
    stopped = re.fullmatch(r"stopped at step ([\d,]+); continue with: arae train (.*)", last)
    assert stopped is not None, last
    step = int(stopped[1].replace(",", ""))
    assert step >= 4
    run = Path("runs/shop/a run")
    assert load_run(run, "latest").state.step == step
    # The command that it names continues the run.
    path = RunLayout(run).recipe
    text = path.read_text("utf-8").replace("sentences = 8000000", f"sentences = {8 * (step + 3)}")
    path.write_text(text, "utf-8")
    done = arae(*shlex.split(stopped[2]), "--device", "cpu", "--threads", "1")
    assert succeed(done) == run
    assert load_run(run, "latest").state.step == step + 3
    records = [json.loads(line) for line in RunLayout(run).metrics.read_text("utf-8").splitlines()]
    steps = [record["step"] for record in records if "train/reconstruction" in record]
    assert steps == sorted(set(steps))


@contextmanager
def every_core() -> Iterator[None]:
    """Let processes that are started use all cores, where this one may use a single one."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    yield
    os.sched_setaffinity(0, own)


def _living_members(group: int) -> list[str]:
    """Return the processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    members = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [" ".join(member) for member in members if int(member[0]) == group and not member[1].startswith("Z")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_ctrl_c_ends_the_search_for_pairs_and_its_processes() -> None:
    """A terminal sends it to the whole group; nobody answers with a traceback, and nobody is left."""
    command = [sys.executable, "-m", "arae_transfer", "train", "quickstart", "--name", "one", "--device", "cpu"]
    command += ["--set", "parallel.sentences=16_000", "--set", "parallel.known_sentences=500"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with every_core():  # a process each
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if re.match(r"rewrites searched: [1-9]", line):
            os.killpg(process.pid, signal.SIGINT)
            break
    stdout, stderr = process.communicate(timeout=300)
    said.append(stderr)
    assert process.returncode == 130, "".join(said)
    assert stdout == ""
    assert "Traceback" not in "".join(said)
    deadline = time.monotonic() + 20
    while living := _living_members(process.pid):
        assert time.monotonic() < deadline, living
        time.sleep(0.1)
    run = Path("runs/quickstart/one")
    assert not RunLayout(run).pairs.exists()
    assert RunLayout(run).tokenizer.is_file()  # `arae train … --resume` finds a run here


def test_a_classification_trains_on_one_device() -> None:
    done = arae("yelp-classification", "--devices", "2", "--data", "data")
    fail(done, "yelp-classification is a classification, which trains on one device")
    assert not Path("runs").exists()


GIVEN = "bad-to-good=given.tsv"
JOINT = ("--set", "training.schedule=joint")


def test_pairs_that_are_given_are_learned_from_and_kept(place: Path) -> None:
    rows = [("the food was cold .", "the food was warm ."), ("the tea was cold !", "the tea was lovely !")]
    (place / "given.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in rows), "utf-8")
    (place / "back.tsv").write_text("the soup was warm .\tthe soup was cold .\nwarm\twarm\n\t\n", "utf-8")
    run = succeed(train("--name", "one", *JOINT, "--examples", GIVEN, "--examples", "good-to-bad=back.tsv"))
    kept = RunLayout(run).pairs.read_text("utf-8").splitlines()
    # What would teach to copy, or nothing, is left out.
    assert kept[1:] == [
        "bad\tthe food was cold .\tgood\tthe food was warm .",
        "bad\tthe tea was cold !\tgood\tthe tea was lovely !",
        "good\tthe soup was warm .\tbad\tthe soup was cold .",
    ]
    assert '"train/pairs"' in RunLayout(run).metrics.read_text("utf-8")
    # To go on needs no pairs again, agrees with the same ones and refuses others.
    succeed(arae(str(run), "--resume", "--data", "data", "--quiet"))
    succeed(
        arae(
            str(run), "--resume", "--data", "data", "--quiet", "--examples", GIVEN, "--examples", "good-to-bad=back.tsv"
        )
    )
    fail(
        arae(str(run), "--resume", "--data", "data", "--quiet", "--examples", GIVEN),
        "other parallel examples",
        "--name",
    )
    assert RunLayout(run).pairs.read_text("utf-8").splitlines() == kept
    # The same pairs, as a run keeps them.
    again = succeed(train("--name", "two", *JOINT, "--pairs", str(RunLayout(run).pairs)))  # the old name
    assert RunLayout(again).pairs.read_text("utf-8").splitlines() == kept


@pytest.mark.parametrize(
    ("value", "content", "words"),
    [
        ("bad-to-fair=given.tsv", "a\tb\n", ("bad-to-good", "good-to-bad")),
        ("missing.tsv", "a\tb\n", ("no such file", "bad-to-good")),
        (GIVEN, "a\tb\nonly a sentence\n", ("line 2", "1 columns")),
        (GIVEN, "a\ta\n", ("no rewrite that differs from its sentence",)),
        ("given.tsv", "a\tb\n", ("given.tsv is not a file of parallel examples",)),
        ("given.tsv", "class\tsentence\trewrite_class\trewrite\nbad\ta\tfair\tb\n", ("'fair'", "bad, good")),
    ],
)
def test_pairs_that_cannot_be_used_are_named(place: Path, value: str, content: str, words: tuple[str, ...]) -> None:
    (place / "given.tsv").write_text(content, "utf-8")
    fail(train("--quiet", *JOINT, "--examples", value), *words)


def test_a_schedule_without_pairs_refuses_them(place: Path) -> None:
    (place / "given.tsv").write_text("a\tb\n", "utf-8")
    fail(train("--quiet", "--examples", GIVEN), "does not learn from parallel examples")


EDITOR = (
    "task=editing",
    "data.writing=ordinary",
    "form.lower_case=true",
    "form.tokens=penn-treebank",
    "model.encoder=transformer",
    "model.code=sequence",
    "model.code_noise=0",
    "model.attention_heads=2",
    "model.encoder_layers=2",
    "model.frozen_layers=1",
    "adversary.weight=0",
    "attribute.weight=0",
    "quality.layers=1",
    "training.schedule=joint",
    "training.optimizer=adam",
)


def test_examples_and_ratings_are_kept_in_the_text_format_of_the_corpus(place: Path) -> None:
    rows = [("The food wasn't cold.", "The food wasn't warm."), ("It's cold!", "It's lovely!")]
    (place / "given.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in rows * 8), "utf-8")
    rated = "class\toverall\tsource\trewrite\ngood\t4.5\tIt's cold.\tIt's warm.\nbad\t2\tWarm!\tCold!\n"
    (place / "rated.tsv").write_text(rated, "utf-8")
    settings = [part for value in EDITOR for part in ("--set", value)]
    run = RunLayout(succeed(train("--quiet", *settings, "--examples", GIVEN, "--ratings", "rated.tsv")))
    kept = set(run.pairs.read_text("utf-8").splitlines()[1:])
    assert kept == {
        "bad\tthe food was n't cold .\tgood\tthe food was n't warm .",
        "bad\tit 's cold !\tgood\tit 's lovely !",
    }
    assert run.ratings.read_text("utf-8").splitlines() == [
        "class\tsource\trewrite\taccepted",
        "good\tit 's cold .\tit 's warm .\t1",
        "bad\twarm !\tcold !\t0.02",
    ]
