"""The parts of an unpacked or packed onnxruntime-web that a page needs."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arae_transfer.atomic import explain_read_failure
from arae_transfer.errors import AraeError

PACKAGE = "onnxruntime-web"
SCRIPT, BINARY = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
HERE = Path("node_modules", PACKAGE)
"""Where npm puts the package, from the folder that it is called in."""

_GET_IT = f"get it by `npm pack {PACKAGE}`, then give --runtime {PACKAGE}-VERSION.tgz, or the unpacked folder."
_LICENSES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "ThirdPartyNotices.txt")
# The npm package says "MIT" and whose it is, without the text.
_MIT = """\
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


@dataclass(frozen=True)
class WebRuntime:
    """What a page loads of onnxruntime-web.

    Attributes:
        version: Its version.
        script: The JavaScript module.
        binary: The WebAssembly module.
        license: Its licence, and those of what is in it, as far as the package holds them.
    """

    version: str
    script: bytes
    binary: bytes
    license: str


def read_runtime(place: Path | None) -> WebRuntime:
    """Read onnxruntime-web.

    Args:
        place: The unpacked npm package, or the archive that `npm pack` writes; None: ``node_modules/onnxruntime-web``
            in the current folder.

    Raises:
        AraeError: It is not there, is another package, or lacks a file.
    """
    if place is None:
        place = HERE
        if not place.exists():
            raise AraeError(f"the page needs {PACKAGE}, which is not part of this package", _GET_IT)
    try:
        read = _from_archive(place) if place.is_file() else _from_folder(place)
        package = json.loads(read("package.json"))
        if not isinstance(package, dict) or package.get("name") != PACKAGE:
            raise AraeError(f"{place} is not {PACKAGE}", _GET_IT)
        licenses = [read(name).decode("utf-8", "replace") for name in _LICENSES if _holds(read, name)]
        version = str(package.get("version", "of an unknown version"))
        return WebRuntime(version, read(SCRIPT), read(BINARY), _license(version, licenses))
    except KeyError as error:
        raise AraeError(f"{place} has no {error.args[0]}: it is not {PACKAGE}, or an old one", _GET_IT) from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise AraeError(f"{place} is damaged, or not {PACKAGE}: {str(error).splitlines()[0]}", _GET_IT) from error
    except OSError as error:
        raise explain_read_failure(place, error) from error


def _from_folder(place: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        try:
            return (place / name).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(name) from error

    return read


def _from_archive(place: Path) -> Callable[[str], bytes]:
    wanted = ("package.json", SCRIPT, BINARY, *_LICENSES)
    found: dict[str, bytes] = {}
    with tarfile.open(place) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            content = archive.extractfile(member) if name in wanted else None
            if content is not None:
                found[name] = content.read()
    return found.__getitem__


def _holds(read: Callable[[str], bytes], name: str) -> bool:
    try:
        read(name)
    except KeyError:
        return False
    return True


def _license(version: str, found: list[str]) -> str:
    head = f"ort.js and ort.wasm are files of {PACKAGE} {version}, unchanged: {SCRIPT} and {BINARY}.\n"
    notices = "Notices of what is compiled into them: ThirdPartyNotices.txt in the source of that version.\n"
    return "\n".join([head, *(found or [_MIT, notices])])
