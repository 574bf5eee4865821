"""`calibrate`: one temperature that makes a network's probabilities fit its errors (Guo et al. 2017)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.special import log_softmax  # type: ignore[import-untyped]
from torch import nn

from resnets.data.load import Data
from resnets.data.splits import DataSplits, Split
from resnets.errors import DataError, UsageError, WeightsError, public, warn
from resnets.evaluation.confidence import confidence_bins, expected_error
from resnets.evaluation.members import class_order, data_for, division_of, fitting
from resnets.files import make_folder, require_file, writing
from resnets.inference.model import Model, load
from resnets.records.evaluations import Calibration
from resnets.records.runs import record_of
from resnets.runtime.device import forward
from resnets.runtime.launch import require_alone
from resnets.weights import weights_file
from resnets.weights.sources import is_published, local_path

TEMPERATURES = (0.05, 20.0)
ENOUGH = 20  # wrong answers on validation images, below which chance decides
FEW = 32  # images on which the division of the logits is verified


@public
def calibrate(
    path: str | Path,
    data: Data | None = None,
    *,
    network: nn.Module | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 256,
    workers: int = 2,
) -> Calibration:
    """Fit a temperature on validation images, and divide the logits by it; the probabilities change, no class does.

    The temperature is made a part of the last layer, so that whatever uses the weights is calibrated. What it changes
    is measured on the test images, which choose nothing.

    Args:
        path: a run folder or a weights file, which is written again, but not where fewer than 20 validation images are
            answered wrong.
        data: that of the run (None), whose validation images are those that it held out, or any with the same classes
            and validation images of its own.
        network: the module, for weights of a custom one.
        out: another weights file to write (.safetensors); needed for weights that are published.
        device: `auto` is the first GPU, else the CPU.
        batch_size: images per batch; the result does not depend on it.
        workers: data-loading processes.

    Raises: UsageError, if there are no validation images; DataError, if they are of other classes, all are answered
        right, or too few wrong to write the same file; WeightsError, if the last layer is not linear; RunError, if the
        weights cannot be written.
    """
    require_alone("calibrate")
    target = _target(path, out)
    model = load(path, network=network, device=device)
    if target is None:
        require_file(model.path, in_place=True)
    splits = fitting(model, _with_validation(model, data_for([model], data)))
    assert splits.validation is not None
    validation = _outputs(model, splits, splits.validation, batch_size, workers)
    wrong = int((validation[0].argmax(1) != validation[1]).sum())
    if target is None and wrong < ENOUGH:
        raise DataError(
            f"{splits.name}: of {len(splits.validation):,} validation images {wrong} are answered wrong, too few for a "
            f"reliable temperature; hold out more images in training (--split 20%), or write another weights "
            f"file all the same (--out)"
        )
    temperature = fit_temperature(*validation, where=splits.name)
    before = _outputs(model, splits, splits.test, batch_size, workers)
    few = splits.test.subsample(FEW)
    expected = _outputs(model, splits, few, FEW, 0)[0] / temperature
    _divide_last_layer(model, temperature)
    if not np.allclose(_outputs(model, splits, few, FEW, 0)[0], expected, rtol=1e-3, atol=1e-3):
        raise WeightsError(f"{model.path}: the outputs of its last layer are not the logits")
    after = before[0] / temperature, before[1]
    earlier = 1.0 if model.calibration is None else model.calibration.temperature
    found = Calibration(
        temperature=earlier * temperature,
        data=splits.name,
        validation_images=len(splits.validation),
        test_images=len(splits.test),
        ece_before=calibration_error(*before),
        ece_after=calibration_error(*after),
        nll_before=negative_log_likelihood(*before),
        nll_after=negative_log_likelihood(*after),
    )
    target = model.path if target is None else target
    with writing(target):
        make_folder(target.parent)
        weights_file.save(target, model.network, classes=model.classes, input_spec=model.input_spec, calibration=found)
    return found


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64], *, where: str = "the data") -> float:
    """Return the temperature by which the logits are to be divided for the least negative log-likelihood.

    Shape: (N, K), (N,)
    Raises: DataError, if all answers are right: then ever more certain ones are likelier.
    """
    wrong = int((logits.argmax(1) != labels).sum())
    if not wrong:
        raise DataError(
            f"{where}: all {len(labels):,} validation images are answered right; a temperature needs some that are not"
        )
    if wrong < ENOUGH:
        warn(
            f"{where}: of {len(labels):,} validation images {wrong} are answered wrong, too few for a reliable "
            f"temperature; compare the calibration error before and after, or hold out more images (--split 20%)"
        )
    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(
        lambda log: negative_log_likelihood(logits / math.exp(log), labels),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)


def negative_log_likelihood(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean over images, in nats. Shape: (N, K), (N,)"""
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def calibration_error(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the expected calibration error in percent. Shape: (N, K), (N,)"""
    confidence = np.exp(log_softmax(logits, axis=1).max(1))
    return expected_error(confidence_bins(confidence, logits.argmax(1) == labels))


def _target(path: str | Path, out: str | Path | None) -> Path | None:
    """Return the file to write, where it is not the one that is read. Raises: UsageError; WeightsError, if none is."""
    if not is_published(path):
        local_path(path)
    if out is None:
        if is_published(path) or not (Path(path).is_dir() or Path(path).suffix == ".safetensors"):
            raise UsageError(f"{path}: name a .safetensors file for the calibrated weights with --out")
        return None
    if Path(out).suffix != ".safetensors":
        raise UsageError(f"out is {out}; calibrated weights are written to a .safetensors file")
    require_file(out)
    return Path(out)


def _with_validation(model: Model, splits: DataSplits) -> DataSplits:
    """Return the splits with their own validation images, or those that the model's run held out of this very data.

    Raises: UsageError, if there are none; DataError, if these would be drawn of other data than the run's.
    """
    if splits.validation is not None:
        return splits
    run = record_of(model.path)
    if run is None or (run.data.split == "all" and splits.validation_share is None):
        raise UsageError(
            f"{splits.name} has no validation images, and its test images must choose nothing: train with --split 10%, "
            f"or give data that has folders val/ and test/"
        )
    if (divided := division_of(model, splits)) is None:
        raise DataError(
            f"{splits.name} is not the data of {model.path.parent}, which is {run.data.in_words()}: images that it was "
            f"trained on would be taken for validation images"
        )
    return divided


@torch.inference_mode()
def _outputs(
    model: Model, splits: DataSplits, split: Split, batch_size: int, workers: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the logits, in the order of the data's classes, and the labels of a single view of each image."""
    order = class_order(model, splits)
    logits, labels = [], []
    for images, theirs in split.test_batches(model.input_spec, batch_size=batch_size, workers=workers):
        found = forward(model.network, images.to(model.device), "fp32").double().cpu()
        logits.append(found if order is None else found[:, order])
        labels.append(theirs)
    return torch.cat(logits).numpy(), torch.cat(labels).numpy()


@torch.no_grad()
def _divide_last_layer(model: Model, temperature: float) -> None:
    """Divide the weights of the last layer. Raises: WeightsError, if it is not linear."""
    name = weights_file.last_layer(model.network)
    layer = model.network.get_submodule(name)
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        raise WeightsError(f"{model.path}: its last layer, {name}, is a {type(layer).__name__}; it must be linear")
    for parameter in layer.parameters():
        parameter.div_(temperature)
