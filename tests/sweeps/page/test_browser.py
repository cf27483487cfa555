"""The page in headless Chromium: nothing is loaded, and everything on it works."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.main import main
from tests.sweeps.page.test_document import hostile
from tests.sweeps.page.works import keep

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))),
    None,
)  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
SECONDS = 60_000
"""Milliseconds that a busy machine may take for what else takes a fraction of one."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@contextlib.contextmanager
def opened(browser: Any, path: Path, **how: Any) -> Iterator[Any]:
    """A page, of which every complaint and every request to elsewhere is an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, **how)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda one: (wrong.append(one.message), one.dismiss()))
    page.on("request", lambda one: (
        wrong.append(one.url) if one.url.split(":")[0] not in ("file", "data", "blob")
        or (one.url.startswith("file") and not one.url.startswith(path.as_uri()))
        else None
    ))  # fmt: skip
    page.goto(path.as_uri())
    yield page
    assert not wrong
    context.close()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One page of two sweeps."""
    folder = tmp_path_factory.mktemp("pages")
    runs = [
        keep(folder / "narrow", at=0.2),
        keep(folder / "wide", at=1.0, router="retention"),
    ]
    output = folder / "report.html"
    assert main(["report", *map(str, runs), f"--output={output}"]) == 0
    return output


def in_view(page: Any, plot: str) -> Any:
    """A plot that was scrolled to and is drawn."""
    place = page.locator(f"#{plot}")
    place.scroll_into_view_if_needed()
    place.locator(".main-svg").first.wait_for()
    return place


def shown(page: Any, plot: str, entry: int) -> list[bool]:
    """Whether each trace of one sweep is visible."""
    return page.evaluate(
        "([id, entry]) => document.getElementById(id).data.filter((one) =>"
        " one.meta.entry === entry).map((one) => one.visible !== false)",
        [plot, entry],
    )


SHARES = "group-0-concentration"
SEEDS = "group-0-concentration_measure"


def test_controls_work_and_nothing_is_loaded(browser: Any, several: Path) -> None:
    with opened(browser, several) as page:
        in_view(page, SHARES)
        in_view(page, SEEDS)
        legend = page.get_by_role("button", name="wide", exact=True)
        assert all(shown(page, SHARES, 1))
        legend.focus()
        page.keyboard.press("Space")
        assert legend.get_attribute("aria-pressed") == "false"
        assert not any(shown(page, SHARES, 1)) and all(shown(page, SHARES, 0))
        legend.click()
        assert all(shown(page, SHARES, 1))

        assert not all(shown(page, SEEDS, 0))  # nulls of several sweeps start hidden
        page.get_by_role("button", name="nulls").click()
        assert all(shown(page, SEEDS, 0))
        page.get_by_role("button", name="single seeds").click()
        assert not all(shown(page, SEEDS, 0))

        axis = f"document.getElementById('{SHARES}').layout.xaxis"
        assert page.evaluate(f"{axis}.ticktext[0]") == "0"
        page.get_by_role("button", name="log axis").click()
        assert page.evaluate(f"{axis}.range")[1] == pytest.approx(3.12)
        points = page.evaluate(f"document.getElementById('{SHARES}').data[1].x")
        assert points[0] == 0 and max(points) == 3

        page.locator("#sweep-0 > summary").click()
        in_view(page, "sweep-0-routing")
        matrix = "document.getElementById('sweep-0-routing').data[0].z"
        before = page.evaluate(matrix)
        slider = page.locator("[data-slides='sweep-0-routing']")
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert slider.input_value() == "1"
        assert "0.03, seed 3" in slider.locator("xpath=../output").inner_text()
        assert page.evaluate(matrix) != before

        head = page.get_by_role("columnheader", name="critical value")
        column = "[...document.querySelectorAll('.sortable tbody tr')].map((row) =>"
        column += " row.cells[4].dataset.key)"
        for order in ("ascending", "descending"):
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == order
            keys = [float(key) for key in page.evaluate(column) if key]
            assert keys == sorted(keys, reverse=order == "descending")

        page.set_viewport_size({"width": 360, "height": 700})  # as of a phone
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_hostile_strings_do_nothing_in_light_in_dark_and_on_paper(
    browser: Any, tmp_path: Path
) -> None:
    output = tmp_path / "report.html"
    folders = [str(folder) for folder in hostile(tmp_path)]
    assert main(["report", *folders, f"--output={output}"]) == 0
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, output, color_scheme="dark") as page:
        dark = page.evaluate(paper)
        in_view(page, SHARES)
        ink = f"document.getElementById('{SHARES}').layout.font.color"
        on_dark = page.evaluate(ink)
        page.locator("#theme").click()
        light = page.evaluate(paper)
        assert sum(json.loads(f"[{dark[4:-1]}]")) < 150
        assert sum(json.loads(f"[{light[4:-1]}]")) > 600
        assert page.evaluate(ink) != on_dark
        # Paper shows every plot, also those that were never in view.
        assert page.locator(".main-svg").count() < page.locator(".plot").count()
        assert page.pdf()[:5] == b"%PDF-"
        drawn = "[...document.querySelectorAll('.plot')].map((one) => !!one.data)"
        plots = page.evaluate(drawn)
        assert all(plots) and len(plots) > 15
        room = "[...document.querySelectorAll('.plot')].every((one) =>"
        room += " parseFloat(one.style.height) >= one._fullLayout.height)"
        assert page.evaluate(room)  # else they would lie over each other
        assert page.locator("details.sweep[open]").count() == 0  # as it was before
        for one in page.locator("details").all():
            one.evaluate("(one) => { one.open = true; }")
        page.locator("[data-slides]").first.focus()
        page.keyboard.press("ArrowRight")
        page.locator(f"#{SHARES} .point").first.hover(force=True)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0


def test_a_page_can_be_read_without_scripts(browser: Any, several: Path) -> None:
    with opened(browser, several, java_script_enabled=False) as page:
        assert page.locator("figure.unscripted svg").first.is_visible()
        assert page.locator("#onsets table").is_visible()
        assert not page.locator("#theme").is_visible()
        page.locator("#sweep-0 > summary").click()
        assert page.locator("#sweep-0 img").is_visible()
