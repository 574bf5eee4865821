"""The fused kernel computes what batch norm, addition and ReLU compute one after the other, and only where it may."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import resnets
from resnets.networks import fused
from resnets.networks.batch_norm import BatchNorm2d, norm_add_relu
from resnets.networks.fused import fusing
from resnets.runtime import kernels
from resnets.runtime.kernels import unavailable

CPU = torch.device("cpu")
REASON = unavailable(CPU)
needs_kernel = pytest.mark.skipif(REASON is not None, reason=f"no fused kernel here: {REASON}")


def draw(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2 + 5
    return numbers.to(dtype).contiguous(memory_format=torch.channels_last)


def norm(channels: int, group: int | None) -> BatchNorm2d:
    layer = BatchNorm2d(channels, group)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 1.5, channels))
        layer.bias.copy_(torch.linspace(-1, 1, channels))
    return layer


def results(layer: BatchNorm2d, x: Tensor, skip: Tensor | None, relu: bool) -> dict[str, Tensor]:
    """Return the output, all gradients under a random one of the output, and the running statistics."""
    x = x.clone().requires_grad_()
    skip = None if skip is None else skip.clone().requires_grad_()
    out = norm_add_relu(layer, nn.ReLU(), x, skip) if relu else layer(x)
    out.backward((draw(*out.shape, seed=4, dtype=torch.bfloat16) - 3).to(out.dtype))
    assert x.grad is not None and layer.weight.grad is not None and layer.bias.grad is not None
    found = {"out": out.detach(), "x": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad}
    if skip is not None:
        assert skip.grad is not None
        found["skip"] = skip.grad
    return found | {name: buffer.float() for name, buffer in layer.named_buffers()}


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("with_skip", "relu"), [(False, True), (True, True), (False, False)])
@pytest.mark.parametrize(
    ("images", "channels", "height", "width", "group"),
    [(8, 16, 32, 32, 4), (7, 5, 3, 2, 3), (4, 64, 7, 7, None), (3, 256, 1, 1, None), (5, 48, 5, 4, 64)],
)
def test_it_is_the_three_one_after_the_other(
    images: int,
    channels: int,
    height: int,
    width: int,
    group: int | None,
    with_skip: bool,
    relu: bool,
    dtype: torch.dtype,
) -> None:
    """Also for odd sizes, a smaller last group, single pixels, and channels far from zero."""
    x = draw(images, channels, height, width, seed=1, dtype=dtype)
    skip = draw(images, channels, height, width, seed=2, dtype=dtype) - 5 if with_skip else None
    layer = norm(channels, group)
    # in float64, so that only the kernel rounds: torch's own float32 is no nearer to it than the kernel is
    expected = results(copy.deepcopy(layer).double(), x.double(), None if skip is None else skip.double(), relu)
    with fusing(layer, CPU):
        found = results(layer, x, skip, relu)
    assert found["out"].dtype == dtype
    for name in expected:
        rounded = dtype == torch.bfloat16 and name in ("out", "x", "skip")
        scale = float(expected[name].abs().max()) + 1e-6
        torch.testing.assert_close(
            found[name].double() / scale,
            expected[name].double() / scale,
            rtol=0,
            atol=4e-3 if rounded else 5e-5,
            msg=name,
        )


@needs_kernel
@pytest.mark.parametrize("name", ["resnet20", "plain20", "resnet50"])
def test_a_network_computes_the_same(name: str) -> None:
    """Logits and statistics are torch's; gradients are no further from float64's, in which no ReLU flips.

    In fifty layers one that flips changes all gradients before it by percents, in torch's float32 as in ours.
    """
    torch.manual_seed(0)
    network = resnets.create(name, num_classes=10, bn_group=3)
    counterpart, exact = copy.deepcopy(network), copy.deepcopy(network).double()
    images = draw(5, 3, 64, 64, seed=3, dtype=torch.float32)
    with fusing(network, CPU):
        logits = network(images)
        logits.square().sum().backward()
    expected = counterpart(images)
    expected.square().sum().backward()
    exact(images.double()).square().sum().backward()
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    ours, theirs = _distances(network, exact), _distances(counterpart, exact)
    assert max(ours) <= 2 * max(theirs) + 0.02
    for (buffer, own), other in zip(network.named_buffers(), counterpart.buffers(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4, msg=buffer)


def _distances(network: torch.nn.Module, exact: torch.nn.Module) -> list[float]:
    """Return how far each parameter's gradient is from the exact one, relative to that."""
    pairs = [(own.grad, other.grad) for own, other in zip(network.parameters(), exact.parameters(), strict=True)]
    return [float((own - other).norm() / other.norm()) for own, other in pairs if own is not None and other is not None]


@needs_kernel
def test_the_number_of_threads_changes_nothing() -> None:
    """One and three threads give the same bits."""
    x, skip = draw(8, 16, 9, 9, seed=1, dtype=torch.bfloat16), draw(8, 16, 9, 9, seed=2, dtype=torch.bfloat16)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            layer = norm(16, 3)
            with fusing(layer, CPU):
                found.append(results(layer, x, skip, True))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@needs_kernel
def test_infinities_and_nans_show() -> None:
    """What has diverged must not look valid."""
    for bad in (float("nan"), float("inf")):
        x = draw(4, 16, 8, 8, seed=1, dtype=torch.bfloat16)
        x[2, 3, 4, 5] = bad
        layer = norm(16, None)
        with fusing(layer, CPU):
            out = layer(x)
        assert out[:, 3].isnan().all() and not out[:, 4].isnan().any()


UNFITTING = ("evaluation", "float64", "no momentum", "no statistics", "statistics taken away")


@needs_kernel
@pytest.mark.parametrize("case", [*UNFITTING, "hook", "backward hook", "outside"])
def test_it_stands_back_where_it_does_not_fit(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is used for training in float32 within `fusing`, and fuses nothing that a hook observes."""
    layer, relu = norm(4, None), nn.ReLU()
    x = torch.randn(3, 4, 5, 5)
    heard: list[Tensor] = []
    calls: list[str] = []
    monkeypatch.setattr(fused, "_call", lambda name, *_: calls.append(name))
    if case == "evaluation":
        layer.eval()
    if case == "float64":
        layer, x = layer.double(), x.double()
    if case == "no momentum":
        layer.momentum = None
    if case == "no statistics":
        layer.track_running_stats = False
    if case == "statistics taken away":
        layer.running_mean = layer.running_var = None
    if case == "backward hook":
        layer.register_full_backward_hook(lambda *_: None)
    if case == "hook":
        layer.register_forward_hook(lambda module, inputs, output: heard.append(output.clone()))
    with fusing(layer, CPU):
        if case != "outside":
            norm_add_relu(layer, relu, x)
    if case == "outside":
        norm_add_relu(layer, relu, x)
    # a hook hears batch norm's output itself, before the ReLU: the norm alone may be computed by the kernel
    assert calls == (["forward_float32"] if case.endswith("hook") else [])
    assert len(heard) == (case == "hook")


@needs_kernel
def test_shapes_that_do_not_fit_are_errors_and_never_written_past() -> None:
    """A norm of other channels, and a shortcut of another shape: torch says so."""
    layer, x = norm(4, None), torch.randn(3, 8, 5, 5)
    with fusing(layer, CPU):
        with pytest.raises(RuntimeError, match="running_mean should contain 8 elements not 4"):
            layer(x)
        with pytest.raises(RuntimeError, match="must match the size"):
            norm_add_relu(layer, nn.ReLU(), x[:, :4], torch.randn(3, 4, 5, 3))


@needs_kernel
def test_a_damaged_kernel_is_compiled_again(empty_cache: Path) -> None:
    """A library that fails to load is removed and replaced."""
    empty_cache.mkdir()
    (empty_cache / "kernel.so").write_bytes(b"half of it")
    command = ["g++", *kernels.FLAGS, str(Path(kernels.__file__).with_name("kernels.cpp")), "-o"]
    assert kernels.loaded_from(command, "kernel.so").forward_float32
    assert list(empty_cache.iterdir()) == []  # it is kept the next time


def test_other_devices_and_machines_without_a_compiler_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no kernel, the reason is a sentence."""
    assert unavailable(torch.device("meta")) == "it is for CPUs, not for meta"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    reason = kernels.library.__wrapped__()
    assert isinstance(reason, str)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "resnets"


@needs_kernel
def test_it_is_compiled_once_and_kept(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process loads the library of the first; a compiler's failure is the reason."""
    assert not isinstance(kernels.library.__wrapped__(), str)
    (made,) = empty_cache.iterdir()
    monkeypatch.setattr(kernels, "FLAGS", ("-nonsense",))
    assert kernels.library.__wrapped__().startswith("g++ could not compile it")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(empty_cache.parent))
    real = subprocess.run

    def no_compiling(command: list[str], **options: object) -> object:
        assert command[1:] == ["--version"], "compiled again"
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", no_compiling)
    assert not isinstance(kernels.library.__wrapped__(), str)
    assert list(empty_cache.iterdir()) == [made]
