"""The moving average of the weights: its formula, that it is what is tested and saved, and that it resumes exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from observing import Crash
from small_runs import RECIPE, Tiny, differences, job, run, splits
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.evaluation.single_view import SingleView
from resnets.records.checkpoints import Progress
from resnets.training.run_folder import RunFolder
from resnets.training.state import Average, TrainingState
from resnets.weights.tensor_file import read_tensors

WITH_EMA = RECIPE.with_changes(ema=0.8)


def test_the_formula() -> None:
    """a = d a + (1 - d) w, with d = min(0.5, (1 + t) / (10 + t)), of weights and statistics; counters are copied."""
    network = Tiny()
    average = Average(network, 0.5)
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for t in range(1, 12):
        with torch.no_grad():
            for tensor in [*network.parameters(), network.bn.running_mean, network.bn.running_var]:
                assert isinstance(tensor, Tensor)
                tensor += torch.randn_like(tensor)
        assert isinstance(network.bn.num_batches_tracked, Tensor)
        network.bn.num_batches_tracked += 1
        average.update(t)
        decay = min(0.5, (1 + t) / (10 + t))
        for name, tensor in network.state_dict().items():
            floats = tensor.is_floating_point()
            expected[name] = decay * expected[name] + (1 - decay) * tensor if floats else tensor.clone()
    assert expected["bn.num_batches_tracked"] == 11
    for name, tensor in average.network.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


class Assigning(nn.Module):
    """A module that assigns its buffers, as a batch norm or a codebook written by hand does."""

    mean: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("last", torch.zeros(3))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, images: Tensor) -> Tensor:
        self.mean = 0.5 * self.mean + 0.5 * images.mean((0, 2, 3))
        self.last = images.mean((0, 2, 3)).bfloat16()
        self.steps = self.steps + 1
        return images


def test_it_follows_buffers_that_a_module_assigns() -> None:
    """As it does those that are changed in place, also where a part holds them."""
    network = nn.Sequential(Assigning())
    average = Average(network, 0.5)
    expected = torch.zeros(3)
    for t in range(1, 4):
        network(torch.rand(2, 3, 4, 4))
        average.update(t)
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * network.state_dict()["0.mean"]
    torch.testing.assert_close(average.network.state_dict()["0.mean"], expected)
    assert average.network.state_dict()["0.steps"] == 3


def test_the_average_is_what_is_saved_and_tested(tmp_path: Path) -> None:
    """The weights file, the trained module and the error are the average's; the others' error is logged too."""
    small = job(recipe=WITH_EMA)
    result = run(small, tmp_path)
    with RunFolder(tmp_path) as folder:
        checkpoint, _ = read_tensors(folder.checkpoints.paths()[0])
        saved, _ = read_tensors(folder.weights)
    for name, tensor in saved.items():
        assert torch.equal(tensor, checkpoint[f"average.{name}"])
        assert torch.equal(tensor, small.training.network.state_dict()[name])
    assert not torch.equal(saved["fc.weight"], checkpoint["network.fc.weight"])

    def error(of: dict[str, Tensor]) -> float:
        network = Tiny()
        network.load_state_dict(of)
        test = SingleView(network, splits().test, small.training.input_spec, classes=10, device=torch.device("cpu"))
        return test("fp32").top1_error

    last = {name: checkpoint[f"network.{name}"] for name in saved}
    assert (result.test_error, result.unaveraged_test_error) == (error(saved), error(last))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with an average that nothing interrupted."""
    path = tmp_path_factory.mktemp("averaged")
    run(job(recipe=WITH_EMA), path)
    return path


def test_without_it_nothing_changes(reference: Path, whole: Path) -> None:
    """A recipe without an average trains and saves the same weights as ever, and with one the same network."""
    states = []
    for path in (reference, whole):
        with RunFolder(path) as folder:
            states.append(read_tensors(folder.checkpoints.paths()[0])[0])
    assert not any(name.startswith("average.") for name in states[0])
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize("after", [1, 4, 11])
def test_it_resumes_bit_for_bit(whole: Path, tmp_path: Path, after: int) -> None:
    """A resumed run has the average of the uninterrupted one."""
    with pytest.raises(Crash):
        run(job(recipe=WITH_EMA, crash_after=after), tmp_path)
    run(job(recipe=WITH_EMA, process_seed=1), tmp_path)
    assert differences(whole, tmp_path) == []


def test_a_restore_without_it_is_caught(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarting the average from the restored weights does not pass the comparison."""
    with pytest.raises(Crash):
        run(job(recipe=WITH_EMA, crash_after=4), tmp_path)
    restore = TrainingState.restore

    def broken(self: TrainingState, tensors: dict[str, Tensor], progress: Progress) -> None:
        restore(self, tensors, progress)
        self.average = Average(self.network, 0.8)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "restore", broken)
        run(job(recipe=WITH_EMA, process_seed=1), tmp_path)
    assert differences(whole, tmp_path) != []


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, float("nan")])
def test_a_decay_that_is_none(decay: float) -> None:
    """A decay outside (0, 1) is an error."""
    with pytest.raises(UsageError, match=f"ema is {decay}"):
        RECIPE.with_changes(ema=decay)
