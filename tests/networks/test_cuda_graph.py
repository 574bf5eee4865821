"""A recorded function computes what it computes eagerly, and stays eager where it cannot be recorded."""

from __future__ import annotations

import fake_cuda
import pytest
import torch
from torch import Tensor

from resnets.networks.cuda_graph import WARM_UP, CudaGraph, FallbackWarning

CPU = torch.device("cpu")


class Summing:
    """Adds its inputs to a sum, and counts how often Python runs it."""

    def __init__(self) -> None:
        self.total = torch.zeros(3)
        self.calls = 0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        self.total += x * y
        return self.total * 2


def test_replays_compute_what_eager_calls_compute_and_recording_computes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """State that the function changes is right after each call; Python runs it for warm-up and recording alone."""
    recordings = fake_cuda.install(monkeypatch)
    eager, function = Summing(), Summing()
    graph = CudaGraph(function, CPU)
    for number in range(WARM_UP + 4):
        x, y = torch.randn(3), torch.randn(3)
        assert torch.equal(graph(x, y), eager(x, y))
        assert torch.equal(function.total, eager.total)
        assert graph.captured == (number >= WARM_UP)
    assert function.calls == WARM_UP + 1
    assert [options["capture_error_mode"] for options in recordings] == ["thread_local"]


def test_what_cannot_be_recorded_stays_eager_and_says_why_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning has the reason, and results are those of eager calls."""
    fake_cuda.install(monkeypatch, fails="operation not permitted\nmore lines")
    eager, function = Summing(), Summing()
    graph = CudaGraph(function, CPU)
    for number in range(WARM_UP + 3):
        x, y = torch.randn(3), torch.randn(3)
        if number == WARM_UP:
            with pytest.warns(FallbackWarning, match="no CUDA graph.*: operation not permitted"):
                found = graph(x, y)
        else:
            found = graph(x, y)
        assert torch.equal(found, eager(x, y))
    assert not graph.captured


def test_it_can_be_recorded_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by an engine, which may then be called from any thread; a function that cannot be recorded is left eager."""
    recordings = fake_cuda.install(monkeypatch)
    function = Summing()
    graph = CudaGraph(function, CPU)
    graph.record(torch.ones(3), torch.ones(3))
    calls = function.calls
    graph(torch.ones(3), torch.ones(3))
    assert (len(recordings), function.calls) == (1, calls)

    fake_cuda.install(monkeypatch, fails="not permitted")
    with pytest.warns(FallbackWarning):
        CudaGraph(function, CPU).record(torch.ones(3), torch.ones(3))
