"""A small study with files for systems, readers who fill it in, and a browser where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chromium import BROWSER, DRIVER, start_browser
from tests.studies.desk import LINES, SYSTEMS, write

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with sources of two corpora and with the rewrites of three systems."""
    for group in ("food", "films"):
        for target in ("bad", "good"):
            sources = [f"{group} sentence {number} to {target}" for number in range(LINES)]
            write(tmp_path / f"{group}.{target}.txt", sources)
            for system in SYSTEMS:
                # Every third rewrite is that of all systems.
                rewrites = [
                    f"rewrite {number} of {group} to {target} by {'all' if number % 3 == 0 else system}"
                    for number in range(LINES)
                ]
                write(tmp_path / system / group / f"{target}.txt", rewrites)
    return tmp_path


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the browser saves downloads in."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Start a Chromium with a fresh profile."""
    if not (BROWSER and DRIVER):
        pytest.skip("no Chromium with its driver is installed")
    profile = tmp_path_factory.mktemp("browser") / "profile"
    with start_browser(profile, size=(1000, 900), downloads=downloads) as started:
        yield started
