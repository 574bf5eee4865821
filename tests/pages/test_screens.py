"""Every page in a real browser, headless, on a phone, a tablet and a screen, light and dark.

With $RESNETS_SCREENSHOTS the folder that it names gets a picture of each (`make screenshots`).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_makers import MAKERS
from PIL import Image

pytestmark = pytest.mark.browser

WIDTHS = (380, 768, 1280)  # a phone, a tablet, a screen
UNFOLD = "for (const one of document.querySelectorAll('details')) one.open = true"
Made = Callable[[str], Path]
CHECK = (Path(__file__).parent / "check_page.js").read_text()


@pytest.fixture(scope="module")
def made(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A function that returns the file of the page of a name, which is made once."""
    return cache(lambda name: MAKERS[name](tmp_path_factory.mktemp(name)))


@contextmanager
def _watched(chromium: Any) -> Iterator[Any]:
    """Yield an empty page on a screen; an error in a script, and a request that leaves the page, fail the test."""
    found = chromium.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce")
    failures: list[str] = []
    found.on("pageerror", lambda error: failures.append(str(error)))
    found.on("request", lambda request: failures.extend([request.url] if request.url.startswith("http") else []))
    yield found
    found.close()
    assert failures == []


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """An empty page on a screen."""
    with _watched(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def opened_report(made: Made, chromium: Any) -> Iterator[Any]:
    """The report of the results, opened once."""
    with _watched(chromium) as found:
        _open(found, "report", made("report"))
        found.evaluate("window.unfolded = [...document.querySelectorAll('details[open]')]")
        yield found


@pytest.fixture
def report(opened_report: Any) -> Any:
    """The report of the results, folded as when it was opened."""
    opened_report.evaluate(
        "for (const one of document.querySelectorAll('details')) one.open = window.unfolded.includes(one)"
    )
    return opened_report


def _open(page: Any, name: str, path: Path) -> None:
    page.goto(path.as_uri())
    if name == "serve":
        _answer(page)
    page.evaluate("for (const one of document.images) one.loading = 'eager'")
    page.wait_for_function("[...document.images].every((one) => one.complete)")
    broken = page.evaluate("[...document.images].filter((one) => one.src && !one.naturalWidth).length")
    assert broken == (name == "serve")  # the file that is no image


def _answer(page: Any) -> None:
    """Let the page of a server get an answer for an image, and an error for another."""
    content = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)).save(content, "PNG")
    link = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    classes = [{"name": f"a_class_with_a_very_long_name_{n}", "probability": 0.6 / n} for n in range(1, 6)]
    explanation = {"map": link, "size": [50, 30], "region": [10, 0, 40, 30]}
    page.evaluate(
        """(answers) => { window.fetch = async () => {
          const [status, body] = answers.pop();
          return new Response(JSON.stringify(body), { status });
        }; }""",
        [
            [415, {"error": "image: no image in a known format"}],
            [200, {"predictions": [{"classes": classes, "explanation": explanation}]}],
        ],
    )
    files = [("noise.png", content.getvalue()), ("a_file_with_a_very_long_name_and_no_image_in_it.bin", b"none")]
    for name, content_of in files:
        page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content_of})
        page.wait_for_selector("[data-state=waiting]", state="detached")


def _save(page: Any, name: str) -> None:
    if folder := os.environ.get("RESNETS_SCREENSHOTS"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            width = page.viewport_size["width"]
            page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
        page.emulate_media(color_scheme="light")


def _resize(page: Any, width: int) -> None:
    """Give a page another width, and wait until its own script has seen that: it marks tables that scroll."""
    page.evaluate(
        """(width) => {
          window.resized = innerWidth === width ? Promise.resolve()
            : new Promise((done) => addEventListener("resize", done, { once: true }));
        }""",
        width,
    )
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("() => window.resized")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_is_clipped_hidden_or_hard_to_read(made: Made, page: Any, name: str) -> None:
    """At each width, folded and unfolded, all words and numbers are within the page; light and dark, they contrast."""
    _open(page, name, made(name))
    found = {}
    for width in reversed(WIDTHS):
        _resize(page, width)
        _save(page, name)
        found[width, "folded"] = page.evaluate(CHECK, {"contrast": False})
    page.evaluate(UNFOLD)
    for width in WIDTHS:
        _resize(page, width)
        found[width, "unfolded"] = page.evaluate(CHECK, {"contrast": width == 1280})
        _save(page, f"{name}-unfolded")
    page.emulate_media(color_scheme="dark")
    found[1280, "dark"] = page.evaluate(CHECK, {"contrast": True})
    assert [f"{place}: {wrong}" for place, wrongs in found.items() for wrong in wrongs] == []


def test_the_checks_find_what_is_wrong(page: Any) -> None:
    """Each kind of fault is found: a wide page, clipped and pale words, unseen columns, drawn and cut letters."""
    page.set_content("""<body style="margin: 0; background: white">
        <p style="width: 2000px">wide</p>
        <p style="overflow: hidden; width: 20px; white-space: nowrap">clipped words</p>
        <p style="color: #999">pale</p>
        <div class="scroll" style="overflow: auto; width: 50px"><table><td>1,000,000,000,000</td></table></div>
        <div class="plot"><svg viewBox="0 0 100 100" width="50"><text x="99" y="9" font-size="10">cut</text></svg></div>
        <div class="plot"><svg viewBox="0 0 9 9" width="50"><path id="DejaVuSans-65" d="M0 0"/></svg></div></body>""")
    found = " ".join(page.evaluate(CHECK, {"contrast": True}))
    for fault in (
        *("the page is 2000 wide", "beyond the page: p. wide", "clipped: p. clipped words", "contrast 2.85: p. pale"),
        *("columns that are not seen", "clipped in its plot: cut", "5.0 px: cut", "without text", "letters are drawn"),
    ):
        assert fault in found


def test_the_report_of_the_results_is_short(report: Any) -> None:
    """Before anything is unfolded it is at most a third of 16,000 pixels high, and the finding is its heading."""
    assert report.evaluate("document.documentElement.scrollHeight") <= 16_000 / 3
    assert "Deeper plain networks train worse" in report.inner_text("h1")


def test_paper_has_everything(report: Any) -> None:
    """Printing unfolds what is folded, and folds it again."""
    closed = "document.querySelectorAll('details:not([open])').length"
    before = report.evaluate(closed)
    report.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert (before > 20, report.evaluate(closed)) == (True, 0)
    report.evaluate("dispatchEvent(new Event('afterprint'))")
    assert report.evaluate(closed) == before


def test_tables_sort_by_their_headers(report: Any) -> None:
    """By our numbers, upwards and downwards; rows without one stay last."""
    table = report.locator("#table6 table").first
    head = table.locator("th[data-column]", has_text="ours").first
    orders = []
    for order in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        cells = table.locator("tbody td.ours:nth-of-type(4)").evaluate_all("all => all.map((one) => one.dataset.value)")
        numbers = [cell for cell in cells if cell is not None]
        assert len(numbers) < len(cells) and cells[: len(numbers)] == numbers
        orders.append(list(map(float, numbers)))
    assert orders[0] == sorted(orders[0]) and orders[1] == orders[0][::-1]


def test_a_link_to_a_run_opens_it(report: Any) -> None:
    """A link to a seed's run opens its details, and the fold around them."""
    report.locator("#table6 a.seed").first.click()
    assert report.locator("details.run[open]").count() == 1 and report.locator("details.run[open] dl").is_visible()
