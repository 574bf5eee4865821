"""`optimize`, `predict` of many images and `evaluate` in bf16 give what the network itself gives."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import resnets
from resnets.errors import DataError, UsageError
from resnets.evaluation import single_view
from resnets.inference import engine as engines
from resnets.inference import model as models
from resnets.records.runs import ClassifierResult
from resnets.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of ResNet-8 on photos of three colours, of which there are 12 to predict."""
    import numpy as np

    root = tmp_path_factory.mktemp("inference")
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 4)):
        for label, name in enumerate(("cat", "dog", "emu")):
            folder = root / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                noise = generator.integers(0, 60, (40, 48, 3), np.uint8)
                noise[..., label] += 150
                Image.fromarray(noise).save(folder / f"{index}.png")
    resnets.train("resnet8", f"folder:{root / 'photos'}", iterations=8, batch_size=12, out=root / "run")
    return root / "run"


@pytest.fixture
def photos(run: Path) -> list[Path]:
    return sorted((run.parent / "photos" / "val").rglob("*.png"))


def close(some: resnets.Prediction, other: resnets.Prediction, tolerance: float = 1e-6) -> bool:
    pairs = zip(some.probabilities, other.probabilities, strict=True)
    return (some.image, some.classes) == (other.image, other.classes) and all(abs(a - b) < tolerance for a, b in pairs)


@pytest.mark.parametrize(("engine", "precision"), [("eager", "fp32"), ("openvino", "fp32"), ("eager", "bf16")])
def test_an_optimized_model_predicts_the_same(run: Path, photos: list[Path], engine: str, precision: str) -> None:
    """Predictions are the model's to rounding, and an evaluation records how often they agree."""
    if engine == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    model = resnets.load(run)
    fast = resnets.optimize(model, engine=engine, precision=precision)
    assert isinstance(fast, resnets.Model) and fast.engine is not None
    assert (fast.classes, fast.input_spec) == (model.classes, model.input_spec)
    tolerance = 1e-6 if precision == "fp32" else 2e-2
    for photo in photos:
        assert close(fast.predict(photo), model.predict(photo), tolerance)
    evaluation = resnets.evaluate(fast, f"folder:{run.parent / 'photos'}")
    assert evaluation.agreement is not None
    assert evaluation.agreement.engine == engine and evaluation.agreement.precision == precision


def test_an_optimized_model_is_pickled_and_copied_without_its_engine(run: Path, photos: list[Path]) -> None:
    """Which is of this process: the copy predicts by its network, and the engine itself says why it cannot be."""
    fast = resnets.optimize(resnets.load(run), engine="eager", precision="fp32")
    expected = fast.predict(photos[0])
    for copied in (pickle.loads(pickle.dumps(fast)), copy.deepcopy(fast), copy.copy(fast)):
        assert copied.engine is None and fast.engine is not None
        assert close(copied.predict(photos[0]), expected)
    with pytest.raises(UsageError):
        pickle.dumps(fast.engine)


def test_optimize_a_module() -> None:
    """Its sizes are those of its declaration, or given."""
    engine = resnets.optimize(resnets.create("resnet8", in_channels=1), engine="eager", precision="fp32")
    assert engine(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    own = nn.Sequential(nn.Conv2d(4, 2, 5), nn.Flatten())
    with pytest.raises(UsageError, match="Sequential.*input_size="):
        resnets.optimize(own)
    engine = resnets.optimize(own, input_size=5, engine="eager", precision="fp32")
    assert engine(torch.zeros(3, 4, 5, 5)).shape == (3, 2)
    with pytest.raises(UsageError, match="precision is 'fp8'"):
        resnets.optimize(own, input_size=5, precision="fp8")


@pytest.mark.parametrize("batch", [1, 5, 32])
def test_many_are_predicted_as_one_by_one(
    run: Path, photos: list[Path], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, however they fall into batches, from a list or an iterator."""
    monkeypatch.setattr(models, "BATCH", batch)
    model = resnets.load(run)
    expected = [model.predict(photo, top=2) for photo in photos]
    for found in (
        resnets.predict(run, photos, top=2),
        resnets.predict(run, iter(map(str, photos)), top=2),
    ):
        assert len(found) == len(photos)
        assert all(map(close, found, expected))
    assert resnets.predict(run, []) == []
    assert close(resnets.predict(run, photos[0], top=2)[0], expected[0])


def test_a_bad_file_among_many(run: Path, photos: list[Path], tmp_path: Path) -> None:
    """It is reported in its place, and the others are done."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(photos[0].read_bytes()[:60])
    model = resnets.load(run)
    found = list(model.predict_many([photos[0], bad, tmp_path / "none.png", photos[1]]))
    assert [type(one).__name__ for one in found] == ["Prediction", "ImageError", "ImageError", "Prediction"]
    assert str(bad) in str(found[1]) and "no such file" in str(found[2])
    assert isinstance(found[3], resnets.Prediction) and close(found[3], model.predict(photos[1]))
    with pytest.raises(DataError, match="bad.png"):
        resnets.predict(run, [*photos, bad])


@pytest.mark.parametrize("collect", [list, iter])
def test_very_many_are_worth_an_engine(
    run: Path, photos: list[Path], collect: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once what remains takes longer than its preparation; the predictions stay the same."""
    prepared = []

    def optimize(*arguments: object, **options: object) -> engines.Engine:
        prepared.append(options)
        return engines.fastest(*arguments, **options, engine="eager")  # type: ignore[arg-type]

    monkeypatch.setattr(models, "BATCH", 4)
    monkeypatch.setattr(models, "fastest", optimize)
    expected = resnets.predict(run, photos)
    assert prepared == []
    monkeypatch.setattr(models, "PREPARATION_SECONDS", 0.0)
    assert all(map(close, resnets.predict(run, collect(photos)), expected))
    assert len(prepared) == 1 and prepared[0]["batch_size"] == 4


def test_without_an_engine_the_network_itself_goes_on(
    run: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that no engine runs answers for all images, and none is prepared again after each batch."""
    tried = []

    def fail(*_: object, **__: object) -> engines.Engine:
        tried.append(1)
        raise UsageError("no engine can run this network")

    expected = resnets.predict(run, photos)
    monkeypatch.setattr(models, "BATCH", 4)
    monkeypatch.setattr(models, "fastest", fail)
    monkeypatch.setattr(models, "PREPARATION_SECONDS", 0.0)
    assert all(map(close, resnets.predict(run, photos), expected))
    assert len(tried) == 1


def test_bf16_reports_its_agreement(digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On real images, here the digits; float32 is the network itself and has none to report."""
    result = RunFolder(digits_run).result(ClassifierResult)
    exact = resnets.evaluate(digits_run, "digits")
    assert result is not None and exact.agreement is None and exact.top1_error == result.test_error
    rounded = resnets.evaluate(digits_run, "digits", precision="bf16", batch_size=50)
    assert rounded.agreement is not None
    assert (rounded.agreement.engine, rounded.agreement.precision) == ("eager", "bf16")  # too few for another
    assert rounded.agreement.samples == rounded.samples == 360
    assert rounded.agreement.same_top1 >= 350
    assert 0 < rounded.agreement.logit_difference < 2e-2
    assert abs(rounded.top1_error - exact.top1_error) < 3
    monkeypatch.setattr(single_view, "COMPARED_IMAGES", 70)
    some = resnets.evaluate(digits_run, "digits", precision="bf16", batch_size=50)
    assert some.agreement is not None and some.agreement.samples == 70
    fast = resnets.optimize(resnets.load(digits_run), engine="eager", precision="fp32")
    same = resnets.evaluate(fast, "digits")
    assert same.agreement is not None and same.agreement.same_top1 == 70
    assert same.top1_error == exact.top1_error
    with pytest.raises(UsageError, match="'bf16'.*fp32"):
        resnets.evaluate(fast, "digits", precision="bf16")
