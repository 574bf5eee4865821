"""Warnings name the line that called the package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.errors import warn
from resnets.networks import registry
from resnets.training.observers import Observer


def _short(folder: Path, photos: Path, run: Path) -> object:
    generator = np.random.default_rng(0)
    images = resnets.ImageArrays(generator.integers(0, 255, (8, 32, 32, 3), np.uint8), np.arange(8) % 2)
    data = resnets.DataSplits(name="noise", train=images, test=images, classes=("a", "b"))
    return resnets.train("resnet18", data, iterations=1, batch_size=2, out=folder / "run")


def _averaged(folder: Path, photos: Path, run: Path) -> object:
    tensors = registry.create("resnet8").state_dict()
    torch.save({"state_dict": tensors, "state_dict_ema": tensors}, folder / "resnet8.pth")
    return resnets.create("resnet8", weights=folder / "resnet8.pth")


def _other_order(folder: Path, photos: Path, run: Path) -> object:
    test = resnets.load_data("digits").test
    other = resnets.DataSplits(name="x", train=test, test=test, classes=tuple("1023456789"))
    return resnets.evaluate(run, other)


def _left_out(folder: Path, photos: Path, run: Path) -> object:
    (photos / "train" / "cat" / "notes.txt").write_text("no image")
    return resnets.shard_data(f"folder:{photos}", folder / "shards")


class _LosesItsOutput(Observer):
    def started(self, *_: object) -> None:
        raise BrokenPipeError


def _lost_observer(folder: Path, photos: Path, run: Path) -> object:
    return resnets.train("resnet8", "digits", iterations=1, observers=[_LosesItsOutput()], out=folder / "run")


@pytest.mark.parametrize("call", [_short, _averaged, _other_order, _left_out, _lost_observer])
def test_a_warning_names_the_callers_line(
    call: Callable[[Path, Path, Path], object], tmp_path: Path, photo_folder: Path, digits_run: Path
) -> None:
    """Public calls of several depths, through decorators and context managers."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call(tmp_path, photo_folder, digits_run)
    assert found
    for one in found:
        first = call.__code__.co_firstlineno
        assert one.filename == __file__ and one.lineno > first and issubclass(one.category, UserWarning)


def test_a_repeated_warning_is_shown_once_a_line() -> None:
    """As Python's own: by default the same message of the same line is not repeated."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(2):
            warn("a message of a test")
        warn("a message of a test")
    assert [one.lineno for one in found] == [found[0].lineno, found[0].lineno + 1]
