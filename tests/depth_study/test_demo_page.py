"""The demo's page, on which networks answer in the browser: it needs Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnets
from resnets.data.arrays import ImageArrays
from resnets.data.normalization import normalize

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo of the smallest networks, trained for some iterations."""
    out = tmp_path_factory.mktemp("demo")
    resnets.demo(out, depths=(8, 14), iterations=4)
    return out


@pytest.fixture(scope="module")
def page(chromium: Any, folder: Path) -> Iterator[Any]:
    """The demo's page on a phone; an error in its script fails the tests."""
    errors: list[str] = []
    page = chromium.new_page(viewport={"width": 380, "height": 800})
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "degradation.html").as_uri())
    yield page
    page.close()
    assert errors == []


def _answers(page: Any) -> list[list[float]]:
    return [json.loads(page.locator(f"#answer-{number}").get_attribute("data-probabilities")) for number in (0, 1)]


def test_the_networks_answer_as_in_pytorch(page: Any, folder: Path) -> None:
    """The probabilities of ten test images, of the plain and of the residual network, are PyTorch's."""
    test = resnets.load_data("digits").test
    assert isinstance(test, ImageArrays)
    for number, name in enumerate(("plain14", "resnet14")):
        model = resnets.load(folder / name, device="cpu")
        assert model.input_spec is not None
        for digit in range(10):
            image = test.images[[int(np.flatnonzero(test.labels == digit)[0])]]
            with torch.inference_mode():
                logits = model.network(torch.from_numpy(normalize(image, model.input_spec)).permute(0, 3, 1, 2))
            page.locator("#samples button").nth(digit).click()
            assert _answers(page)[number] == pytest.approx(logits.softmax(1)[0].tolist(), abs=1e-3)


def test_what_is_drawn_is_read(page: Any) -> None:
    """A stroke becomes an 8 x 8 image as high as the digits of the data set, and changes the answers."""
    before = _answers(page)
    page.locator("#drawing").scroll_into_view_if_needed()
    box = page.locator("#drawing").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 160, steps=5)
    page.mouse.up()
    assert _answers(page) != before
    seen = "Array.from(document.getElementById('seen').getContext('2d').getImageData(0, 0, 8, 8).data)"
    values = np.array(page.evaluate(seen)).reshape(8, 8, 4)[..., 0]
    assert (values[:, 3:5].sum(axis=1) > 0).all()  # from the first row to the last
    assert values[:, [0, 1, 6, 7]].sum() == 0
