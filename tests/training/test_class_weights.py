"""Class weights: their values, the loss that does not depend on how a mini-batch is split, and the record of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

import resnets
from resnets.data.splits import DataSplits
from resnets.errors import RunError, UsageError
from resnets.records.base import read
from resnets.records.runs import RunRecord
from resnets.training.loss import make_loss, resolve_class_weights
from resnets.training.recipes import CIFAR, FAST

CPU = torch.device("cpu")


def splits(*counts: int) -> DataSplits:
    labels = np.repeat(np.arange(len(counts)), counts)
    split = resnets.ImageArrays(np.zeros((len(labels), 8, 8, 3), np.uint8), labels)
    return DataSplits(name="own", train=split, test=split, classes=("a", "b", "c", "d")[: len(counts)])


def test_auto_is_inverse_to_the_frequency() -> None:
    """With mean 1 over the images, as scikit-learn's balanced weights; a class without images takes no part."""
    found = resolve_class_weights("auto", splits(90, 10, 0))
    assert found == pytest.approx({"a": 100 / 180, "b": 5.0, "c": 1.0})
    assert (90 * found["a"] + 10 * found["b"]) / 100 == pytest.approx(1)


@pytest.mark.parametrize("given", ["a=2,c=3.5", {"a": 2, "c": 3.5}])
def test_given_weights_are_kept(given: str | dict[str, float]) -> None:
    """By class, as a text or a mapping; a class that is not named has 1."""
    assert resolve_class_weights(given, splits(1, 1, 1)) == {"a": 2.0, "b": 1.0, "c": 3.5}


@pytest.mark.parametrize(
    ("given", "named"), [("e=2", "'e'"), ("a=0", "a is 0"), ("a=nan", "nan"), ("a", "'a'"), ("a=x", "a=x"), ("", "''")]
)
def test_impossible_weights_are_refused(given: str, named: str) -> None:
    """Naming the class or the weight."""
    with pytest.raises(UsageError, match=named):
        resolve_class_weights(given, splits(1, 1))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([1.0, 1.0], "type list"),
        (torch.ones(2), "type Tensor"),
        (np.ones(2), "type ndarray"),
        (2.0, "type float"),
        ({"a": "2"}, "a is '2'; it must be a number"),
        ({"a": None}, "a is None"),
        ({"a": True}, "a is True"),
        ({0: 2.0}, "names 0, which is no class"),
        ("a=2,b=1, a=5", "'a' twice"),
    ],
)
def test_weights_of_another_type_are_refused(given: Any, named: str) -> None:
    """Neither a text nor a mapping, a weight that is no number, a name that is no text, or a class named twice."""
    with pytest.raises(UsageError, match=named):
        resolve_class_weights(given, splits(1, 1))


def test_numbers_of_numpy_and_torch_are_weights() -> None:
    """As they come from counts."""
    given: Any = {"a": np.float32(2), "b": torch.tensor(3)}
    assert resolve_class_weights(given, splits(1, 1)) == {"a": 2.0, "b": 3.0}


def test_unknown_frequencies_are_refused() -> None:
    """Of a dataset object, whose labels are known only when it is read."""
    dataset = TensorDataset(torch.zeros(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]))
    own = DataSplits(name="own", train=dataset, test=dataset, classes=("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="auto"):
        resolve_class_weights("auto", own)


@pytest.mark.parametrize("recipe", [CIFAR, FAST], ids=lambda recipe: recipe.name)
def test_the_loss_does_not_depend_on_the_split(recipe: resnets.Recipe) -> None:
    """The loss of 8 images and its gradient are the means of those of 4 and 4, which have other classes."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 2, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    loss = make_loss(recipe, (0.5, 4.0), CPU)
    whole = loss(logits, labels)
    parts = (loss(logits[:4], labels[:4]) + loss(logits[4:], labels[4:])) / 2
    assert whole.item() == pytest.approx(parts.item())
    gradients = [torch.autograd.grad(one, logits)[0] for one in (whole, parts)]
    torch.testing.assert_close(*gradients)
    each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=recipe.label_smoothing)
    assert whole.item() == pytest.approx((0.5 * each[:5].sum() + 4 * each[5:].sum()).item() / 8)


def test_a_run_records_its_weights(tiny_splits: DataSplits, tmp_path: Path) -> None:
    """They are in run.json, and a resumed run must have the same; result.json has the majority-class error."""
    settings = {"iterations": 2, "batch_size": 8, "device": "cpu", "workers": 0, "out": tmp_path / "run"}
    result = resnets.train("resnet8", tiny_splits, class_weights="red=3", **settings)
    run = read(tmp_path / "run" / "run.json", RunRecord)
    assert run is not None and run.class_weights == {"red": 3.0, "green": 1.0, "blue": 1.0}
    assert result.majority_class_error == pytest.approx(100 * 2 / 3)
    with pytest.raises(RunError, match="class_weights"):
        resnets.train("resnet8", tiny_splits, resume=True, **settings)
    again = resnets.train("resnet8", tiny_splits, class_weights={"red": 3}, resume=True, **settings)
    assert again.already_finished


@pytest.mark.parametrize(("counts", "noted"), [((91, 9), True), ((90, 10), False)])
def test_a_class_of_nearly_all_images_is_noted(counts: tuple[int, int], noted: bool) -> None:
    """From over 90 % on, with the error of always answering it."""
    notes = [note for note in splits(*counts).remarks() if "9.0 %" in note]
    assert bool(notes) == noted
