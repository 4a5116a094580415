"""The page of `hwgen report` in a real browser. Run by `make test-browser`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hwgen import cli
from hwgen.tests.test_report_page import FIGURES, luminance

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
RUN = ("report", "--preset", "tiny", "--shape", "2,2,21,30", "--causal", "--offset", "9", "--bandwidth", "128")
SCREENS = {"desk": (1280, 900), "tablet": (820, 1180), "phone": (360, 740)}
SCHEMES = ("light", "dark")


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "run.html"
    assert cli.main([*RUN, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium of the system; if there is none, one that Playwright fetches."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium-headless-shell"], check=True)
    # Root has no sandbox.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=options)
        yield found
        found.close()


@pytest.fixture(params=[(screen, scheme) for screen in SCREENS for scheme in SCHEMES], ids="-".join)
def opened(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Page]:
    """The page at one size in one colour scheme. Nothing may be fetched, nothing may be complained of."""
    screen, scheme = request.param
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda made: noise.append(made.url) if made.url != file.as_uri() else None)
    page.goto(file.as_uri(), wait_until="load")
    yield page
    page.wait_for_timeout(100)
    context.close()
    assert noise == []


def run_data(page: Page) -> dict[str, Any]:
    return json.loads(page.locator("#run-data").text_content() or "")


def test_it_fits_the_window(opened: Page) -> None:
    width, room = opened.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width == room
    # What scrolls by itself does not have to.
    boxes = opened.locator(".scroll").evaluate_all("e => e.map(e => [e.scrollWidth, e.clientWidth])")
    assert len(boxes) == 3 and all(width <= room for width, room in boxes), boxes


def test_headings_and_figures_are_seen(opened: Page) -> None:
    headings = opened.locator("h1, h2, h3")
    assert headings.count() >= 9
    for heading in headings.all():
        expect(heading).to_be_visible()
    for name in FIGURES:
        (shown,) = (one for one in opened.locator(f"#figure-{name} svg").all() if one.is_visible())
        box = shown.bounding_box()
        assert box is not None and box["width"] > 280 and box["height"] > 80
        # Its letters are large enough to be read.
        sizes = shown.locator("text").evaluate_all(
            "found => found.map(e => [getComputedStyle(e).fontSize, e.getScreenCTM()])"
            ".map(([size, m]) => parseFloat(size) * Math.hypot(m.a, m.b))"
        )
        assert len(sizes) > 8 and min(sizes) > 6.5


def test_names_for_those_who_do_not_see_it(opened: Page) -> None:
    expect(opened.get_by_role("heading", level=1)).to_have_count(1)
    expect(opened.get_by_role("img")).to_have_count(len(FIGURES))
    expect(opened.get_by_role("img", name="Roofline")).to_have_count(1)
    expect(opened.get_by_role("table", name="All counters")).to_have_count(1)
    expect(opened.get_by_role("navigation", name="Sections").get_by_role("link")).to_have_count(6)


def test_the_numbers_are_those_of_the_run(opened: Page) -> None:
    report = run_data(opened)
    assert report["bits_equal"] == report["bits_compared"] > 0
    texts = "found => found.map(e => [...e.children].map(c => c.innerText))"
    tiles = {name: value for name, value, _ in opened.locator(".headlines div").evaluate_all(texts)}
    assert tiles["Cycles"] == f"{report['cycles']:,}" and tiles["Utilisation U"] == f"{report['utilisation']:.4f}"
    assert tiles["Bits equal"] == "all" and tiles["Error / rounding"] == f"{report['error']['ratio']:.4f}"
    cells = opened.locator("#counter-table tbody tr").evaluate_all(texts)
    assert {row[0]: int(row[1].replace(",", "")) for row in cells} == report["counters"]
    busy = opened.locator("#figure-activity svg:visible desc").text_content() or ""
    assert f"Over {report['cycles']:,} cycles" in busy
    share = report["busy"]["score"] / report["cycles"]
    assert f"the score array {share:.1%}" in busy
    read = sum(n for name, n in report["counters"].items() if name.startswith("read_bytes_k"))
    expect(opened.locator("#figure-traffic svg")).to_contain_text(f"{read:,}")


def colour(page: Page, selector: str, name: str) -> str:
    found = page.locator(selector).first.evaluate("(e, name) => getComputedStyle(e)[name]", name)
    numbers = [int(n) for n in re.findall(r"\d+", found)[:3]]
    return "#{:02x}{:02x}{:02x}".format(*numbers)


def test_colours_follow_the_reader(opened: Page) -> None:
    """Letters of page and figures stand out from the ground; on paper the ground is white."""
    dark = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = luminance(colour(opened, "body", "backgroundColor"))
    assert ground < 0.02 if dark else ground == 1
    for selector, name in (("body", "color"), ("#figure-traffic svg text", "fill"), ("figcaption", "color")):
        low, high = sorted((ground, luminance(colour(opened, selector, name))))
        assert (high + 0.05) / (low + 0.05) >= 4.5, selector
    opened.emulate_media(media="print")
    assert luminance(colour(opened, "body", "backgroundColor")) == 1
    assert luminance(colour(opened, "body", "color")) < 0.1
    expect(opened.locator("nav")).to_be_hidden()


def test_it_can_be_printed(browser: Browser, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 9
    page.close()
