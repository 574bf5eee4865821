"""What a run does on a GPU, by the public calls: compiled, captured, tested and resumed there as on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnets
from resnets.data import normalization
from resnets.data.arrays import ImageArrays
from resnets.data.splits import DataSplits
from resnets.evaluation.single_view import SingleView
from resnets.networks.cuda_graph import FallbackWarning
from resnets.records.runs import ClassifierResult
from resnets.runtime.device import place
from resnets.runtime.turns import Session
from resnets.specs import Preprocessing, Recipe
from resnets.training.config import TrainingConfig, resolve
from resnets.training.run_folder import RunFolder
from resnets.training.together import Process, train_together
from resnets.training.train import TrainResult, session

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("default", f"error::{FallbackWarning.__module__}.FallbackWarning"),
]


def splits() -> DataSplits:
    generator = np.random.default_rng(0)

    def images(count: int) -> ImageArrays:
        labels = generator.integers(0, 10, count)
        pixels = generator.integers(0, 128, (count, 32, 32, 3)) + 12 * labels[:, None, None, None]  # can be learnt
        return ImageArrays(pixels.astype(np.uint8), labels)

    return DataSplits(name="random", train=images(512), test=images(300), classes=tuple("0123456789"))


def recipe(iterations: int) -> Recipe:
    return resnets.find_recipe("cifar").with_changes(iterations=iterations, milestones=(), lr=0.02)


@pytest.mark.parametrize(
    "options", [{}, {"accumulate": 2}, {"ema": 0.9}, {"network": "vgg16", "batch_size": 32, "lr": 1e-3}]
)
def test_a_run_is_captured_and_learns_as_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Also in two parts, with averaged weights, and of VGG, whose dropout draws inside the graph."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    options = dict(options)
    network = options.pop("network", "resnet8")
    losses = {}
    for device in ("cuda", "cpu") if network == "resnet8" else ("cuda",):
        folder = tmp_path / device
        resnets.train(network, splits(), recipe=recipe(12), out=folder, precision="fp32", device=device, **options)
        run = RunFolder(folder)
        losses[device] = [line.loss for line in run.logged()]
        result = run.result(ClassifierResult)
        assert result is not None
        assert result.run.provenance[0].execution == ("eager" if device == "cpu" else "eager, CUDA graph")
    if network == "resnet8":
        np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=5e-3)


def test_a_long_run_is_compiled_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Stopped after 1,000 of its iterations and resumed, it is compiled both times; its tests are of its weights."""

    class Stop(Exception):
        pass

    class Stopping:
        def started(self, *_: Any) -> None: ...

        def logged(self, line: dict[str, Any]) -> None:
            if line.iteration >= 1_000:
                raise Stop

        def finished(self, *_: Any) -> None: ...

        def closed(self) -> None: ...

    options: dict[str, Any] = {
        "recipe": recipe(12_000),
        "device": "cuda",
        "out": tmp_path,
        "save_every": 250,
        "evaluate_every": 12_000,
    }
    with pytest.raises(Stop):
        resnets.train("resnet8", splits(), observers=[Stopping()], **options)
    result = resnets.train("resnet8", splits(), resume=True, **options)
    record = RunFolder(tmp_path).record()
    assert record is not None
    assert [session.execution for session in record.provenance] == ["compiled, CUDA graph"]
    assert result.test_error < 50


def test_networks_at_once_learn_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a stream and a graph of its own; of two depths, so of two priorities, and with a warm-up."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    device = torch.device("cuda")
    config = TrainingConfig(recipe=recipe(30), precision="fp32", device="cuda", workers=0)

    def start(name: str, folder: Path) -> Callable[[Process], Session[TrainResult]]:
        def make(process: Process) -> Session[TrainResult]:
            return (yield from session(resolve(name, data, config), folder, process, resume=False, observers=[]))

        return make

    data, names = splits(), ("resnet8", "plain8", "resnet110")
    for name in names:
        train_together([start(name, tmp_path / "alone" / name)], device, [0])
    outcomes = train_together([start(name, tmp_path / name) for name in names], device, [8, 8, 110])
    for name, outcome in zip(names, outcomes, strict=True):
        assert not isinstance(outcome, Exception), outcome
        losses = [[line.loss for line in RunFolder(path / name).logged()] for path in (tmp_path, tmp_path / "alone")]
        np.testing.assert_allclose(losses[0], losses[1], rtol=5e-3)
        record = RunFolder(tmp_path / name).record()
        assert record is not None
        assert record.provenance[-1].execution == "eager, CUDA graph, 3 trainings at once"


def test_a_captured_test_reads_the_weights_as_they_are(tmp_path: Path) -> None:
    """Of images resident on the GPU, before and after the weights change, with the counts of a CPU in float32."""
    split = splits().test
    assert isinstance(split, ImageArrays)
    fitted = normalization.fit(split.images, Preprocessing(mean="pixel"))
    torch.manual_seed(0)
    network = place(resnets.create("resnet8"), torch.device("cuda"))
    test = SingleView(network, split, fitted, classes=10, device=torch.device("cuda"))
    for _ in range(6):
        ours = test("fp32")
        here = place(resnets.create("resnet8"), torch.device("cpu"))
        here.load_state_dict(network.state_dict())
        theirs = SingleView(here, split, fitted, classes=10, device=torch.device("cpu"))("fp32")
        assert ours.samples == theirs.samples
        assert ours.loss == pytest.approx(theirs.loss, rel=2e-2)
        with torch.no_grad():
            network.fc.weight.add_(torch.randn_like(network.fc.weight))
