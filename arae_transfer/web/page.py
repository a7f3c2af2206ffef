"""The page: one HTML file of the parts in this folder, with the look of the playground that `arae serve` shows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

# In this order they are one script.
SCRIPTS = ("tokenizer", "sentences", "treebank", "restoration", "fidelity", "rewriting", "page")
# What the playground's script does as well.
_SHARED = ("make", "difference", "tidy", "marked", "sentence", "copy")


def render_page(config: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        config: What the page knows of the model and its files; JSON.
    """
    playground = files("arae_transfer.serving").joinpath("playground.html").read_text("utf-8")
    style = _between(playground, "style") + _read("page.css")
    shared = [_function(playground, name) for name in _SHARED]
    script = "\n".join(['"use strict";', *shared, *(_read(f"{name}.js") for name in SCRIPTS)])
    parts = {
        "STYLE": f"\n{style.strip()}\n",
        "SCRIPT": f"\n{script.strip()}\n",
        # As it stands in HTML: "<" begins a tag, and nothing else.
        "CONFIG": json.dumps(config, separators=(",", ":")).replace("<", "\\u003c"),
    }
    parts["POLICY"] = _policy(parts["SCRIPT"], parts["STYLE"])
    return re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], _read("page.html"))


def render_worker(addresses: list[str]) -> str:
    """Return the service worker that keeps files in the browser.

    Args:
        addresses: Of the files, as the page asks for them.
    """
    return _read("offline.js").replace("@FILES@", json.dumps(addresses))


def _policy(script: str, style: str) -> str:
    """Return the content security policy: the page's own parts by their hashes, its own files, no other host."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' {_hash(script)}",
            f"style-src {_hash(style)}",
            "connect-src 'self'",
            "worker-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _between(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert found, tag
    return found[1]


def _function(page: str, name: str) -> str:
    """Return a function of a page's script, which ends with the first brace at the beginning of a line."""
    found = re.search(rf"^(?:async )?function {name}\(.*?^\}}\n", page, re.DOTALL | re.MULTILINE)
    assert found, name
    return found[0]


def _read(name: str) -> str:
    return files("arae_transfer.web").joinpath(name).read_text("utf-8")
