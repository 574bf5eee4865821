"""The page of a demo or a study."""

from __future__ import annotations

from pathlib import Path

from resnets.depth_study import page
from resnets.records.studies import DepthRow
from resnets.report.single_page import PageText


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    """The drawing is in it, in the page's colours; words are escaped, and each number is text."""
    row = DepthRow(
        network="plain20",
        depth=20,
        residual=False,
        training_error=80.0,
        training_images=1000,
        test_error=81.0,
        seconds=1.0,
        curve=((1, 90.0, 91.0), (2, 80.0, 81.0)),
    )
    said = PageText(title="<T>", headline="found", sentences=["1 < 2"], note="n", cautions=["short"])
    files = page.write([row], said, page.table([row]), tmp_path, name="demo")
    text = files.page.read_text()
    assert "&lt;T&gt;" in text and "1 &lt; 2" in text and "short" in text
    assert "<svg" in text and "<script src" not in text and "80.00\N{NO-BREAK SPACE}%" in text
    assert "stroke: var(--series-1)" in text
    assert files.plot.read_bytes().startswith(b"\x89PNG")
