"""An onnxruntime-web, where one is there, and packages that look like one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from arae_transfer.web.runtime import BINARY, SCRIPT, read_runtime

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "exported" / "yelp-sentiment"
VARIABLE = "ONNXRUNTIME_WEB"
"""Names an unpacked onnxruntime-web, or its archive, for tests; without it, node_modules here is looked into."""


@pytest.fixture(scope="session")
def onnxruntime_web() -> Path:
    """Return where onnxruntime-web lies, or skip the test."""
    place = Path(os.environ.get(VARIABLE) or ROOT / "node_modules" / "onnxruntime-web")
    if not place.exists():
        pytest.skip(f"no onnxruntime-web is there: npm install onnxruntime-web, or set {VARIABLE}")
    read_runtime(place)
    return place


def like_onnxruntime_web(place: Path) -> Path:
    """Make a folder that is laid out as onnxruntime-web is, and runs nothing."""
    (place / "dist").mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": "1.2.3"}), "utf-8")
    (place / SCRIPT).write_bytes(b"export {};")
    (place / BINARY).write_bytes(b"\0asm" + bytes(4))
    return place


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return like_onnxruntime_web(tmp_path / "onnxruntime-web")
