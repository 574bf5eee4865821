"""The page of mistakes in a real browser: nothing fails, nothing overflows, nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resnets
from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.inference.model import Model
from resnets.specs import InputSpec

pytestmark = pytest.mark.browser

WIDER = """() => [...document.querySelectorAll("body *")]
  .filter((one) => !one.closest(".scroll, .sr, .skip, svg"))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => `${one.tagName}.${one.className}`)"""


@pytest.fixture(scope="module")
def chromium(browser: str) -> Iterator[Any]:
    """A browser that playwright drives."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])


class Noisy(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3)

    def forward(self, x: Tensor) -> Tensor:
        return 300 * self.conv(x).mean((2, 3))


@pytest.fixture(scope="module", params=[10, 40, 300])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an untrained network on noise, with names that are long and have no spaces."""
    classes = request.param
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    labels = np.arange(600, dtype=np.int64) % classes
    split = ImageArrays(generator.integers(0, 256, (600, 8, 8, 3), np.uint8), labels)
    names = tuple(f"a_class_with_a_very_long_name_without_spaces_{number}" for number in range(classes))
    splits = DataSplits("a_data_set_with_a_very_long_name_without_any_space_in_it", split, split, names, digest="none")
    model = Model(Path("noise"), Noisy(classes).eval(), names, InputSpec(size=8, resize=8), torch.device("cpu"))
    folder = tmp_path_factory.mktemp("mistakes")
    resnets.evaluate(model, splits, mistakes=folder)
    return folder / "mistakes.html"


@pytest.mark.parametrize(("width", "scheme"), [(380, "light"), (1280, "dark")])
def test_nothing_of_the_page_overflows_or_fails(page: Path, chromium: Any, width: int, scheme: str) -> None:
    """On a phone and on a screen, light and dark; all images are decoded, and no request leaves the page."""
    shown = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    failures: list[str] = []
    requested: list[str] = []
    shown.on("pageerror", lambda error: failures.append(str(error)))
    shown.on("request", lambda request: requested.append(request.url))
    shown.goto(page.as_uri())
    shown.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    shown.evaluate("() => document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
    shown.wait_for_function("() => [...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    assert shown.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    assert shown.evaluate(WIDER) == []
    assert failures == []
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    shown.close()
