"""Calibration: the temperature, what it changes, where it is stored, and which images it is fitted on."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import resnets
from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.errors import DataError, UsageError, WeightsError
from resnets.evaluation.calibrate import calibration_error, fit_temperature, negative_log_likelihood
from resnets.weights import weights_file


def test_the_temperature_of_scaled_logits_is_found() -> None:
    """Labels drawn from softmax(logits): of logits times 3 the temperature is 3, within what 20,000 images allow."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 5))
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(1)  # a draw from the softmax
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert calibration_error(logits, labels) < 1.5 < 10 < calibration_error(3 * logits, labels)
    assert negative_log_likelihood(logits, labels) < negative_log_likelihood(3 * logits, labels)


def test_the_calibration_error_by_hand() -> None:
    """Four answers of 80 % of which two are right are 30 points off; two sure and right ones are not: 20 % of six."""
    sure = np.log([[0.8, 0.2]] * 4 + [[1 - 1e-12, 1e-12]] * 2)
    labels = np.array([0, 0, 1, 1, 0, 0])
    assert calibration_error(sure, labels) == pytest.approx(100 * 4 / 6 * 0.3, abs=1e-6)


def test_perfect_answers_have_no_temperature() -> None:
    """Where all validation images are answered right, it would go to zero."""
    with pytest.raises(DataError, match="all 2"):
        fit_temperature(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 1]))


def test_few_wrong_answers_are_warned_of() -> None:
    """Of two wrong answers among thirty the temperature is mostly chance."""
    logits = np.random.default_rng(0).normal(0, 2, (30, 3))
    labels = logits.argmax(1)
    labels[:2] = (labels[:2] + 1) % 3
    with pytest.warns(UserWarning, match="30 validation images 2 are"):
        fit_temperature(logits, labels)


@pytest.fixture(scope="module")
def held_out_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits that held out a fifth of the training images. It is only read."""
    out = tmp_path_factory.mktemp("calibrated") / "run"
    resnets.train("resnet8", "digits", split="20%", seed=3, iterations=25, device="cpu", out=out)
    return out


@pytest.fixture
def run(held_out_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(held_out_run, tmp_path / "run"))


def test_weights_are_calibrated_in_place(run: Path, tmp_path: Path) -> None:
    """Probabilities change as the record says and classes do not, and a second time changes nothing."""
    Image.fromarray(resnets.load_data("digits").test.images[0, ..., 0]).save(tmp_path / "digit.png")
    before, logits = resnets.evaluate(run, "digits"), resnets.load(run, device="cpu")
    image = logits.predict(tmp_path / "digit.png", top=10)
    found = resnets.calibrate(run, "digits", workers=0)
    after, model = resnets.evaluate(run, "digits"), resnets.load(run, device="cpu")
    assert (found.validation_images, found.test_images) == (289, 360)
    assert (before.loss, after.loss) == pytest.approx((found.nll_before, found.nll_after), rel=1e-5)
    assert found.nll_after < found.nll_before and found.ece_after < found.ece_before
    assert before.top1_error == after.top1_error and before.confusion == after.confusion
    assert model.calibration == found and f"{found.temperature:.3g}" in repr(model)
    calibrated = model.predict(tmp_path / "digit.png", top=10)
    expected = torch.tensor(image.probabilities, dtype=torch.float64).log().div(found.temperature).softmax(0)
    assert calibrated.classes == image.classes
    assert calibrated.probabilities == pytest.approx(expected.tolist(), rel=1e-4)
    resnets.convert(run, tmp_path / "copy.safetensors")
    assert resnets.load(tmp_path / "copy.safetensors", device="cpu").calibration == found
    assert resnets.calibrate(run, "digits", workers=0).temperature == pytest.approx(found.temperature, rel=1e-3)


def test_another_file_is_written(run: Path, tmp_path: Path) -> None:
    """With `out` the run keeps its weights."""
    content = (run / "weights.safetensors").read_bytes()
    resnets.calibrate(run, "digits", out=tmp_path / "new" / "calibrated.safetensors", workers=0)
    assert (run / "weights.safetensors").read_bytes() == content
    assert resnets.load(tmp_path / "new" / "calibrated.safetensors", device="cpu").calibration is not None


def test_data_may_have_validation_images_of_its_own(digits_run: Path, tmp_path: Path) -> None:
    """Then they are used, whatever the run was trained on."""
    digits = resnets.load_data("digits")
    own = dataclasses.replace(digits.hold_out(300, seed=1), name="others", digest=None)
    found = resnets.calibrate(digits_run, own, out=tmp_path / "calibrated.safetensors", workers=0)
    assert (found.data, found.validation_images) == ("others", 300)


def test_test_images_choose_nothing(digits_run: Path) -> None:
    """A run that held nothing out is not calibrated, and the error says what to do."""
    with pytest.raises(UsageError, match="--split 10%"):
        resnets.calibrate(digits_run, "digits")


def test_images_that_were_trained_on_are_refused(run: Path) -> None:
    """The same draw from other images would take training images for validation images."""
    digits = resnets.load_data("digits")
    others = DataSplits("digits", digits.test, digits.train, digits.classes, digest="another")
    fewer = dataclasses.replace(digits, train=digits.train.select(np.arange(1_000)))
    for data in (others, fewer):
        with pytest.raises(DataError, match="not the data"):
            resnets.calibrate(run, data)


@pytest.mark.parametrize("in_channels", [None, 1])
def test_small_images_of_a_folder_are_compared_by_content(tmp_path: Path, in_channels: int | None) -> None:
    """Files that are renamed are drawn in another order: as many, but some of them were trained on."""
    generator = np.random.default_rng(0)
    for part, images in (("train", 20), ("test", 8)):
        for name in ("cat", "dog"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for index in range(images):
                pixels = generator.integers(0, 256, (36, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / part / name / f"{index:02}.png")
    data, out = f"folder:{tmp_path / 'data'}", tmp_path / "run"
    resnets.train(
        "resnet8", data, split="20%", in_channels=in_channels, iterations=1, batch_size=16, device="cpu", out=out
    )
    with pytest.warns(UserWarning, match="too few"):
        found = resnets.calibrate(out, data, out=tmp_path / "calibrated.safetensors", workers=0, device="cpu")
    assert found.validation_images == 8
    for file in sorted((tmp_path / "data/train").rglob("*.png")):
        file.rename(file.with_stem(f"r{99 - int(file.stem)}"))
    with pytest.raises(DataError, match="not the data"):
        resnets.calibrate(out, data, workers=0, device="cpu")


def test_a_last_layer_that_is_not_linear_is_refused(tmp_path: Path) -> None:
    """It has no weights whose division divides the logits; nor has a linear one that something follows."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    digits = resnets.load_data("digits").hold_out(100, seed=0)
    input_spec = digits.train.fit_input(resnets.find_recipe("digits").preprocessing, None)
    path = tmp_path / "custom.safetensors"
    weights_file.save(path, module, classes=digits.classes, input_spec=input_spec)
    with pytest.raises(WeightsError, match="BatchNorm1d"):
        resnets.calibrate(path, digits, network=module, device="cpu", workers=0)
    scaled = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))
    weights_file.save(path, scaled, classes=digits.classes, input_spec=input_spec)
    with pytest.raises(WeightsError, match="logits"):
        resnets.calibrate(path, digits, network=scaled, device="cpu", workers=0)


def test_weights_are_kept_where_chance_would_decide(digits_run: Path, tmp_path: Path) -> None:
    """With a few wrong answers the same file is not written, another one is, with a warning."""
    data = resnets.load_data("digits").divided("10%", 0)
    assert isinstance(data.validation, ImageArrays)
    model = resnets.load(digits_run, device="cpu")
    answers = [model.predict(image).classes[0] for image in data.validation.images[:40]]
    right = np.array(
        [answer == data.classes[label] for answer, label in zip(answers, data.validation.labels, strict=False)]
    )
    few = [*np.flatnonzero(right)[:10], *np.flatnonzero(~right)[:3]]
    own = dataclasses.replace(data, validation=data.validation.select(np.array(few)))
    before = (digits_run / "weights.safetensors").read_bytes()
    with pytest.raises(DataError, match="3 are answered wrong"):
        resnets.calibrate(digits_run, own, workers=0, device="cpu")
    assert (digits_run / "weights.safetensors").read_bytes() == before
    with pytest.warns(UserWarning, match="3 are answered wrong"):
        resnets.calibrate(digits_run, own, out=tmp_path / "other.safetensors", workers=0, device="cpu")
