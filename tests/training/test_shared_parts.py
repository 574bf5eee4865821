"""Predictions in parts by several processes, after one was killed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import together
from PIL import Image
from together import Processes

import resnets

pytest.importorskip("pyarrow")


def test_killed_predictions_are_finished_by_other_processes(
    tmp_path: Path, start: Callable[..., BaseProcess], two_processes: Processes, pandas: Any
) -> None:
    """Two processes write what one did not, each image once and in order, and both return the same."""
    generator, images = np.random.default_rng(0), []
    for number in range(80):
        images.append(tmp_path / f"{number:02}.png")
        Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(images[-1])
    out = tmp_path / "out"
    killed = start(together.predict_into, [*images[:70], together.Fatal(images[70]), *images[71:]], out)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    before = {part: part.stat().st_mtime_ns for part in out.glob("part-*")}
    assert 0 < len(before) < 8
    one, other = two_processes.run(together.predict_into, images, out)
    assert one == other and (one.parts, one.images, one.unreadable) == (8, 80, 0)
    assert {part: part.stat().st_mtime_ns for part in before} == before
    table = pandas.read_parquet(out)
    expected = resnets.predict("resnet20-digits", images, top=1)
    assert table.filename.tolist() == [str(image) for image in images]
    assert table.label.tolist() == [found.classes[0] for found in expected]
