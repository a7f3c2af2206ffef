"""A small study with files for systems, readers who fill it in, and a browser where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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


FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the browser saves downloads in."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Start a Chromium with a fresh profile."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium or its driver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}", "--window-size=1000,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()
