"""Images from IDX files to pictures, by the commands that a user types; the images are bars that the test draws."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner, Result

from arae_transfer.cli import app
from arae_transfer.folders import recipes_directory
from arae_transfer.layout import RunLayout
from arae_transfer.paper.images.picture import grid

SIDE = 8
MACHINE = ("--device", "cpu", "--threads", 1, "-q")
SETTINGS = [
    f"image.height={SIDE}",
    f"image.width={SIDE}",
    "image.encoder_layers=[32]",
    "image.decoder_layers=[32]",
    "model.code_size=8",
    "adversary.noise_size=4",
    "adversary.generator_layers=[16]",
    "adversary.critic_layers=[16]",
    "adversary.critic_updates=1",
    "training.batch_size=20",
    "training.sentences=1200",
    "training.learning_rate=1e-2",
    "validation.every=600",
    "validation.sentences=20",
    "validation.log_every=20",
]


def bars(number: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw images of a horizontal (label 0) or a vertical bar (label 1)."""
    images, labels = np.zeros((number, SIDE, SIDE), np.uint8), (np.arange(number) % 2).astype(np.uint8)
    for place, label in enumerate(labels):
        where = place // 2 % (SIDE - 1)
        if label:
            images[place, :, where : where + 2] = 255
        else:
            images[place, where : where + 2] = 255
    return images, labels


def write_folder(folder: Path, number: int = 200) -> Path:
    folder.mkdir(parents=True)
    for split, size in (("train", number), ("t10k", 28)):
        for kind, array in zip(("images-idx3", "labels-idx1"), bars(size), strict=True):
            head = bytes((0, 0, 8, array.ndim)) + b"".join(side.to_bytes(4, "big") for side in array.shape)
            (folder / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder


def arae(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(runs: Path, name: str, data: list[str], *settings: str) -> Path:
    sets = [word for setting in [*SETTINGS, *settings] for word in ("--set", setting)]
    sources = [word for source in data for word in ("--data", source)]
    done = arae("train", "mnist", "--runs", runs, "--name", name, *sources, *MACHINE, *sets)
    assert done.exit_code == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "bars")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "one", [str(data)])


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "bars"
    done = arae("export", run, "-o", folder)
    assert done.exit_code == 0, done.stderr
    assert "random" not in done.stderr  # the run's own held-out images were found
    return folder


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_a_run_learns_and_keeps_pictures(run: Path) -> None:
    records = [json.loads(line) for line in RunLayout(run).metrics.read_text("utf-8").splitlines()]
    losses = [record["train/reconstruction"] for record in records if "train/reconstruction" in record]
    assert losses[-1] < 0.5 * losses[0]
    assert {"train/real_variance", "train/generated_variance", "train/critic"} <= set().union(*records)
    assert {"valid/nll", "valid/pixels", "valid/code_distance", "diagnostics/code_use"} <= set().union(*records)
    pictures = sorted(RunLayout(run).sample_pictures.iterdir())
    assert [picture.name for picture in pictures] == ["00000030.png", "00000060.png"]
    assert size_of(pictures[0].read_bytes())[0] == 16 * SIDE + 15 * 2


@pytest.mark.parametrize("schedule", ["joint", "alternating"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    data: Path, tmp_path: Path, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        f"training.schedule={schedule}",
        "training.averaging=0.9",
        "training.sentences=240",
        "validation.every=120",
    ]
    whole = train(tmp_path, "whole", [str(data)], *settings)
    from arae_transfer.training.loop import Trainer

    original = Trainer._validate
    stopped: list[bool] = []

    def stop(self: Trainer) -> None:
        original(self)
        if not stopped:
            stopped.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_validate", stop)
    sets = [word for setting in [*SETTINGS, *settings] for word in ("--set", setting)]
    done = arae("train", "mnist", "--runs", tmp_path, "--name", "cut", "--data", data, *MACHINE, *sets)
    assert done.exit_code == 130
    done = arae("train", tmp_path / "mnist" / "cut", "--resume", *MACHINE)
    assert done.exit_code == 0, done.stderr
    for name in ("model.safetensors", "average.safetensors", "optimizers.safetensors"):
        first, second = (RunLayout(tmp_path / "mnist" / each).checkpoint(12) / name for each in ("whole", "cut"))
        assert first.read_bytes() == second.read_bytes()
    assert whole == tmp_path / "mnist" / "whole"


def test_a_model_without_an_adversary_reconstructs_and_says_that_it_cannot_sample(data: Path, tmp_path: Path) -> None:
    plain = train(tmp_path, "plain", [str(data)], "adversary.weight=0", "training.sentences=60", "validation.every=60")
    assert arae("export", plain, "-o", tmp_path / "plain", "-q").exit_code == 0
    done = arae("sample", "--model", tmp_path / "plain", "-o", tmp_path / "grid.png")
    assert done.exit_code == 1
    assert "has no generator" in done.stderr
    assert not (tmp_path / "grid.png").exists()


def test_classes_have_decoders_of_their_own(data: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "other", 60)
    sources = [f"first={data}", f"second={tmp_path / 'other'}"]
    two = train(tmp_path, "two", sources, "attribute.weight=1.0", "training.sentences=120", "validation.every=120")
    assert arae("export", two, "-o", tmp_path / "two", "-q").exit_code == 0
    for options, rows in (([], 2), (["--to", "sec"], 1)):
        done = arae(
            "interpolate", "noise:1", "noise:2", "--model", tmp_path / "two", "-n", 5, "-o", tmp_path / "p", *options
        )
        assert done.exit_code == 0, done.stderr
        assert size_of((tmp_path / "p").read_bytes()) == (5 * SIDE + 4 * 2, rows * SIDE + (rows - 1) * 2)


def test_images_are_not_searched_with_a_beam(run: Path, tmp_path: Path) -> None:
    done = arae("export", run, "-o", tmp_path / "beams", "--beam", 3)
    assert done.exit_code == 2
    assert "Option '--beam' is for rewriting" in done.stderr
    assert not (tmp_path / "beams").exists()
    (tmp_path / "lines.txt").write_text("the food was cold .\n")
    done = arae("export", run, "-o", tmp_path / "lists", "--sentences", tmp_path / "lines.txt")
    assert done.exit_code == 2
    assert "Option '--sentences' is for rewriting" in done.stderr
    assert not (tmp_path / "lists").exists()


def test_samples_are_a_grid_that_depends_on_the_seed_alone(exported: Path, tmp_path: Path) -> None:
    pictures = []
    for seed in (3, 3, 4):
        assert arae("sample", "--model", exported, "-n", 6, "--seed", seed, "-o", tmp_path / "g.png").exit_code == 0
        pictures.append((tmp_path / "g.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    wide, tall = size_of(pictures[0])
    assert (tall, wide) == grid(np.zeros((6, SIDE, SIDE), np.uint8)).shape


def test_a_walk_begins_and_ends_at_the_reconstructions(exported: Path, data: Path, tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib.image")
    from arae_transfer.paper.images.image_model import ImageModel

    file = data / "t10k-images-idx3-ubyte.gz"
    done = arae("interpolate", f"{file}:0", f"{file}:9", "--model", exported, "-n", 4, "-o", tmp_path / "p.png")
    assert done.exit_code == 0, done.stderr
    read = np.rint(matplotlib.imread(tmp_path / "p.png") * 255).astype(np.uint8)
    model = ImageModel.load(str(exported), device="cpu")
    values = model.read(file)
    back = model.picture(model.decode(model.encode(values[[0, 9]]), "images"))
    assert np.array_equal(read[:, :SIDE], back[0])
    assert np.array_equal(read[:, -SIDE:], back[1])
    # It learned what it was shown, so that this is a picture of the image.
    assert (back[0] == bars(28)[0][0]).mean() > 0.9


def test_sampling_imports_nothing_of_the_learning_half(exported: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom arae_transfer.cli.main import run\n"
        f"sys.argv = ['arae', 'sample', '--model', {str(exported)!r}, '-n', '4', '-o', {str(tmp_path / 'g.png')!r}]\n"
        "try:\n    run()\nfinally:\n    print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "onnxruntime" in done.stdout.split()
    assert not {"torch", "onnx", "safetensors", "scipy", "sklearn", "matplotlib"} & set(done.stdout.split())


def test_an_evaluation_knows_a_model_from_its_training_images(exported: Path, data: Path) -> None:
    done = arae("evaluate", exported, "--data", data, "--json", "-q", "--limit", 28)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["image_samples"]) == {"real images", "bars: generator", "bars: Gaussian fitted to its codes"}
    real = found["image_samples"]["real images"]
    assert found["judge"]["accuracy"] > 90
    assert real["copies"] == 100.0  # the test bars are all among the training bars
    assert real["nearest"] == 0.0
    assert 0 < found["image_models"]["bars"]["nll"] < SIDE * SIDE * np.log(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "--to", "images", "--model", "{model}"], "is a model of images, not of text"),
        (["bench", "transfer", "{model}"], "is a model of images, not of text"),
        (["sample", "--model", "{model}", "--to", "nothing", "-o", "x.png"], "has no class 'nothing'"),
        (["interpolate", "a cat", "a dog", "--model", "{model}", "-o", "x.png"], "'a cat' does not name an image"),
        (
            ["interpolate", "{data}/t10k-images-idx3-ubyte.gz:28", "noise:1", "--model", "{model}", "-o", "x.png"],
            "28 images",
        ),
        (
            ["interpolate", "{data}/t10k-labels-idx1-ubyte.gz:0", "noise:1", "--model", "{model}", "-o", "x.png"],
            "labels",
        ),
        (["evaluate", "{model}"], "--data is missing"),
        (["evaluate", "{model}", "yelp-sentiment", "--data", "{data}"], "is not a model of images"),
        (["diagnose", "{run}"], "run on images"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str],
    message: str,
    exported: Path,
    data: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = arae(*(word.format(model=exported, data=data, run=run) for word in arguments))
    assert done.exit_code == 1, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not (tmp_path / "x.png").exists()


def test_a_model_of_text_makes_no_pictures(pristine_model: Path) -> None:
    from arae_transfer.errors import AraeError
    from arae_transfer.paper.images.image_model import ImageModel

    with pytest.raises(AraeError, match="is a model of text, not of images"):
        ImageModel.load(str(pristine_model))


@pytest.mark.parametrize(
    ("setting", "message"),
    [("cycle.weight=1", "cycle.weight"), ("model.code=sequence", "model.code"), ("noise.drop=0.1", "noise.drop")],
)
def test_what_images_do_not_have_cannot_be_set(setting: str, message: str) -> None:
    done = arae("train", recipes_directory() / "mnist" / "recipe.toml", "--data", "x", "--set", setting)
    assert done.exit_code == 1
    assert f"{message} = " in done.stderr
    assert "has no effect" in done.stderr
