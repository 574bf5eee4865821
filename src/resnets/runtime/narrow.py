"""Convolutions too narrow for torch's bf16 on a CPU, which are computed in float32.

Of a strided convolution whose output is one column wide, the weights' gradient and, where the processor has AMX, the
output hold memory that is not theirs (torch 2.15 on an Intel Xeon: kernels of 2 to 11 pixels, strides of 2 to 4, also
grouped).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from resnets.specs import BNInceptionSpec, FunctionSpec, NetworkSpec, ResNetSpec


def exact_if_narrow(spec: object, images: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which a network's forward pass leaves autocast on a CPU where that is too narrow.

    A network of this package leaves it as a whole, `is_narrow`; of any other one, each narrow convolution does.

    Shape: images (N, C, H, W)
    """
    if images.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    if not isinstance(spec, NetworkSpec) or isinstance(spec, FunctionSpec):
        return _NarrowInFloat32()
    return torch.autocast("cpu", enabled=False) if is_narrow(spec, *images.shape[2:]) else nullcontext()


def is_narrow(spec: object, height: int, width: int) -> bool:
    """Return whether the last 3x3 convolution of stride 2 of a network of this package is too narrow.

    That is of one input column, or of two with three rows or more; of two rows and columns it is right.
    """
    if not isinstance(spec, ResNetSpec | BNInceptionSpec):
        return False
    stride = 16 if spec.type == "imagenet" else 2
    rows, columns = -(-height // stride), -(-width // stride)
    return columns == 1 or (columns == 2 and rows > 2)


class _NarrowInFloat32(TorchFunctionMode):
    """Computes each narrow convolution in float32, whichever module or function calls it; its output is as autocast's.

    The geometry of a network that somebody else has written is not known before it runs.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in (torch.conv1d, torch.conv2d, torch.conv3d) or not _is_one_column(*args, **kwargs):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            found = func(*map(_exact, args), **{name: _exact(value) for name, value in kwargs.items()})
        return found.to(torch.get_autocast_dtype("cpu"))


def _is_one_column(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *_: Any,
    **__: Any,
) -> bool:
    """Return whether a convolution with these arguments is strided along the width, and its output one column wide."""
    step, margin, spread = (one if isinstance(one, int) else one[-1] for one in (stride, padding, dilation))
    if isinstance(padding, str):
        margin = 0  # "valid"; torch refuses "same" with a stride
    reach = spread * (weight.shape[-1] - 1) + 1
    return step > 1 and input.shape[-1] + 2 * margin - reach < step


def _exact(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
