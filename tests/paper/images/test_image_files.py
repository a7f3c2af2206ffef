"""IDX files in, and what is said about those that cannot be used."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from arae_transfer.errors import AraeError
from arae_transfer.paper.images.image_files import (
    Bytes,
    Images,
    brightness,
    fingerprint_images,
    image_sources,
    quantize,
    read_idx,
    read_split,
)
from arae_transfer.recipe import Image

SHAPE = Image(height=4, width=3, held_out=0.2)


def idx(array: Bytes) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def pixels(number: int, height: int = 4, width: int = 3) -> Bytes:
    return np.random.default_rng(number).integers(0, 256, (number, height, width)).astype(np.uint8)


def write(folder: Path, name: str, array: Bytes, *, packed: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_come_back(tmp_path: Path, packed: bool) -> None:
    images, labels = pixels(5), np.arange(5, dtype=np.uint8)
    assert np.array_equal(read_idx(write(tmp_path, "a", images, packed=packed), 3), images)
    assert np.array_equal(read_idx(write(tmp_path, "b", labels, packed=packed), 1), labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "begins with 89504e47"),
        (b"\0\0\x0d\3" + bytes(12), "begins with 00000d03"),
        (idx(np.zeros(3, np.uint8)), "it has labels"),
        (idx(pixels(5))[:-1], r"5 x 4 x 3, 76 bytes in all, but it has 75"),
        (idx(pixels(5)) + b"x", "it has 77"),
        (b"\0\0\x08\3\0\0", "damaged"),
        (b"\0\0\x08\3" + b"\xff" * 12, "damaged"),
        (gzip.compress(idx(pixels(5)), mtime=0)[:-12], "cannot read"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(AraeError, match=message) as caught:
        read_idx(tmp_path / "file", 3)
    assert caught.value.hint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AraeError, match="cannot read"):
        read_idx(tmp_path / "nothing", 3)


def test_levels_divide_brightness_evenly_and_come_back_within_half_a_level() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert quantize(every, 2)[0].tolist() == [0] * 128 + [1] * 128
    for levels in (2, 3, 16, 256):
        values = quantize(every, levels)[0]
        assert set(np.bincount(values)) <= {256 // levels, 256 // levels + 1}
        back = brightness(values, levels).astype(int)
        assert np.abs(back - np.arange(256)).max() <= 256 / levels
        assert (back.min(), back.max()) == (0, 255)


def test_without_a_file_for_validation_the_last_images_are_held_out(tmp_path: Path) -> None:
    images, labels = pixels(10), np.arange(10, dtype=np.uint8)
    write(tmp_path, "train-images-idx3-ubyte", images)
    write(tmp_path, "train-labels-idx1-ubyte", labels, packed=False)
    [source] = image_sources([str(tmp_path)])
    train, train_labels = read_split(source, "train", SHAPE)
    valid, valid_labels = read_split(source, "valid", SHAPE)
    assert np.array_equal(np.concatenate([train.values, valid.values]), quantize(images, 2))
    assert train_labels is not None
    assert valid_labels is not None
    assert (train_labels.tolist(), valid_labels.tolist()) == (list(range(8)), [8, 9])
    write(tmp_path, "valid-images-idx3-ubyte", pixels(4))
    assert len(read_split(source, "train", SHAPE)[0]) == 10
    assert len(read_split(source, "valid", SHAPE)[0]) == 4


def test_mnists_own_name_of_the_test_split_is_known(tmp_path: Path) -> None:
    write(tmp_path, "t10k-images-idx3-ubyte", pixels(1))
    [source] = image_sources([str(tmp_path)])
    assert len(read_split(source, "test", SHAPE)[0]) == 1
    with pytest.raises(AraeError, match="no images for train: there is no train-images"):
        read_split(source, "train", SHAPE)


def test_images_of_another_size_are_refused_with_the_keys_to_set(tmp_path: Path) -> None:
    write(tmp_path, "train-images-idx3-ubyte", pixels(9, height=5))
    with pytest.raises(AraeError, match="5 x 3 pixels, not 4 x 3") as caught:
        read_split(image_sources([str(tmp_path)])[0], "train", SHAPE)
    assert "--set image.height=5 --set image.width=3" in str(caught.value.hint)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_class_of_hardly_any_images_is_refused(tmp_path: Path, number: int, split: str) -> None:
    write(tmp_path / "one", "train-images-idx3-ubyte", pixels(number))
    with pytest.raises(AraeError, match=rf"has {number} images?; a class needs at least 3"):
        read_split(image_sources([f"one={tmp_path / 'one'}"])[0], split, SHAPE)


def test_labels_that_do_not_belong_to_the_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "train-images-idx3-ubyte", pixels(9))
    write(tmp_path, "train-labels-idx1-ubyte", np.zeros(8, np.uint8))
    with pytest.raises(AraeError, match="8 labels for 9 images"):
        read_split(image_sources([str(tmp_path)])[0], "train", SHAPE)


def test_sources_have_classes(tmp_path: Path) -> None:
    for name in ("even", "odd", "a=b"):
        (tmp_path / name).mkdir()
    assert [source.name for source in image_sources([f"even={tmp_path}/even", f"odd={tmp_path}/odd"])] == [
        "even",
        "odd",
    ]
    assert image_sources([f"{tmp_path}/a=b"])[0].name == "images"
    with pytest.raises(AraeError, match="is not a folder"):
        image_sources([f"even={tmp_path}/none"])
    with pytest.raises(AraeError, match="given twice"):
        image_sources([str(tmp_path / "even"), str(tmp_path / "odd")])


def test_a_fingerprint_is_of_classes_sizes_and_pixels() -> None:
    first = Images(np.zeros((4, 6), np.uint8))
    others = [
        {"a": first},
        {"b": first},
        {"a": Images(np.zeros((6, 4), np.uint8))},
        {"a": Images(np.ones((4, 6), np.uint8))},
        {"a": first, "b": first},
    ]
    assert len({fingerprint_images(images) for images in others}) == len(others)
    assert fingerprint_images({"a": first}) == fingerprint_images({"a": Images(np.zeros((4, 6), np.uint8))})
