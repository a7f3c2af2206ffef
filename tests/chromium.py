"""A Chromium that tests drive, where one is installed: what it asks for, and the contrast of what it shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
SECONDS = 60
in_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium with its driver is installed")


@contextmanager
def start_browser(profile: Path, size: tuple[int, int] = (1280, 900), downloads: Path | None = None) -> Iterator[Any]:
    """Start a Chromium with a profile of its own, and end it.

    Args:
        profile: A folder that does not exist yet.
        size: The width and height of its window in pixels.
        downloads: The folder that it saves downloads in; None: the browser's own.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        f"--window-size={size[0]},{size[1]}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(SECONDS)
    driver.set_script_timeout(10 * SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


def hosts(driver: Any) -> set[str]:
    """Return where the page has sent requests to."""
    found = set()
    for each in driver.get_log("performance"):
        message = json.loads(each["message"])["message"]
        if message["method"] == "Network.requestWillBeSent" and message["params"].get("documentURL", "").startswith(
            "http"
        ):
            found.add(message["params"]["request"]["url"].split("/")[2] or "data")
    return found


# The contrast of text to what is behind it, as WCAG defines it, for each kind of text on the page.
CONTRAST = """
const luminance = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = getComputedStyle(each).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
};
const found = {};
for (const name of arguments[0]) {
  const element = document.querySelector(name);
  const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((x, y) => y - x);
  found[name] = (a + 0.05) / (b + 0.05);
}
return found;
"""
