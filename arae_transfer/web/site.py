"""A folder with a page that rewrites in the browser alone, by onnxruntime-web."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import arae_transfer
from arae_transfer.atomic import explain_write_failure, replace_directory
from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import FP32, INT8, Variant
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.preparation import load_tokenizer, make_normalizer
from arae_transfer.tokenizer import Tokenizer
from arae_transfer.web.page import render_page, render_worker
from arae_transfer.web.runtime import WebRuntime

PAGE, WORKER, SUMS, WORDS = "index.html", "offline.js", "SHA256SUMS", "model/words.txt"
TITLE = "<title>arae · rewrite text in this page</title>"
LONGEST_WORD = 8
"""Tokens of the longest word that a page knows; longer ones are in no answer that it gives."""


def write_site(folder: ModelFolder, runtime: WebRuntime, destination: Path) -> dict[str, int]:
    """Write the folder, replacing an earlier one of this kind.

    Args:
        folder: A model that rewrites.
        runtime: The onnxruntime-web that runs its graphs.
        destination: Where it goes.

    Returns:
        The size of each file in bytes.

    Raises:
        AraeError: The model is none that a page can run, is damaged, or the destination holds anything else or cannot
            be written.
    """
    check_site(destination)
    contents = site_contents(folder, runtime)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as place:
            staged = Path(place) / destination.name  # a folder inside, because temporary ones are private
            for name, content in contents.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                with (staged / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            replace_directory(staged, destination)
    except OSError as error:
        raise explain_write_failure(destination, error) from error
    return {name: len(content) for name, content in contents.items()}


def check_site(destination: Path) -> None:
    """Make sure that writing a folder destroys nothing but an earlier page.

    Raises:
        AraeError: The destination is a file, or a folder that holds anything that was not written by ``write_site``.
    """
    try:
        if not destination.exists() and not destination.is_symlink():
            return
        found = {path.relative_to(destination).as_posix() for path in destination.rglob("*") if not path.is_dir()}
        # Other folders hold lists of checksums, too.
        is_page = PAGE in found and TITLE in (destination / PAGE).read_text("utf-8", "replace")
        listed = (destination / SUMS).read_text("utf-8").splitlines() if SUMS in found and is_page else []
    except NotADirectoryError as error:
        raise AraeError(f"{destination} is not a folder", "choose another destination.") from error
    except (OSError, ValueError) as error:
        raise AraeError(f"cannot read {destination}: {error}", "choose another destination.") from error
    if destination.is_file():
        raise AraeError(f"{destination} is not a folder", "choose another destination.")
    foreign = sorted(found - {line[66:] for line in listed} - ({SUMS} if listed else set()))
    if foreign:
        raise AraeError(
            f"{destination} holds {foreign[0]}, which writing the page would remove",
            "move it out of the folder, or choose another destination.",
        )


def site_contents(folder: ModelFolder, runtime: WebRuntime) -> dict[str, bytes]:
    """Return the files of a page, by their paths.

    Raises:
        AraeError: The model is none that a page can run, or is damaged.
    """
    folder.require_rewriting()
    if folder.edits:
        raise AraeError(
            f"the model {folder.name} edits lines, which the page cannot do",
            "choose a model that writes token by token, such as yelp-sentiment.",
        )
    variant_name, variant = _variant(folder)
    folder.fetch(variant_name)
    tokenizer = load_tokenizer(folder)
    if not tokenizer.reads_words:
        raise AraeError(
            f"the page cannot read the tokenizer of the model {folder.name}",
            "it reads byte-pair encoding as `arae train` makes it: train the model with a tokenizer of its own.",
        )
    contents = {
        "runtime/ort.js": runtime.script,
        "runtime/ort.wasm": runtime.binary,
        "runtime/LICENSE": runtime.license.encode(),
    }
    weights = [*filter(None, (variant.weights,)), *variant.class_weights.values()]
    for name in (variant.encoder, *variant.decoders.values(), folder.tokenizer, *weights):
        contents[f"model/{name}"] = folder.read_file(name)
    words = _words(folder, tokenizer)
    if words:
        contents[WORDS] = "\n".join(words).encode()
    for name in ("README.md", "LICENSE"):
        path = folder.root / name
        contents[f"model/{name}"] = path.read_bytes() if path.is_file() else b"Nothing is said of this model.\n"
    config = _config(folder, variant_name, runtime.version, contents)
    contents[PAGE] = render_page(config).encode()
    plain = [quote(name) for name in contents if name.endswith(("LICENSE", "README.md"))]
    contents[WORKER] = render_worker(["./", *plain, *_addresses(config)]).encode()
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(contents.items()))
    return {**contents, SUMS: sums.encode()}


def _config(folder: ModelFolder, variant_name: str, runtime: str, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the page knows of the model and its files."""

    def record(name: str) -> dict[str, Any]:
        content = contents[name]
        return {"path": quote(name), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def stored(name: str) -> dict[str, Any]:
        """Describe a file of weights, with the name that graphs know it by."""
        return {**record(f"model/{name}"), "stored": name}

    variant = folder.variants[variant_name]
    form = make_normalizer(folder, "auto").form
    return {
        "version": arae_transfer.__version__,
        "name": folder.name,
        "variant": variant_name,
        "classes": folder.classes,
        "maximum_tokens": folder.maximum_tokens,
        "form": {
            "lower_case": form.lower_case,
            "number": form.number,
            # Lines are read as they are: ordinary writing is brought to the Treebank's form alone.
            "corpus": form.tokens != "penn-treebank",
        },
        "runtime": {"version": runtime, "script": record("runtime/ort.js"), "wasm": record("runtime/ort.wasm")},
        "model": {
            "tokenizer": record(f"model/{folder.tokenizer}"),
            "words": record(WORDS) if WORDS in contents else None,
            "weights": stored(variant.weights) if variant.weights else None,
            "encoder": record(f"model/{variant.encoder}"),
            "decoders": {name: record(f"model/{variant.decoders[name]}") for name in folder.classes},
            "class_weights": {name: stored(file) for name, file in variant.class_weights.items()},
        },
    }


def _variant(folder: ModelFolder) -> tuple[str, Variant]:
    """Return the graphs that a page runs: in 8 bits, a third of the download, where they were found close enough."""
    small = folder.variants.get(INT8)
    if small is not None and small.accepted:
        return INT8, small
    if FP32 not in folder.variants:
        raise AraeError(
            f"the model {folder.name} has no graphs that a browser can run", f"export it again: {quoted(folder.root)}"
        )
    return FP32, folder.variants[FP32]


def _words(folder: ModelFolder, tokenizer: Tokenizer) -> list[str]:
    """Return the words of the corpus, as far as the model's language models know them; none where it has none."""
    from arae_transfer.language_model.compact import CompactLanguageModel

    found: set[tuple[int, ...]] = set()
    for name in (folder.language_models or {}).values():
        found.update(
            map(tuple, CompactLanguageModel(folder.read_file(name)).words(tokenizer.begins_word, LONGEST_WORD))
        )
    rows = [list(ids) for ids in found]
    words = tokenizer.decode_rows(rows)
    # Other pieces of the same letters are never asked for.
    read = tokenizer.encode_lines(words, threads=1)
    return sorted({word for word, ids, row in zip(words, read, rows, strict=True) if word and ids == row})


def _addresses(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the address of each file in a description, as the page's ``addressOf`` makes it."""
    for value in config.values():
        if isinstance(value, dict):
            if "sha256" in value:
                yield f"{value['path']}?{value['sha256'][:16]}"
            else:
                yield from _addresses(value)


def describe(sizes: Mapping[str, int], destination: Path) -> list[str]:
    """Return what is said of a folder that was written."""
    total, runtime = sum(sizes.values()) / 1e6, sizes["runtime/ort.wasm"] / 1e6
    return [
        f"{len(sizes)} files, {total:.1f} MB, of which onnxruntime-web has {runtime:.1f} MB.",
        f"Let any file server serve them; to look at the page here: python3 -m http.server -d {quoted(destination)}",
    ]
