"""The exported folder: complete, readable by the runtime, never half-written, never written over something else."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from arae_transfer.errors import AraeError
from arae_transfer.export.export import export_model
from arae_transfer.export.external_weights import load_whole_graph
from arae_transfer.export.parity import probe_rows
from arae_transfer.export.weights import round_weights_for_storage
from arae_transfer.layout import ExportLayout
from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe, recipe_from_table, recipe_to_table
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.rewriter import Rewriter
from arae_transfer.tokenizer import Tokenizer

Make = Callable[..., tuple[ARAE, Recipe]]
Export = Callable[..., Any]


@pytest.fixture
def export(make_model: Make, tokenizer: Tokenizer, lines: list[str]) -> Export:
    """Export a tiny model; keyword arguments go to ``export_model``."""
    model, recipe = make_model()

    def run(destination: Path, **changes: Any) -> Any:
        settings = {"name": "tiny", "probe_lines": lines} | changes
        chosen = settings.pop("model", model)
        return export_model(chosen, settings.pop("recipe", recipe), tokenizer, destination, **settings)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("code", ["single", "superposed", "sequence"])
@pytest.mark.parametrize("weights", ["fp16", "fp32"])
def test_the_runtime_answers_as_the_model(
    make_model: Make, tokenizer: Tokenizer, lines: list[str], tmp_path: Path, code: str, weights: Any
) -> None:
    model, recipe = make_model(("bad", "fair", "good"), code=code, bidirectional=True)
    export_model(model, recipe, tokenizer, tmp_path / "tiny", name="tiny", probe_lines=lines, weights=weights)
    rewriter = Rewriter.load(tmp_path / "tiny", device="cpu", threads=1, variant="fp32")
    assert rewriter.classes == model.classes
    chosen = lines[::3]
    rows = [torch.tensor(row) for row in probe_rows(chosen, tokenizer, recipe.data.maximum_tokens)[0][: len(chosen)]]
    tokens, lengths = nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])
    for index, label in enumerate(model.classes):
        answers = round_weights_for_storage(model, weights).rewrite(tokens, lengths, index, 100).tolist()
        wanted = [" ".join(tokenizer.decode(answer).split()) for answer in answers]
        rewrites = list(rewriter.rewrites(chosen, label, form="corpus", long="truncate"))
        finished = [number for number, rewrite in enumerate(rewrites) if not rewrite.unfinished]
        assert len({rewrites[number].output for number in finished}) > 5
        for number, rewrite in enumerate(rewrites):
            output = " ".join(rewrite.output.split())
            assert output == wanted[number] if number in finished else wanted[number].startswith(output)


def test_the_description_fits_the_files(export: Export, tmp_path: Path) -> None:
    report = export(tmp_path / "tiny", scores={"style": 90.0}, training={"sentences": 100, "minutes": 2})
    layout = ExportLayout(tmp_path / "tiny")
    config = json.loads(layout.config.read_bytes())
    folder = ModelFolder.read(layout.root)
    assert set(contents(layout.root)) == {*config["files"], "config.json", "README.md", "LICENSE"}
    assert {name: record["bytes"] for name, record in config["files"].items()} == report.sizes
    for name, record in config["files"].items():
        assert hashlib.sha256(folder.read_file(name)).hexdigest() == record["sha256"]
    assert config["maximum_tokens"] == 12
    assert config["decoders"] == {"bad": "decoder.bad.onnx", "good": "decoder.good.onnx"}
    assert config["parity"]["compared"] == report.parity.compared > 0
    assert config["scores"] == {"style": 90.0}
    assert config["training"] == {"sentences": 100, "minutes": 2}
    stored = {name: each["weights"] for name, each in config["variants"].items()}
    assert stored == {"fp32": "fp16", "fp16": "fp16", "int8": "int8"}
    metadata = {entry.key: entry.value for entry in onnx.load(layout.decoder("good")).metadata_props}
    assert metadata == {
        "format": config["format"],
        "format_version": str(config["format_version"]),
        "name": "tiny",
        "arae_version": config["arae_version"],
        "part": "decoder",
        "class": "good",
    }
    assert layout.root.stat().st_mode & 0o077 == tmp_path.joinpath("tiny").stat().st_mode & 0o077 != 0


def test_the_recipe_travels_without_the_machine(make_model: Make, export: Export, tmp_path: Path) -> None:
    _, recipe = make_model()
    own = recipe_from_table(
        recipe_to_table(recipe) | {"tokenizer": {"model": str(tmp_path / "secret" / "pieces.model")}}
    )
    export(tmp_path / "tiny", recipe=own)
    for name, content in contents(tmp_path / "tiny").items():
        assert str(tmp_path).encode() not in content, name
    config = json.loads((tmp_path / "tiny" / "config.json").read_bytes())
    assert config["recipe"]["tokenizer"]["model"] == "pieces.model"
    assert recipe_from_table(config["recipe"]).model == recipe.model


def test_exporting_twice_gives_the_same_bytes(export: Export, tmp_path: Path) -> None:
    export(tmp_path / "one")
    export(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_fp16_halves_the_graphs(export: Export, tmp_path: Path) -> None:
    export(tmp_path / "half")
    export(tmp_path / "full", weights="fp32")
    # A decoder of fp16 matrices has a loop more, which lines leave.
    for name, nodes in (("encoder.onnx", 0), ("decoder.bad.onnx", 5000)):
        halved, whole = (load_whole_graph(ModelFolder.read(tmp_path / kind), name) for kind in ("half", "full"))
        half, full = ({each.name: len(each.raw_data) for each in graph.graph.initializer} for graph in (halved, whole))
        matrices = {each: size for each, size in half.items() if each.endswith(".fp16")}
        stored = sum(matrices.values())
        assert stored > 5000
        assert stored - nodes - 500 <= whole.ByteSize() - halved.ByteSize() <= stored + 500
        assert {each.removesuffix(".fp16"): 2 * size for each, size in matrices.items()} == {
            each: size for each, size in full.items() if f"{each}.fp16" in matrices
        }
        assert sum(size for each, size in half.items() if each not in matrices) < 5000


def test_the_model_is_not_changed(make_model: Make, export: Export, tmp_path: Path) -> None:
    model, recipe = make_model(dropout=0.5)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export(tmp_path / "tiny", model=model, recipe=recipe)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_class_names_become_file_names(make_model: Make, export: Export, tmp_path: Path) -> None:
    model, recipe = make_model(("50 % off", "très bien"))
    export(tmp_path / "tiny", model=model, recipe=recipe)
    rewriter = Rewriter.load(tmp_path / "tiny", device="cpu", threads=1)
    assert list(rewriter.transfer(["the soup"], to="très"))
    assert (tmp_path / "tiny" / "decoder.50%20%25%20off.onnx").is_file()


def add_one(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + 1.0


def test_a_model_that_the_graphs_do_not_follow_is_refused(make_model: Make, export: Export, tmp_path: Path) -> None:
    export(tmp_path / "tiny")
    before = contents(tmp_path / "tiny")
    model, recipe = make_model()
    # What a forward hook does is in no weight, so the graphs cannot know of it.
    model.encoder.projection.register_forward_hook(add_one)
    with pytest.raises(AraeError, match="do not answer as the model does"):
        export(tmp_path / "tiny", model=model, recipe=recipe)
    with pytest.raises(AraeError, match="do not answer as the model does"):
        export(tmp_path / "new", model=model, recipe=recipe)
    assert contents(tmp_path / "tiny") == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_weights_that_are_no_numbers_are_refused(make_model: Make, export: Export, tmp_path: Path) -> None:
    model, recipe = make_model()
    with torch.no_grad():
        model.decoder(1).first.get_parameter("weight_hh_l0")[0, 0] = float("nan")
    with pytest.raises(AraeError, match="not finite"):
        export(tmp_path / "tiny", model=model, recipe=recipe, weights="fp32")
    assert not list(tmp_path.iterdir())


def test_weights_too_large_for_fp16_are_refused(make_model: Make, export: Export, tmp_path: Path) -> None:
    model, recipe = make_model()
    with torch.no_grad():
        model.decoder(1).first.get_parameter("weight_hh_l0")[0, 0] = 1e6
    with pytest.raises(AraeError) as caught:
        export(tmp_path / "tiny", model=model, recipe=recipe)
    assert caught.value.hint == "use --weights fp32."
    assert not list(tmp_path.iterdir())
    export(tmp_path / "tiny", model=model, recipe=recipe, weights="fp32")


def test_an_earlier_export_is_replaced_as_a_whole(make_model: Make, export: Export, tmp_path: Path) -> None:
    export(tmp_path / "tiny")
    model, recipe = make_model(("calm", "wild"))
    export(tmp_path / "tiny", model=model, recipe=recipe)
    assert ModelFolder.read(tmp_path / "tiny").classes == ("calm", "wild")
    assert not (tmp_path / "tiny" / "decoder.bad.onnx").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_empty_folder_is_filled(export: Export, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    export(tmp_path / "tiny")
    assert ModelFolder.read(tmp_path / "tiny").name == "tiny"


def test_a_folder_that_is_no_export_is_left_alone(export: Export, tmp_path: Path) -> None:
    for name, file in {"thesis": "chapter.txt", "other": "config.json"}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / file).write_text('{"format": "another program"}')
        with pytest.raises(AraeError, match="no exported model"):
            export(folder)
        assert contents(folder) == {file: b'{"format": "another program"}'}


def test_a_stranger_file_in_an_export_is_not_lost(export: Export, tmp_path: Path) -> None:
    export(tmp_path / "tiny")
    (tmp_path / "tiny" / "notes.txt").write_text("mine")
    before = contents(tmp_path / "tiny")
    with pytest.raises(AraeError, match=r"notes\.txt"):
        export(tmp_path / "tiny")
    assert contents(tmp_path / "tiny") == before


def test_a_file_is_no_destination(export: Export, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AraeError, match="not a folder"):
        export(tmp_path / "file")
    with pytest.raises(AraeError, match="cannot write"):
        export(tmp_path / "file" / "tiny")
    assert (tmp_path / "file").read_text() == "mine"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the operating system refuse to let any file grow beyond a size, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_failing_disk_leaves_the_earlier_export(export: Export, tmp_path: Path) -> None:
    report = export(tmp_path / "tiny")
    before = contents(tmp_path / "tiny")
    size = max(report.sizes.values()) - 1000
    for name in ("tiny", "new"):
        with largest_file(size), pytest.raises(AraeError, match="cannot write"):
            export(tmp_path / name)
    assert contents(tmp_path / "tiny") == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
