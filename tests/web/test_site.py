"""The folder of a page: complete, checked, of one host, and never written over anything else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from arae_transfer.errors import AraeError
from arae_transfer.language_model.compact import CompactLanguageModel
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.preparation import load_tokenizer
from arae_transfer.web.runtime import read_runtime
from arae_transfer.web.site import write_site
from tests.web.conftest import SHIPPED, like_onnxruntime_web


@pytest.fixture(scope="module")
def pristine_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sites")
    write_site(ModelFolder.find(SHIPPED), read_runtime(like_onnxruntime_web(root / "runtime")), root / "site")
    return root / "site"


@pytest.fixture
def site(pristine_site: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine_site, tmp_path / "site"))


def config_of(site: Path) -> Any:
    page = (site / "index.html").read_text("utf-8")
    (text,) = re.findall(r'<script type="application/json" id="config">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def records(config: Any) -> list[Any]:
    inner = [record for value in config.values() if isinstance(value, dict) for record in records(value)]
    return [config] if "sha256" in config else inner


def test_every_file_is_listed_and_has_its_checksum(site: Path) -> None:
    listed = dict(line.split("  ")[::-1] for line in (site / "SHA256SUMS").read_text("utf-8").splitlines())
    found = {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert set(found) - set(listed) == {"SHA256SUMS"}
    assert {name: hashlib.sha256(found[name]).hexdigest() for name in listed} == listed
    named = records(config_of(site))
    assert len(named) == 10
    for record in named:
        content = found[record["path"]]
        assert (record["sha256"], record["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert f"{record['path']}?{record['sha256'][:16]}" in found["offline.js"].decode()
    assert b"Copyright (c) Microsoft Corporation" in found["runtime/LICENSE"]


def test_the_page_is_small_and_its_policy_lets_in_nothing_else(site: Path) -> None:
    page = (site / "index.html").read_text("utf-8")
    assert len(page.encode()) <= 60_000
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    for content in (page, (site / "offline.js").read_text("utf-8")):
        assert not re.findall(r"https?:/{2}[a-z]", content)
    assert not re.search(r"\sstyle=|\son[a-z]+=|@import|\burl\(|@[A-Z]+@", page)


def test_the_words_are_those_that_rewriting_knows(site: Path) -> None:
    folder = ModelFolder.find(SHIPPED)
    tokenizer = load_tokenizer(folder)
    models = [CompactLanguageModel(folder.read_file(name)) for name in (folder.language_models or {}).values()]
    listed = set((site / "model" / "words.txt").read_text("utf-8").split("\n"))
    typed = {
        word for line in ("delicious !", "omelettes and xylophones", "zzyzx", "friendlyest") for word in line.split()
    }
    tried = {*sorted(listed)[::97], *typed, *tokenizer.pieces[300::97]}
    for word in (word.strip("\u2581") for word in tried):
        pieces = tokenizer.encode(word)
        assert (word in listed) == any(model.has_word(pieces, tokenizer.ends_word) for model in models), word
    assert {"delicious", "!"} <= listed
    assert "zzyzx" not in listed


def test_models_without_words_and_with_blanks_in_class_names(
    pristine_model: Path, package: Path, tmp_path: Path
) -> None:
    write_site(ModelFolder.find(pristine_model), read_runtime(package), tmp_path / "site")
    config = config_of(tmp_path / "site")
    assert config["model"]["words"] is None
    assert config["variant"] == "fp32"
    address = config["model"]["decoders"]["neutral tone"]["path"]
    assert address != unquote(address)
    assert (tmp_path / "site" / unquote(address)).is_file()


def test_a_page_replaces_a_page_and_nothing_else(site: Path, package: Path) -> None:
    folder, runtime = ModelFolder.find(SHIPPED), read_runtime(package)
    write_site(folder, runtime, site)
    (site / "mine.txt").write_text("mine", "utf-8")
    with pytest.raises(AraeError, match=r"holds mine\.txt"):
        write_site(folder, runtime, site)
    assert (site / "mine.txt").read_text("utf-8") == "mine"
    (site / "mine.txt").unlink()
    (site / "index.html").write_text("mine", "utf-8")
    with pytest.raises(AraeError, match="would remove"):
        write_site(folder, runtime, site)
    with pytest.raises(AraeError, match="is not a folder"):
        write_site(folder, runtime, site / "index.html")


def test_models_that_edit_are_refused(exported_editor: Path, package: Path, tmp_path: Path) -> None:
    with pytest.raises(AraeError, match="edits lines"):
        write_site(ModelFolder.find(exported_editor), read_runtime(package), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_the_runtime_is_read_packed_as_well(package: Path, tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime-web-1.2.3.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(package, "package")
    assert read_runtime(archive) == read_runtime(package)
    assert read_runtime(archive).version == "1.2.3"
    (package / "LICENSE").write_text("its own terms", "utf-8")
    assert "its own terms" in read_runtime(package).license


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda place: (place / "package.json").write_text('{"name": "left-pad"}'), "is not onnxruntime-web"),
        (lambda place: (place / "package.json").write_text("{"), "is damaged"),
        (lambda place: (place / "dist" / "ort-wasm-simd-threaded.wasm").unlink(), "has no dist/ort-wasm"),
    ],
)
def test_other_packages_are_refused(package: Path, change: Any, message: str) -> None:
    change(package)
    with pytest.raises(AraeError, match=message):
        read_runtime(package)


def arae(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arae_transfer", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)


def test_the_command_says_what_is_missing_and_where_the_page_is(package: Path, tmp_path: Path) -> None:
    missing = arae(SHIPPED, "--web", "site", folder=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "npm pack onnxruntime-web" in missing.stderr
    done = arae(SHIPPED, "--web", "site", "--runtime", package, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "site\n")
    assert "python3 -m http.server -d site" in done.stderr
    wrong = arae(SHIPPED, "--web", "other", "--beam", "3", folder=tmp_path)
    assert wrong.returncode == 2
    assert "--beam does not go with --web" in wrong.stderr
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").touch()
    refused = arae(run, "--web", "other", "--runtime", package, folder=tmp_path)
    assert "is a training run" in refused.stderr
    assert not (tmp_path / "other").exists()
