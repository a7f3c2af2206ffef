"""A description that is read whole or refused with a reason, and files that are what they were when exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.export_config import NEWEST_VERSION
from arae_transfer.layout import ExportLayout
from arae_transfer.runtime.model_folder import ModelFolder

Change = Callable[[dict[str, Any]], object]


def _edit(root: Path, change: Change) -> None:
    path = ExportLayout(root).config
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_a_good_description_is_read(small_model: Path) -> None:
    folder = ModelFolder.read(small_model)
    assert folder.classes == ("positive", "negative", "neutral tone", "endless")
    assert folder.read_file(folder.encoder) == ExportLayout(small_model).encoder.read_bytes()
    assert set(folder.decoders) == set(folder.classes)


@pytest.mark.parametrize("wish", ["positive", "POSITIVE", "pos", "P", "Pos"])
def test_a_class_is_known_by_its_unique_start(small_model: Path, wish: str) -> None:
    assert ModelFolder.read(small_model).match_class(wish) == "positive"


def test_a_whole_name_wins_over_a_longer_one(small_model: Path) -> None:
    def rename(config: dict[str, Any]) -> None:
        config["classes"] = ["pos", "positive", "POS2", "pos2"]
        config["decoders"] = dict.fromkeys(config["classes"], config["encoder"])

    _edit(small_model, rename)
    folder = ModelFolder.read(small_model)
    assert folder.match_class("pos") == "pos"
    assert folder.match_class("POS") == "pos"
    assert folder.match_class("posi") == "positive"
    assert folder.match_class("POS2") == "POS2"
    with pytest.raises(AraeError, match="POS2 or pos2"):
        folder.match_class("Pos2")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("ne", ("negative or neutral tone",)),
        ("positve", ("did you mean positive?", "positive, negative, neutral tone, endless")),
        ("", ("may mean",)),
        ("zzz", ("no class 'zzz'", "positive, negative, neutral tone, endless")),
    ],
)
def test_an_unknown_class_is_answered_with_those_that_exist(
    small_model: Path, wish: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(AraeError) as caught:
        ModelFolder.read(small_model).match_class(wish)
    assert all(word in str(caught.value) for word in words)


def test_a_newer_format_asks_for_an_upgrade(small_model: Path) -> None:
    _edit(small_model, lambda config: config.update(format_version=NEWEST_VERSION + 1))
    with pytest.raises(AraeError, match=f"format version {NEWEST_VERSION + 1}") as caught:
        ModelFolder.read(small_model)
    assert "upgrade" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"arae-export"', "{}", "\x00\xff", "[" * 100_000, "NaN"])
def test_a_description_that_is_none_is_refused(small_model: Path, text: str) -> None:
    path = ExportLayout(small_model).config
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(AraeError, match=r"config\.json"):
        ModelFolder.read(small_model)


KEYS = ("format_version", "name", "classes", "maximum_tokens", "encoder", "decoders", "tokenizer", "files", "form")


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(small_model: Path, key: str) -> None:
    _edit(small_model, lambda config: config.pop(key))
    with pytest.raises(AraeError, match=key):
        ModelFolder.read(small_model)


VALUES: tuple[object, ...] = (None, 1, -1.5, "", [], {}, [1], {"a": 1}, True)
SENSELESS = [
    (key, value)
    for key in KEYS
    for value in VALUES
    # The first format has number 1, and the keys of the form are known to its own reader alone.
    if not (key == "format_version" and value == 1 and value is not True)
    if not (key == "form" and isinstance(value, dict))
]


@pytest.mark.parametrize(("key", "value"), SENSELESS, ids=repr)
def test_a_senseless_value_never_escapes_as_another_exception(small_model: Path, key: str, value: object) -> None:
    _edit(small_model, lambda config: config.update({key: value}))
    with pytest.raises(AraeError, match=r"config\.json"):
        ModelFolder.read(small_model)


@pytest.mark.parametrize("name", ["../encoder.onnx", "/etc/passwd", "a\\b", "..", "."])
def test_a_file_outside_the_folder_is_refused(small_model: Path, name: str) -> None:
    def point(config: dict[str, Any]) -> None:
        config["files"][name] = config["files"][config["encoder"]]
        config["encoder"] = name

    _edit(small_model, point)
    with pytest.raises(AraeError, match="plain file name"):
        ModelFolder.read(small_model)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = [(_truncate, "bytes"), (_flip, "SHA-256"), (Path.unlink, "missing")]


@pytest.mark.parametrize(("damage", "word"), DAMAGES, ids=["truncated", "flipped", "missing"])
@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.neutral%20tone.onnx", "tokenizer.model"])
def test_a_damaged_file_is_never_read(small_model: Path, damage: Callable[[Path], None], word: str, name: str) -> None:
    folder = ModelFolder.read(small_model)
    damage(small_model / name)
    with pytest.raises(AraeError, match=f"{name}.*{word}"):
        folder.read_file(name)
