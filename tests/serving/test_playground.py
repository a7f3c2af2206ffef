"""The page: small, from this server alone, and what a person does on it in a real browser."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from arae_transfer.serving.application import page_policy
from arae_transfer.serving.keys import Keys, hash_key
from tests.chromium import CONTRAST, hosts, in_browser, start_browser

PAGE = files("arae_transfer.serving").joinpath("playground.html").read_text("utf-8")
SHIPPED = Path(__file__).resolve().parents[2] / "exported" / "yelp-sentiment"
KEY = "correct-horse-battery-staple"
SECONDS = 30


def test_the_page_is_small_and_names_no_other_host() -> None:
    assert len(PAGE.encode()) <= 60_000
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"^\s*//.*$", "", PAGE, flags=re.MULTILINE))
    assert not re.search(r"\sstyle=|\son[a-z]+=|@import|\burl\(", PAGE), "the policy would stop it"


def test_the_policy_lets_in_what_is_on_the_page_alone(small: Any) -> None:
    answer = small.get("/")
    assert answer.status == 200
    assert answer.body.decode() == PAGE
    policy = answer.headers["content-security-policy"]
    assert policy == page_policy(PAGE)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_every_control_has_a_label() -> None:
    ids = set(re.findall(r'<(?:input|select|textarea)[^>]*\bid="([\w-]+)"', PAGE))
    labelled = set(re.findall(r'<label for="([\w-]+)"', PAGE))
    labelled |= set(re.findall(r'<(?:input|select|textarea)[^>]*\bid="([\w-]+)"[^>]*\baria-label=', PAGE))
    labelled |= set(re.findall(r'<label[^>]*><input[^>]*\bid="([\w-]+)"', PAGE))
    assert ids == labelled


class Page:
    """The page in a browser."""

    def __init__(self, driver: Any, port: int) -> None:
        self.driver = driver
        driver.get(f"http://127.0.0.1:{port}/")

    def find(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def text(self, name: str) -> str:
        return str(self.driver.execute_script("return document.getElementById(arguments[0]).textContent", name))

    def wait(self, condition: Any) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, SECONDS).until(lambda _: condition())

    def ready(self) -> None:
        self.wait(lambda: "is ready" in self.text("state"))

    def rewrite(self, text: str) -> None:
        from selenium.webdriver.common.keys import Keys as Pressed

        self.find("text").clear()
        self.find("text").send_keys(text, Pressed.CONTROL, Pressed.ENTER)
        self.wait(
            lambda: self.text("go") == "Rewrite" and self.text("answer") not in ("…", "The rewrite appears here.")
        )

    def errors(self) -> list[str]:
        return [each["message"] for each in self.driver.get_log("browser") if each["level"] == "SEVERE"]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Start a Chromium of its own, and end it."""
    with start_browser(tmp_path / "browser") as driver:
        yield driver


@in_browser
def test_a_person_rewrites_chooses_and_copies_the_command(browser: Any, shipped: Any) -> None:
    page = Page(browser, shipped.port)
    page.ready()
    page.rewrite("The food was cold! It's a bad place.\n这家餐厅很好吃")
    whole = shipped.post("/v1/rewrite", {"text": "The food was cold! It's a bad place.", "to": "positive", "n_best": 4})
    best = whole.json["results"][0]["output"]
    removed = [each.text for each in browser.find_elements("css selector", "#answer del")]
    added = [each.text for each in browser.find_elements("css selector", "#answer ins")]
    assert removed
    assert added
    shown = browser.execute_script(
        "return [...document.getElementById('answer').childNodes]"
        ".filter(node => node.nodeName !== 'DEL').map(node => node.textContent).join('')"
    )
    assert shown == f"{best}\n这家餐厅很好吃"
    items = browser.find_elements("css selector", "#parts > li")
    assert len(items) == 3
    assert "knows too few of its characters" in items[2].text
    second = items[0].find_elements("css selector", ".candidate")[1]
    wanted = second.find_element("css selector", "span").text
    second.click()
    page.wait(lambda: wanted in browser.execute_script("return answerText()"))
    command = page.text("curl")
    assert command.startswith(f"curl http://127.0.0.1:{shipped.port}/v1/rewrite")
    assert "It'\\''s a bad place." in command
    assert page.errors() == []
    assert hosts(browser) <= {f"127.0.0.1:{shipped.port}", "data", ","}


@in_browser
def test_the_keyboard_alone_chooses_a_class(browser: Any, shipped: Any) -> None:
    from selenium.webdriver.common.keys import Keys as Pressed

    page = Page(browser, shipped.port)
    page.ready()
    page.find("text").send_keys("Great food!", Pressed.TAB)
    browser.switch_to.active_element.send_keys(Pressed.ARROW_LEFT)
    assert browser.execute_script("return chosenClass()") == "negative"
    browser.switch_to.active_element.send_keys(Pressed.TAB)
    assert browser.switch_to.active_element.get_attribute("id") == "go"
    browser.switch_to.active_element.send_keys(Pressed.ENTER)
    expected = shipped.post("/v1/rewrite", {"text": "Great food!", "to": "negative", "n_best": 4}).json["results"][0][
        "output"
    ]
    page.wait(lambda: browser.execute_script("return answerText()") == expected)


@in_browser
def test_the_slider_walks_between_two_sentences(browser: Any, shipped: Any) -> None:
    from selenium.webdriver.common.keys import Keys as Pressed

    page = Page(browser, shipped.port)
    page.ready()
    page.find("first").send_keys("The food was cold.")
    page.find("second").send_keys("We had a great time!", Pressed.ENTER)
    page.wait(lambda: page.find("place").is_displayed())
    members = {"first": "The food was cold.", "second": "We had a great time!", "to": "positive", "steps": 11}
    way = [each["output"] for each in shipped.post("/v1/interpolate", members).json["results"]]
    assert page.text("step") == way[5]
    page.find("place").send_keys(Pressed.HOME)
    assert page.text("step") == way[0]
    page.find("place").send_keys(Pressed.END)
    assert page.text("step") == way[-1]
    assert way[-1] in page.find("place").get_attribute("aria-valuetext")


@in_browser
def test_errors_and_keys_are_shown_where_one_looks(browser: Any, serve: Any) -> None:
    from selenium.webdriver.common.keys import Keys as Pressed

    with serve(SHIPPED, keys=Keys((hash_key(KEY),))) as client:
        page = Page(browser, client.port)
        page.wait(lambda: page.find("key").is_displayed())
        assert "requires a key" in page.find("alert").text
        page.find("key").send_keys(KEY, Pressed.ENTER)
        page.ready()
        browser.execute_script("document.getElementById('text').value = 'a'.repeat(10001)")
        page.find("go").click()
        page.wait(lambda: "10,001 characters" in page.find("alert").text)
        assert page.find("alert").get_attribute("role") == "alert"
        page.rewrite("The food was cold.")
        assert not page.find("alert").is_displayed()
    page.find("go").click()
    page.wait(lambda: "does not answer" in page.find("alert").text)


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_follows_dark_mode(browser: Any, shipped: Any, dark: bool) -> None:
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    page = Page(browser, shipped.port)
    page.ready()
    page.rewrite("The food was cold and the waiter, averyveryverylongwordthatdoesnotendandgoesonandon, was rude.")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    ratio = browser.execute_script(CONTRAST, MEASURED)
    assert ratio, "nothing was measured"
    assert min(ratio.values()) >= 4.5, ratio


MEASURED = ["h1", ".hint", ".state", "#go", "del", "ins", ".found", ".scores", ".total", "#curl", "footer", "summary"]
