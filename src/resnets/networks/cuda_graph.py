"""A function of tensors recorded as a CUDA graph, so that a GPU need not wait for Python to launch each kernel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from resnets.errors import warn

WARM_UP = 3  # eager calls before a graph is recorded, so that kernels are chosen and buffers allocated


class FallbackWarning(UserWarning):
    """Something runs on a GPU more slowly than it could; a benchmark turns it into an error."""


class SideStream:
    """A stream for work that is to be recorded: what runs on it waits for the current stream, and the other way."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # a graph's kernels keep the priority of the stream that they are recorded on
        self.stream = torch.cuda.Stream(device, priority=torch.cuda.current_stream(device).priority)

    def run(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Call a function on the stream."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            output = function(*inputs)
        current.wait_stream(self.stream)
        return output


class CudaGraph:
    """A function on a GPU that is called eagerly a few times, then recorded once and from then on replayed.

    All calls take tensors of the same shapes. The graph copies them into its own buffers, and its output is
    overwritten by the next call. Recording does not run the function. Where the graph cannot be recorded, the function
    stays eager and a `FallbackWarning` says why.
    """

    def __init__(
        self, function: Callable[..., Tensor], device: torch.device, side_stream: SideStream | None = None
    ) -> None:
        self.function = function
        self.device = device
        self.side = side_stream or SideStream(device)
        self.eager_calls_left = WARM_UP
        self.graph: torch.cuda.CUDAGraph | None = None
        self.captured = False  # calls replay the graph
        self.failed = False  # calls stay eager

    def record(self, *inputs: Tensor) -> None:
        """Call the function until it is recorded, or has failed to be."""
        while not (self.captured or self.failed):
            self(*inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.failed:
            return self.function(*inputs)
        if self.eager_calls_left:
            self.eager_calls_left -= 1
            return self.side.run(self.function, *inputs)
        if not self.captured:
            try:
                self._record(inputs)
            except RuntimeError as error:
                self.failed = True
                warn(f"no CUDA graph, and so slower: {_cause(error)}", FallbackWarning)
                return self.function(*inputs)
            self.captured = True
        for buffer, given in zip(self.inputs, inputs, strict=True):
            buffer.copy_(given, non_blocking=True)
        assert self.graph is not None
        self.graph.replay()
        return self.output

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self.inputs = tuple(given.clone() for given in inputs)
        self.graph = torch.cuda.CUDAGraph()  # kept where it fails, too: the allocator refers to it
        current = torch.cuda.current_stream(self.device)
        try:
            # thread_local: another thread, such as the one that pins a loader's batches, may allocate meanwhile
            with torch.cuda.graph(self.graph, stream=self.side.stream, capture_error_mode="thread_local"):
                self.output = self.function(*self.inputs)
        except RuntimeError:
            torch.cuda.set_stream(current)  # torch leaves its own stream current where a recording fails
            raise


def _cause(error: BaseException) -> str:
    """Return the first error of a chain: what ends a recording is reported as "a previous error"."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


class Pace:
    """Keeps Python at most a tenth of a second of work ahead of a GPU, so that signals and deadlines are not late."""

    SECONDS = 0.1
    MOST = 256  # steps ahead

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: deque[torch.cuda.Event] = deque()
        self.ahead = 2
        self.last = time.perf_counter()

    def after_step(self) -> None:
        """Wait while more than a tenth of a second of steps is queued."""
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        self.steps.append(event)
        while len(self.steps) > self.ahead:
            self.steps.popleft().synchronize()
            now = time.perf_counter()
            self.ahead = min(self.MOST, max(2, round(self.SECONDS / max(now - self.last, 1e-6))))
            self.last = now
