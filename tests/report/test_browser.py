"""The page in a real browser, headless: nothing fails, nothing overflows, tables sort, links open what they name."""

from __future__ import annotations

import html
import json
import re
import subprocess
from typing import Any

import made_up as results
import pytest

import resnets

pytestmark = pytest.mark.browser

PROBE = """
<script>
const failures = [];
addEventListener("error", (event) => failures.push(String(event.message)));
</script>
"""
FINDINGS = """
<script>
addEventListener("load", () => {
  const wide = (root) => [...root.querySelectorAll("body *")]
    .filter((one) => !one.closest(".scroll, .sr, .skip, svg") && one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => `${one.tagName}.${one.className}`);
  for (const details of document.querySelectorAll("details")) details.open = true;
  const overflow = document.documentElement.scrollWidth - innerWidth;
  const over = wide(document);
  for (const details of document.querySelectorAll("details.run")) details.open = false;
  const table = document.querySelector("#table6 table");
  const labels = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
  const heads = [...table.querySelectorAll("th[data-column]")];
  const head = heads.find((one) => one.textContent.startsWith("ours"));
  const button = head.querySelector("button");
  button.focus();
  const focused = document.activeElement === button;
  button.click();
  const up = [labels(), head.getAttribute("aria-sort")];
  button.click();
  const down = [labels(), head.getAttribute("aria-sort")];
  const region = table.parentElement;
  const fits = region.scrollWidth <= region.clientWidth;
  const cut = [];
  for (let left = 0; left < region.scrollWidth; left += 37) {
    region.scrollLeft = left;
    for (const row of table.tBodies[0].rows) {
      const edge = row.cells[0].getBoundingClientRect().right;
      for (const cell of [...row.cells].slice(1)) {
        const place = cell.getBoundingClientRect();
        if (place.left < edge - 1 && edge + 1 < place.right) cut.push([left, cell.textContent]);
      }
    }
  }
  region.scrollLeft = 0;
  location.hash = document.querySelector("details.run").id;
  setTimeout(() => {
    const hint = getComputedStyle(region, "::before").content;
    const opened = document.querySelector("details.run").open;
    const found = {failures, overflow, over, focused, up, down, fits, hint, cut, opened, width: innerWidth};
    document.body.dataset.findings = JSON.stringify(found);
    parent.postMessage(JSON.stringify(found), "*");
  }, 50);
});
</script>
"""
FRAME = """<!doctype html><body><script>
addEventListener("message", (event) => { document.body.dataset.findings = event.data; });
</script><iframe src="page.html" style="width: WIDTHpx; height: 900px; border: 0"></iframe></body>"""


@pytest.fixture(scope="module")
def findings(browser: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What the browser found on the page, by the window's width."""
    folder = tmp_path_factory.mktemp("site")
    made = resnets.write_report(results.everything(folder / "results"), out=folder)
    assert made.page is not None
    page = made.page.read_text().replace("<head>", f"<head>{PROBE}").replace("</body>", f"{FINDINGS}</body>")
    (folder / "page.html").write_text(page)
    found = {}
    for width in (380, 1280):
        frame = folder / f"{width}.html"
        frame.write_text(FRAME.replace("WIDTH", str(width)))
        done = subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"),
                *("--virtual-time-budget=20000", f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000"),
                frame.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        match = re.search(r'data-findings="([^"]*)"', done.stdout)
        assert match, done.stderr[-2000:]
        found[width] = json.loads(html.unescape(match[1]))
    return found


@pytest.mark.parametrize("width", [380, 1280])
def test_nothing_fails_and_nothing_overflows(findings: dict[int, dict[str, Any]], width: int) -> None:
    """On a narrow and a wide window no script fails and nothing is wider than the window."""
    found = findings[width]
    assert found["width"] == width
    assert found["failures"] == []
    assert found["overflow"] <= 0, found["over"]
    assert found["over"] == []


def test_tables_sort_by_their_headers(findings: dict[int, dict[str, Any]]) -> None:
    """By our numbers, upwards and downwards; rows without one stay last."""
    found = findings[1280]
    assert found["focused"]
    rows, order = found["up"]
    assert order == "ascending"
    rows_down, order_down = found["down"]
    assert order_down == "descending"
    assert rows[0] != rows_down[0]
    assert len(rows) == 12 and sorted(rows) == sorted(rows_down)


def test_on_a_screen_table_6_is_shown_whole(findings: dict[int, dict[str, Any]]) -> None:
    """Its status and commands are not clipped, and nothing says that there is more."""
    assert findings[1280]["fits"]
    assert findings[1280]["hint"] == "none"


def test_on_a_phone_no_number_is_partly_covered(findings: dict[int, dict[str, Any]]) -> None:
    """Wherever the table is scrolled to it rests at the start of a column; a hint says that it scrolls."""
    found = findings[380]
    assert not found["fits"] and "scroll" in found["hint"]
    assert found["cut"] == []


def test_a_link_to_a_run_opens_it(findings: dict[int, dict[str, Any]]) -> None:
    """A link to a run opens its details."""
    assert findings[1280]["opened"]
