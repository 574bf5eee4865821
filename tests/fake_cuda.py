"""CUDA graphs on a CPU: what is recorded is a list of operations, which a replay runs again on the same tensors.

As on a GPU, recording changes no tensor, and a replay runs no Python of the recorded function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Recorder(TorchDispatchMode):
    """Runs operations, remembers them, and remembers what the tensors that they change held before."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Any]]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.is_mutable or "batch_norm" in str(func):  # which moves its statistics and does not say so
            for tensor in tree_leaves((args, kwargs)):
                if isinstance(tensor, Tensor) and id(tensor) not in self.before:
                    self.before[id(tensor)] = tensor, tensor.detach().clone()
        out = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, tree_leaves(out)))
        return out


class FakeGraph:
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        self.recorder = _Recorder()

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, outputs in self.recorder.operations:
                for buffer, new in zip(outputs, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(buffer, Tensor) and buffer.data_ptr() != new.data_ptr():
                        buffer.copy_(new)


class FakeStream:
    """Stands for `torch.cuda.Stream`."""

    def __init__(self, *_: Any, priority: int = 0) -> None:
        self.priority = priority

    def wait_stream(self, _: Any) -> None:
        pass


class FakeEvent:
    """Stands for `torch.cuda.Event`."""

    def record(self, _: Any) -> None:
        pass

    def synchronize(self) -> None:
        pass


def install(monkeypatch: pytest.MonkeyPatch, *, fails: str | None = None) -> list[dict[str, Any]]:
    """Let CUDA graphs be recorded on this CPU, or fail with a message; return the options of each recording."""
    recordings: list[dict[str, Any]] = []
    current = [FakeStream()]

    @contextmanager
    def graph(graph: FakeGraph, **options: Any) -> Iterator[None]:
        recordings.append(options)
        if fails is not None:
            raise RuntimeError(fails)
        with graph.recorder:
            yield
        with torch.no_grad():
            for tensor, value in graph.recorder.before.values():
                tensor.copy_(value)

    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: current.__setitem__(0, stream))
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: current[0])
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: None)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: None)
    return recordings
