"""The page that readers rate on, in a real browser."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arae_transfer.studies.study import Study, StudyLayout
from tests.studies.desk import invoke, make

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

SHIFT, TAB, BACKSPACE, RIGHT = "\ue008", "\ue004", "\ue003", "\ue014"


@pytest.fixture
def study(folder: Path) -> Study:
    return make(folder, "--items", 2, "--sheets", 2)


@pytest.fixture
def opened(browser: WebDriver, study: Study, folder: Path) -> WebDriver:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get(StudyLayout(folder / "study").page(1).resolve().as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    problems(browser)
    return browser


def element(browser: WebDriver, selector: str) -> WebElement:
    return browser.find_element("css selector", selector)


def problems(browser: WebDriver) -> list[Any]:
    """Return what the browser complained about since the last call."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]


def focus(browser: WebDriver, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).focus()", selector)


def type_keys(browser: WebDriver, *keys: str) -> None:
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def ratings(browser: WebDriver) -> dict[str, dict[str, str]]:
    return dict(json.loads(browser.execute_script("return JSON.stringify(state.ratings)")))


def test_the_page_shows_a_source_and_its_candidates(opened: WebDriver, study: Study) -> None:
    name, item = next(iter(study.sheet(1).items()))
    assert element(opened, "#source").text == item.source
    assert element(opened, "#place").text == f"Source 1 of {len(study.sheet(1))}: rewrite to {item.part.target}"
    cards = opened.find_elements("css selector", ".card")
    assert [card.text.split("\n")[0] for card in cards] == [f"{k} {c.text}" for k, c in item.candidates.items()]
    assert name == cards[0].get_attribute("data-name")
    assert problems(opened) == []


def test_keys_rate_and_go_on(opened: WebDriver, study: Study) -> None:
    name = next(iter(study.sheet(1)))
    focus(opened, "fieldset input")
    type_keys(opened, "3", SHIFT + "4", "5", SHIFT + "5", "1")
    expected = {"style": "3", "content": "4.5", "fluency": "5", "overall": "5"}
    assert ratings(opened) == {f"{name} A": expected, f"{name} B": {"style": "1"}}
    assert "complete" in (element(opened, ".card").get_attribute("class") or "").split()
    assert element(opened, "#count").text.startswith("1 of ")
    type_keys(opened, "2", SHIFT + TAB, RIGHT, TAB)  # back to the style of B, a half more
    assert ratings(opened)[f"{name} B"] == {"style": "1", "content": "2.5"}
    focus(opened, "fieldset input:checked")
    type_keys(opened, BACKSPACE)
    assert "style" not in ratings(opened)[f"{name} A"]
    assert opened.execute_script("return document.querySelector('fieldset').querySelector(':checked')") is None
    type_keys(opened, "n")
    assert element(opened, "#place").text.startswith("Source 2 of")
    type_keys(opened, "4")  # on the heading: the first scale
    assert list(ratings(opened)) == [f"{name} A", f"{name} B", f"{list(study.sheet(1))[1]} A"]


def test_progress_outlives_the_page_and_comes_back_as_ratings(
    opened: WebDriver, study: Study, folder: Path, downloads: Path
) -> None:
    values = {"style": "2", "content": "5", "fluency": "3.5", "overall": "4"}
    keys = [(name, letter) for name, item in study.sheet(1).items() for letter in item.candidates]
    for number in range(len(study.sheet(1))):
        assert element(opened, "#place").text.startswith(f"Source {number + 1} of")
        for button in opened.find_elements("css selector", "fieldset"):
            value = values[button.get_attribute("data-scale") or ""]
            button.find_element("css selector", f'input[value="{value}"]').click()
        if number == 0:
            cards = len(opened.find_elements("css selector", ".card"))
            for _ in range(20):
                opened.refresh()
                checked = opened.find_elements("css selector", "input:checked")
                if checked:
                    break
                time.sleep(0.1)  # a browser stores what a page keeps a moment later
            assert len(checked) == 4 * cards
        if number + 1 < len(study.sheet(1)):
            element(opened, "#open").click()
    assert not element(opened, "#open").is_enabled()
    element(opened, "#reader").send_keys("Zoë B.")
    element(opened, "#download").click()
    saved = downloads / "ratings-1-Zoë-B-.tsv"
    for _ in range(100):
        if saved.is_file():
            break
        time.sleep(0.1)
    assert problems(opened) == []
    status, output, messages = invoke("tally", folder / "study", saved, "--json")
    assert status == 0, messages
    data: dict[str, Any] = json.loads(output)
    assert data["rated"] == len(keys)
    assert data["problems"] == []
    assert data["readers"] == {
        "Zoë B.": {"candidates": len(keys), "style": 2, "content": 5, "fluency": 3.5, "overall": 4, "accepted": 1}
    }
    assert len(data["missing"]) == study.candidates - len(keys)


def test_all_controls_have_names_and_fit_a_phone(opened: WebDriver) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    for control in opened.find_elements("css selector", "button, input, progress"):
        assert control.accessible_name or not control.is_displayed(), control.get_attribute("outerHTML")
    groups = opened.find_elements("css selector", "fieldset")
    assert groups[4].accessible_name.casefold() == "candidate b, style"
    assert groups[0].aria_role in ("group", "radiogroup")
    sizes = opened.execute_script(
        "return [...document.querySelectorAll('.buttons label')].map(e => [e.offsetWidth, e.offsetHeight])"
    )
    assert all(width >= 24 and height >= 44 for width, height in sizes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(opened: WebDriver, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    focus(opened, "fieldset input")
    type_keys(opened, "3")
    script = """
      const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const light = text => {
        const [r, g, b] = text.match(/[0-9.]+/g).map(v => linear(Number(v) / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      return arguments[0].map(selector => {
        let e = document.querySelector(selector);
        const ink = light(getComputedStyle(e).color);
        while (getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement;
        const page = light(getComputedStyle(e).backgroundColor);
        return [selector, (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05)];
      });
    """
    selectors = ["body", "#source", ".soft", ".card p", "legend", "label.half span"]
    selectors += ["input:checked + span", ".to", "#next"]
    contrasts = dict(opened.execute_script(script, selectors))
    assert min(contrasts.values()) >= 4.5, contrasts
    dark = opened.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 29)"
    assert dark == (scheme == "dark")


def test_the_policy_lets_nothing_else_run_or_load(opened: WebDriver) -> None:
    script = """
      const done = arguments[0];
      const element = document.createElement("script");
      element.textContent = "window.ran = true";
      document.body.append(element);
      fetch("data:text/plain,1").then(() => done("loaded"), () => done(window.ran ? "ran" : "refused"));
    """
    assert opened.execute_async_script(script) == "refused"
