"""The pages in a real browser: no console error, every chart drawn, tables sort, print, open fast."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simcore.report import write_report
from simcore.report.difference import write_difference
from tests.simcore.synthetic_runs import LAYERS, make_comparison, make_run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra 'dev'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
READY_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        found = tool.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a comparison's page, a run's, and that of the difference of two runs."""
    folder = tmp_path_factory.mktemp("pages")
    comparison = make_comparison(folder)
    return {
        "comparison": write_report(comparison, folder),
        "run": write_report(make_run(folder / "run", "ideal"), folder / "run"),
        "difference": write_difference(comparison.reference, comparison.candidate, folder / "difference"),
    }


@pytest.fixture(scope="module", params=["comparison", "run", "difference"])
def opened(request: pytest.FixtureRequest, browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Return a tab with one of the pages, all its charts drawn; nothing may go wrong until the end."""
    tab = browser.new_page(viewport={"width": 1366, "height": 768})
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda asked: wrong.extend([asked.url] * asked.url.startswith("http")))
    tab.goto(pages[request.param].as_uri(), timeout=READY_MS)
    tab.wait_for_function("document.body.dataset.ready === 'yes'", timeout=READY_MS)
    yield tab
    assert wrong == [], "console, errors, network"
    tab.close()


def test_every_chart_is_drawn(opened: Any) -> None:
    places = opened.eval_on_selector_all(".chart", "all => all.map(one => one.id)")
    drawn = opened.eval_on_selector_all(".chart.js-plotly-plot", "all => all.map(one => one.id)")
    assert drawn == places != []
    marks = "one => one.querySelectorAll('.point, .js-line, .hm, text.textpoint, .bars path').length"
    assert all(opened.eval_on_selector(f"#{key}", marks) > 0 for key in places)


def test_nothing_is_wider_than_a_laptop(opened: Any) -> None:
    width = opened.evaluate("document.documentElement.scrollWidth")
    assert width <= opened.viewport_size["width"]


def test_page_prints_with_all_charts_inside_the_paper(opened: Any, tmp_path: Path) -> None:
    opened.pdf(path=str(tmp_path / "page.pdf"), prefer_css_page_size=True)
    assert (tmp_path / "page.pdf").stat().st_size > 20_000


def test_tables_sort_with_their_groups_and_keep_the_total_below(browser: Any, pages: dict[str, Path]) -> None:
    tab = browser.new_page()
    tab.goto(pages["comparison"].as_uri())
    heading = tab.get_by_role("heading", name="Energy per layer")
    table = tab.locator("section.table", has=heading).locator("table")
    names = "all => all.map(row => row.cells[0].innerText.trim())"
    before = table.locator("tbody tr").evaluate_all(names)
    assert before[::3] == [*(layer.name for layer in LAYERS), "total"]
    head = table.locator("th").nth(3)
    energies = "all => all.map(row => Number(row.cells[3].dataset.value)).filter(Number.isFinite)"
    head.click()
    after = table.locator("tbody tr").evaluate_all(names)
    assert after[-3] == "total"
    assert [name for name in after if name] == list(after[::3]), "groups of three rows"
    falling = table.locator("tbody tr").evaluate_all(energies)[:-2:2]
    assert falling == sorted(falling, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.click()
    rising = table.locator("tbody tr").evaluate_all(energies)[:-2:2]
    assert rising == sorted(falling)
    tab.close()


def test_screenshot_shows_verdicts_and_boundary_first(
    browser: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    tab = browser.new_page(viewport={"width": 1366, "height": 900})
    tab.goto(pages["comparison"].as_uri())
    shown = tab.screenshot(path=str(tmp_path / "page.png"))
    assert shown.startswith(b"\x89PNG")
    for name in ("Verdict on each layer", "Energy boundary"):
        box = tab.get_by_role("heading", name=name).bounding_box()
        assert box["y"] < 900
    colours = tab.eval_on_selector_all(".verdict", "all => all.map(e => getComputedStyle(e).borderLeftColor)")
    assert len(colours) == len(LAYERS)
    assert all(re.fullmatch(r"rgb\(\d+, \d+, \d+\)", colour) for colour in colours)
    tab.close()
