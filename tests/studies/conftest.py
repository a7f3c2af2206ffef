"""A small study with files for systems, readers who fill it in, and a browser where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from arae_transfer.cli import app
from arae_transfer.studies.study import Study

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

SYSTEMS = ("first", "second", "third")
LINES = 30

Invoke = Callable[..., tuple[int, str, str]]


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Run `arae study` and return its status, standard output and standard error."""
    result = CliRunner().invoke(app, ["study", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def write(path: Path, lines: list[str]) -> Path:
    """Write lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


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


def source_options(folder: Path) -> list[str]:
    """Return the options that name the sources of a folder."""
    parts = [f"{group}/{target}" for group in ("food", "films") for target in ("bad", "good")]
    return [word for part in parts for word in ("--sources", f"{part}={folder}/{part.replace('/', '.')}.txt")]


def make(folder: Path, *options: object) -> Study:
    """Make a study of the three systems and return it."""
    place = folder / "study"
    systems = [folder / system for system in SYSTEMS]
    status, output, messages = invoke("make", place, *systems, *source_options(folder), *options)
    assert (status, output) == (0, ""), messages
    return Study.read(place)


def rate(study: Study, place: Path, overall: Callable[[str, str], object], *, header: str = "") -> Path:
    """Write a file of ratings: ``overall`` gets the item and the letter and returns all that is said of them."""
    lines = [f"{item}\t{letter}\t{overall(item, letter)}" for item, letter in study.candidate_keys()]
    return write(place, [*header.splitlines(), *lines])


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
