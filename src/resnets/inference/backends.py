"""The ways to run a network that no longer changes: torch as it is, compiled by torch, or converted to OpenVINO."""

from __future__ import annotations

import contextlib
import copy
import importlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from resnets.errors import missing_extra
from resnets.networks.batch_norm import BatchNorm2d
from resnets.networks.compiled import without_advice
from resnets.networks.cuda_graph import CudaGraph
from resnets.runtime.device import forward, place
from resnets.specs import Precision

Run = Callable[[Tensor], Tensor]
"""Shape: (n, C, H, W) -> (n, classes) for n up to the batch prepared for; the result may be overwritten by the next."""


class Unavailable(Exception):
    """An engine is not available here; the message says why."""


def frozen(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode, without gradients, its batch norms torch's own (there they are the same)."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, BatchNorm2d):
                plain = nn.BatchNorm2d(child.num_features, child.eps).to(child.weight.device)
                plain.load_state_dict(child.state_dict())
                setattr(parent, name, plain.eval().requires_grad_(False))
    return network


class FirstOutput(nn.Module):
    """A network of several outputs that gives the first one alone, the logits. Shape: (N, C, H, W) -> (N, classes)"""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)[0]


def with_one_output(network: nn.Module, images: Tensor) -> nn.Module:
    """Return a frozen network that gives logits alone: itself, unless it gives a tuple for these images.

    Raises: whatever the network raises.
    """
    with torch.no_grad():
        several = isinstance(network(images[:1]), tuple)
    return FirstOutput(network).eval() if several else network


def folded(network: nn.Module) -> nn.Module:
    """Return a frozen network with each batch norm folded into the convolution before it.

    Raises: whatever torch.fx raises for a module that it cannot trace.
    """
    from torch.fx.experimental.optimization import fuse  # it takes a while to import

    return fuse(network)


def eager(network: nn.Module, images: Tensor, precision: Precision) -> Run:
    """Return torch's own execution, channels-last; in bf16 weights and sums are bfloat16 too."""
    cast, dtype = _cast(network, images, precision)
    if cast is None:  # a module that makes float32 tensors of its own
        return lambda part: forward(network, part, precision)
    return lambda part: cast(part.to(dtype=dtype, memory_format=torch.channels_last))


def compiled(network: nn.Module, images: Tensor, precision: Precision) -> Run:
    """Return the network compiled by torch for just this batch; fewer images are padded to it.

    On a GPU its kernels are recorded as a CUDA graph of our own, which any thread may replay; torch's "reduce-overhead"
    is for the thread that compiled it.

    Raises: Unavailable, if there is no C++ compiler for the CPU; whatever torch.compile raises.
    """
    options: dict[str, Any] = {}
    if images.device.type == "cpu":
        compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        if shutil.which(compiler) is None:
            raise Unavailable(f"there is no C++ compiler {compiler}")
        options = {"options": {"freezing": True, "cpp_wrapper": True}}
    cast, dtype = _cast(network, images, precision)
    if cast is None:
        raise Unavailable("the module does not support bfloat16")
    # These settings are torch's for this one compilation, now or later, and not left behind as global ones.
    run: Run = torch.compile(cast, dynamic=False, **options)
    batch = torch.zeros_like(images, dtype=dtype, memory_format=torch.channels_last)

    def padded(part: Tensor) -> Tensor:
        batch[: len(part)] = part
        return run(batch)[: len(part)]

    # a machine with CUDA's compiler and no GPU needs no note of it
    with torch.inference_mode(), silent("torch.utils.cpp_extension"), without_advice():
        padded(images)
        if images.device.type == "cuda":
            run = CudaGraph(run, images.device)
            run.record(batch)
    return padded


def exported(network: nn.Module, images: Tensor) -> ExportedProgram:
    """Return a frozen network as torch.export's graph, for any number of such images.

    Raises: whatever torch.export raises, such as for a module that branches on values.
    """
    example = images[:2].clone() if len(images) > 1 else torch.cat([images, images])  # one would be taken as a constant
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=({0: Dim("batch")},))


def to_openvino(program: ExportedProgram, images: Tensor) -> Any:
    """Return OpenVINO's model of a graph, for any number of images of this shape.

    Raises: Unavailable, as `import_openvino`; whatever the conversion raises.
    """
    model = import_openvino().convert_model(program)
    model.reshape([-1, *images.shape[1:]])  # it leaves height and width open too
    return model


def openvino(network: nn.Module, images: Tensor, precision: Precision) -> Run:
    """Return the network run by OpenVINO on the CPU, for any number of images up to this batch.

    Raises: Unavailable, if it is not installed or the device is no CPU; whatever the conversion raises.
    """
    if images.device.type != "cpu":
        raise Unavailable("OpenVINO is for the CPU")
    ov = import_openvino()
    model = to_openvino(exported(network, images), images)
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    pixels = np.empty(tuple(images.shape), np.float32)
    batch = torch.from_numpy(pixels)
    bound = 0

    def run(part: Tensor) -> Tensor:
        nonlocal bound
        if len(part) != bound:
            bound = len(part)
            request.set_input_tensor(ov.Tensor(pixels[:bound], shared_memory=True))
        batch[:bound] = part
        request.infer()
        return torch.from_numpy(request.get_output_tensor(0).data)

    return run


def _cast(network: nn.Module, images: Tensor, precision: Precision) -> tuple[nn.Module | None, torch.dtype]:
    """Return a channels-last copy of a precision, or None if it does not run on images of that precision."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    cast = place(copy.deepcopy(network).to(dtype), images.device)
    try:
        cast(images[:1].to(dtype))
    except Exception:  # whatever a foreign module raises
        return None, dtype
    return cast, dtype


@contextlib.contextmanager
def silent(logger: str) -> Iterator[None]:
    """Keep one logger's warnings off the terminal."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def import_openvino() -> Any:
    """Import OpenVINO without the part of it that reports each import and conversion to its makers.

    Raises: Unavailable, if it is not installed, or fails.

    No setting of its own turns that off for one program: without a file in the user's home it counts as agreed to. It
    takes a stub where `openvino_telemetry` cannot be imported. Who imported OpenVINO before has decided otherwise.
    """
    if (imported := sys.modules.get("openvino")) is not None:
        return imported
    telemetry = "openvino_telemetry"
    hidden = telemetry not in sys.modules
    if hidden:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        if error.name == "openvino":
            raise Unavailable(missing_extra("openvino", "inference")) from None
        raise Unavailable(f"importing openvino failed: {error}") from error
    finally:
        if hidden:
            del sys.modules[telemetry]
