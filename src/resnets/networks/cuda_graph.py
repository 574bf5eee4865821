"""A function of tensors recorded as a CUDA graph, so that a GPU need not wait for Python to launch each kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # eager calls before a graph is recorded, so that kernels are chosen and buffers allocated


class FallbackWarning(UserWarning):
    """Something runs on a GPU more slowly than it could; a benchmark turns it into an error."""


class CudaGraph:
    """A function on a GPU that is called eagerly a few times, then recorded once and from then on replayed.

    All calls take tensors of the same shapes. The graph copies them into buffers of its own, and its output is
    overwritten by the next call. Recording does not run the function. Where the graph cannot be recorded, the function
    stays eager and a `FallbackWarning` says why.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device) -> None:
        self.function = function
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.eager_calls_left = WARM_UP
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failed = False

    @property
    def captured(self) -> bool:
        """Whether calls replay a graph."""
        return self.graph is not None

    def record(self, *inputs: Tensor) -> None:
        """Call the function until it is recorded, or has failed to be."""
        while not (self.captured or self.failed):
            self(*inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.failed:
            return self.function(*inputs)
        if self.eager_calls_left:
            self.eager_calls_left -= 1
            return self._on_own_stream(inputs)
        if self.graph is None:
            try:
                self.graph = self._record(inputs)
            except RuntimeError as error:
                self.failed = True
                reason = str(error).partition("\n")[0]
                warnings.warn(f"no CUDA graph, and so slower: {reason}", FallbackWarning, stacklevel=2)
                return self.function(*inputs)
        for buffer, given in zip(self.inputs, inputs, strict=True):
            buffer.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.output

    def _on_own_stream(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Call the function on the stream on which the graph will be recorded."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            output = self.function(*inputs)
        current.wait_stream(self.stream)
        return output

    def _record(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        self.inputs = tuple(given.clone() for given in inputs)
        graph = torch.cuda.CUDAGraph()
        # thread_local: another thread, such as the one that pins a loader's batches, may go on allocating meanwhile
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self.output = self.function(*self.inputs)
        return graph
