"""The sentences under the demo's curves say what the numbers say, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnets.report.degradation import Row, findings, write


def rows(plain: tuple[float, float], residual: tuple[float, float]) -> list[Row]:
    """Rows of 20 and 110 layers with these training errors."""
    return [
        Row(f"{kind}{depth}", depth, kind == "resnet", error, error, 1.0, ((1, error, error),))
        for kind, errors in (("plain", plain), ("resnet", residual))
        for depth, error in zip((20, 110), errors, strict=True)
    ]


@pytest.mark.parametrize(
    ("plain", "residual", "first", "second"),
    [
        ((5, 80), (2, 3), "not overfitting but degradation", "at 80.0 % when plain, trains to 3.0 %"),
        ((5, 4), (5, 1), "no degradation shows", "at 4.0 % when plain, trains to 1.0 %"),
        ((5, 20), (5, 80), "not overfitting but degradation", "at 20.0 % when plain, is no better"),
    ],
)
def test_findings(plain: tuple[float, float], residual: tuple[float, float], first: str, second: str) -> None:
    sentences = findings(rows(plain, residual))
    assert first in sentences[0]
    assert second in sentences[1]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    """One file with the drawing in it, titles escaped, and each number as text."""
    plot, page = write(rows((5, 80), (2, 3)), ["1 < 2"], tmp_path, title="<T>", note="n")
    text = page.read_text()
    assert "&lt;T&gt;" in text and "1 &lt; 2" in text
    assert "<svg" in text and "<script" not in text and "80.00 %" in text
    assert plot.read_bytes().startswith(b"\x89PNG")
