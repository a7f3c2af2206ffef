"""Read images from IDX files, the format of MNIST (LeCun and Cortes 1998), with numpy only."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arae_transfer.errors import AraeError
from arae_transfer.folders import expanded
from arae_transfer.recipe import Image

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

# How the files of each split begin; MNIST's own test split is called t10k.
SPLITS = {"train": ("train",), "valid": ("valid", "dev"), "test": ("test", "t10k")}
# The one class of images that came without a name.
ONLY_CLASS = "images"
# Two to learn from, because the variance of one is nothing, and one to look at.
FEWEST = 3
_GZIP = b"\x1f\x8b"
_KINDS = {3: "images", 1: "labels"}
_FILES = "give a folder of IDX files, such as train-images-idx3-ubyte.gz, or CLASS=FOLDER for each class."


def read_idx(path: Path, dimensions: int) -> Bytes:
    """Read an IDX file of bytes.

    Args:
        path: The file, packed by gzip or not, whatever its name says.
        dimensions: 3 for images (number, height, width), 1 for labels (number,).

    Raises:
        AraeError: It cannot be read, is another kind of file, or is not as long as its header says.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise AraeError(f"cannot read {path}: {reason}", "copy the file again.") from error
    magic = content[:4]
    if magic != bytes((0, 0, 8, dimensions)):
        found = next((name for number, name in _KINDS.items() if magic == bytes((0, 0, 8, number))), None)
        what = f"it has {found}" if found else f"it begins with {magic.hex() or 'nothing'}"
        raise AraeError(
            f"{path} is not an IDX file of {_KINDS[dimensions]}: {what}, not with 0000080{dimensions}"
            if found is None
            else f"{path} is not an IDX file of {_KINDS[dimensions]}: {what}",
            _FILES,
        )
    head = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[place : place + 4], "big") for place in range(4, head, 4))
    wanted = head + int(np.prod(shape, dtype=object))
    if len(content) != wanted:
        size = " x ".join(f"{number:,}" for number in shape)
        raise AraeError(
            f"{path} is damaged: its header says {size}, {wanted:,} bytes in all, but it has {len(content):,}",
            "copy the file again.",
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


@dataclass(frozen=True)
class Images:
    """Images of one class or split, each a row of pixels.

    Attributes:
        values: (images, pixels) levels, 0 black; rows of the image one after the other.
    """

    values: Bytes

    def __len__(self) -> int:
        return len(self.values)

    def lengths_of(self, indices: Integers) -> Integers:
        """Return the number of pixels, the same for all images, for each of some images."""
        return np.full(len(indices), self.values.shape[1], dtype=np.int64)

    def whole(self, indices: Integers) -> tuple[Integers, Integers]:
        """Return images as (batch, pixels) levels, and (batch,) numbers of pixels."""
        return self.values[indices].astype(np.int64), self.lengths_of(indices)


def quantize(images: Bytes, levels: int) -> Bytes:
    """Convert (images, height, width) bytes to (images, pixels) levels; two levels separate at half brightness."""
    rows = images.reshape(len(images), -1)
    return (rows.astype(np.uint32) * levels >> 8).astype(np.uint8)


def brightness(values: npt.ArrayLike, levels: int) -> Bytes:
    """Convert levels to bytes from black to white; fractions are levels in between."""
    return np.rint(np.asarray(values, dtype=np.float64) * (255.0 / (levels - 1))).astype(np.uint8)


@dataclass(frozen=True)
class ImageSource:
    """Class and folder of a ``--data`` value."""

    name: str
    folder: Path


def image_sources(wishes: Sequence[str]) -> list[ImageSource]:
    """Return the sources of ``FOLDER`` or ``CLASS=FOLDER`` values.

    Raises:
        AraeError: A folder does not exist, a class comes twice, or some of several folders have no class.
    """
    found: list[ImageSource] = []
    for wish in wishes:
        folder, name = expanded(wish), ONLY_CLASS
        if not folder.is_dir() and "=" in wish:
            name, _, rest = wish.partition("=")
            folder = expanded(rest)
        if not folder.is_dir():
            raise AraeError(f"{folder} is not a folder", _FILES)
        if any(source.name == name for source in found):
            raise AraeError(f"the class {name!r} is given twice", "give CLASS=FOLDER for each class.")
        found.append(ImageSource(name, folder))
    return found


def _find(source: ImageSource, split: str) -> Path | None:
    """Return a split's file of images in a folder, or None."""
    files = [
        path
        for path in sorted(source.folder.iterdir())
        if path.name.lower().startswith(SPLITS[split]) and "images" in path.name.lower() and path.is_file()
    ]
    if len(files) > 1:
        raise AraeError(
            f"{source.folder} has two files of images for {split}: {files[0].name} and {files[1].name}",
            "remove one of them.",
        )
    return files[0] if files else None


def labels_beside(path: Path) -> Path | None:
    """Return the file of labels for a file of images: ``images-idx3`` becomes ``labels-idx1``."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    candidates = [path.with_name(name), path.with_name(name.removesuffix(".gz")), path.with_name(f"{name}.gz")]
    return next((candidate for candidate in candidates if candidate != path and candidate.is_file()), None)


def _read_sized(path: Path, height: int, width: int) -> Bytes:
    images = read_idx(path, 3)
    if images.shape[1:] != (height, width):
        tall, wide = images.shape[1:]
        raise AraeError(
            f"the images of {path} are {tall} x {wide} pixels, not {height} x {width}",
            f"train with --set image.height={tall} --set image.width={wide}, or give other images.",
        )
    return images


def read_split(source: ImageSource, split: str, image: Image) -> tuple[Images, Bytes | None]:
    """Read a split of a class; without a file of its own, validation is the last part of the training images.

    Args:
        source: The class and its folder.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        image: The size that images must have, their levels, and the share of training images that is validation's.

    Returns:
        The images, and (images,) their labels where a file of labels lies beside theirs.

    Raises:
        AraeError: There is no such file, it is damaged, or its images are of another size or too few.
    """
    path = _find(source, split)
    part = slice(None)
    if path is None and split == "valid":
        path = _find(source, "train")
    if path is None:
        names = " or ".join(f"{start}-images-idx3-ubyte.gz" for start in SPLITS[split])
        raise AraeError(f"{source.folder} has no images for {split}: there is no {names}", _FILES)
    images = _read_sized(path, image.height, image.width)
    if split != "test":
        if len(images) < FEWEST:
            raise AraeError(
                f"{path} has {len(images)} {'image' if len(images) == 1 else 'images'}; a class needs at least "
                f"{FEWEST}",
                "give more images.",
            )
        if _find(source, "valid") is None:
            kept = len(images) - min(max(1, round(image.held_out * len(images))), len(images) - 2)
            part = slice(kept) if split == "train" else slice(kept, None)
    labels = None
    beside = labels_beside(path)
    if beside is not None:
        labels = read_idx(beside, 1)
        if len(labels) != len(images):
            raise AraeError(f"{beside} has {len(labels):,} labels for {len(images):,} images", "give matching files.")
        labels = labels[part]
    return Images(quantize(images[part], image.levels)), labels


def fingerprint_images(images: Mapping[str, Images]) -> str:
    """Return a hash of images by class."""
    digest = hashlib.sha256()
    for name, own in images.items():
        digest.update(name.encode("utf-8", "surrogatepass"))
        digest.update(np.array(own.values.shape, dtype=np.int64).tobytes())
        digest.update(own.values.tobytes())
    return digest.hexdigest()[:16]
