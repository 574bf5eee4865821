"""The page of a server in a real browser: images are chosen or dropped, and their classes are seen."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noise_images import png

import resnets

pytestmark = pytest.mark.browser

DROP = """(files) => {
  const dropped = new DataTransfer();
  for (const [name, content] of files) {
    dropped.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name));
  }
  return dropped;
}"""
OpenPage = Callable[..., Any]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Any]) -> Any:
    """A server that all tests of the page ask."""
    return start_server("--no-log")


@pytest.mark.parametrize(("width", "scheme", "how"), [(380, "light", "choose"), (1280, "dark", "drop")])
def test_images_are_classified_on_the_page(
    chromium: Any,
    server: Any,
    digits_run: Path,
    tmp_path: Path,
    width: int,
    scheme: str,
    how: str,
) -> None:
    """Each has a card with its class, probabilities and map, or its error; nothing fails or leaves here."""
    files = {"wide.png": png(1, (300, 100)), "tall.png": png(2, (100, 200)), "broken.png": b"none"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    failures: list[str] = []
    requested: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    address = f"http://127.0.0.1:{server.port}/"
    page.goto(address)
    if how == "choose":
        page.set_input_files("#file", [tmp_path / name for name in files])
    else:
        encoded = [(name, base64.b64encode(content).decode()) for name, content in files.items()]
        page.dispatch_event("#drop", "drop", {"dataTransfer": page.evaluate_handle(DROP, encoded)})
    page.wait_for_selector(".result")
    page.wait_for_selector("[data-state=waiting]", state="detached")
    cards = page.query_selector_all(".result")
    assert [card.query_selector(".file").inner_text() for card in cards] == list(files)
    for card, name in zip(cards[:2], files, strict=False):
        expected = resnets.predict(digits_run, tmp_path / name)[0]
        rows = card.query_selector_all(".probabilities li")
        assert [row.query_selector("span").inner_text() for row in rows] == list(expected.classes)
        assert rows[0].query_selector("b").inner_text() == f"{100 * expected.probabilities[0]:.1f} %"
        view, heat = (card.query_selector(part).bounding_box() for part in (".view", ".map"))
        sides = view["height"] if "wide" in name else view["width"]
        assert heat["width"] == pytest.approx(heat["height"], abs=1.5)
        assert heat["width"] == pytest.approx(sides, abs=1.5)  # the shorter side is what the network sees
    assert cards[2].get_attribute("data-state") == "failed" and cards[2].query_selector(".note").is_visible()
    page.uncheck("#maps")
    assert "without-maps" in page.get_attribute("body", "class")
    page.click("#clear")
    assert page.query_selector_all(".result") == []
    assert failures == []
    assert all(url.startswith((address, "data:", f"blob:{address}")) for url in requested)
    page.close()
