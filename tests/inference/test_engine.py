"""Every engine computes what the network computes, for any number of images, and leaves the network as it was."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.inference import backends
from resnets.inference import engine as engines
from resnets.inference.engine import Engine, fastest
from resnets.networks import registry
from resnets.runtime.device import Precision

CPU = torch.device("cpu")
SHAPE = (3, 16, 16)
TOLERANCE: dict[Precision, float] = {"fp32": 1e-5, "bf16": 2e-2}

openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
PREPARED = ["eager", pytest.param("openvino", marks=openvino)]


def network(name: str = "resnet8", **options: Any) -> nn.Module:
    """A network whose batch norms have seen images, so that folding them matters."""
    torch.manual_seed(0)
    module = registry.create(name, **options)
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(8, *SHAPE) * 2 + 1)
    return module


def tiny() -> nn.Module:
    """The smallest of networks with a batch norm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 3))


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def prepare(module: nn.Module, engine: str, precision: Precision = "fp32", batch_size: int = 4) -> Engine:
    return fastest(module, shape=SHAPE, batch_size=batch_size, device=CPU, precision=precision, engine=engine)


@cache
def prepared(engine: str) -> Engine:
    """The engine of a network that no test changes."""
    return prepare(tiny(), engine)


def agrees(engine: Engine, module: nn.Module) -> None:
    images = torch.randn(9, *SHAPE)
    with torch.no_grad():
        expected = module.eval()(images)
    for count in (1, 3, 4, 7, 9, 2, 4):
        logits = engine(images[:count])
        assert logits.shape == (count, expected.shape[1]) and logits.dtype == torch.float32
        assert relative(logits, expected[:count]) < TOLERANCE[engine.precision]
    assert engine(images[:0]).shape == (0, expected.shape[1])
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert relative(engine(channels_last), expected) < TOLERANCE[engine.precision]


@pytest.mark.parametrize("engine", PREPARED)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("options", [{}, {"bn_group": 4, "shortcut": "C"}])
def test_the_same_logits(engine: str, precision: Precision, options: dict[str, Any]) -> None:
    """Of fewer, as many and more images than the four that it was prepared for, one after the other."""
    module = network(**options)
    found = prepare(module, engine, precision)
    assert (found.name, found.precision, found.batch_size) == (engine, precision, 4)
    assert found.seconds > 0
    agrees(found, module)


def test_compiled_too() -> None:
    """The smallest of networks; and no setting of torch's compiler is left changed."""
    from torch._inductor import config

    before = config.freezing, config.cpp_wrapper
    module = tiny()
    agrees(prepare(module, "compile"), module)
    assert (config.freezing, config.cpp_wrapper) == before


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_networks(precision: Precision) -> None:
    """A compiled network gives the module's logits in each precision."""
    module = network("resnet8", bn_group=4)
    agrees(prepare(module, "compile", precision), module)


@pytest.mark.slow
@pytest.mark.parametrize("engine", PREPARED)
def test_vgg(engine: str) -> None:
    """Each engine gives VGG-16's logits."""
    torch.manual_seed(0)
    module = registry.create("vgg16", num_classes=10)
    found = fastest(module, shape=(3, 32, 32), batch_size=2, device=CPU, precision="fp32", engine=engine)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert relative(found(images), module.eval()(images)) < 1e-5


@pytest.mark.parametrize("engine", PREPARED)
def test_the_network_is_left_as_it_was(engine: str) -> None:
    """Mode, weights, gradients and random numbers; and what happens to it later does not reach the engine."""
    module = tiny().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    random = torch.random.get_rng_state()
    found = prepare(module, engine)
    assert all(part.training for part in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.requires_grad and not parameter.is_inference() for parameter in module.parameters())
    assert torch.equal(torch.random.get_rng_state(), random)
    images = torch.randn(4, *SHAPE)
    logits = found(images)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(found(images), logits)


@pytest.mark.parametrize("engine", PREPARED)
def test_results_are_tensors_of_their_own(engine: str) -> None:
    """A later call does not change an earlier result, and it can be changed in place."""
    found = prepared(engine)
    first, second = torch.randn(4, *SHAPE), torch.randn(4, *SHAPE)
    logits = found(first)
    kept = logits.clone()
    found(second)
    assert torch.equal(logits, kept)
    logits += 1
    assert torch.equal(found(first), kept)


@pytest.mark.parametrize("engine", PREPARED)
def test_from_several_threads(engine: str) -> None:
    """Results are those of one thread."""
    found = prepared(engine)
    batches = [torch.randn(count, *SHAPE) for count in (1, 4, 6) for _ in range(8)]
    expected = [found(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        for logits, right in zip(threads.map(found, batches), expected, strict=True):
            torch.testing.assert_close(logits, right)


def test_an_engine_keeps_its_precision_under_autocast() -> None:
    """Its logits are the same to the last bit."""
    found = prepared("eager")
    images = torch.randn(2, *SHAPE)
    with torch.autocast("cpu", torch.bfloat16):
        logits = found(images)
    assert torch.equal(logits, found(images))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.mark.usefixtures("no_compiler")
def test_auto_takes_the_fastest_and_says_what_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that are not installed are left out, each with its reason."""
    without_openvino(monkeypatch)
    found = prepare(tiny(), "auto")
    assert found.name == "eager"
    eager, ov, compiled = found.choices
    assert eager.seconds == found.seconds and eager.skipped is None
    assert ov.seconds is None and ov.skipped == "openvino is not installed: pip install 'resnets[inference]'"
    assert compiled.seconds is None and compiled.skipped == "there is no C++ compiler no-such-compiler"


@openvino
@pytest.mark.usefixtures("no_compiler")
def test_auto_measures_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one with the smaller time is kept, whichever it is."""
    times = {"eager": 2.0, "openvino": 1.0}
    monkeypatch.setattr(engines, "measured_seconds", lambda engine, images: times[engine.name])
    assert prepare(tiny(), "auto").name == "openvino"
    times["openvino"] = 3.0
    found = prepare(tiny(), "auto")
    assert found.name == "eager" and found.seconds == 2.0
    assert [choice.seconds for choice in found.choices] == [2.0, 3.0, None]


def test_a_wrong_engine_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose logits are not the network's is left out, and refused by name."""

    def wrong(module: nn.Module, images: Tensor, precision: Precision) -> backends.Run:
        run = backends.eager(module, images, precision)
        return lambda part: run(part) + 1

    def broken(module: nn.Module, images: Tensor, precision: Precision) -> backends.Run:
        raise RuntimeError("it fell apart\nat length")

    monkeypatch.setitem(engines.BACKENDS, "openvino", wrong)
    monkeypatch.setitem(engines.BACKENDS, "compile", broken)
    found = prepare(tiny(), "auto")
    assert found.name == "eager"
    assert "its logits for 4 images differ from the network's by" in str(found.choices[1].skipped)
    assert found.choices[2].skipped == "RuntimeError: it fell apart"
    with pytest.raises(UsageError, match="'openvino'.*logits"):
        prepare(tiny(), "openvino")


def test_very_deep_networks_are_not_compiled_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes minutes there, and is left out with that reason; by name it would be tried."""
    without_openvino(monkeypatch)
    layers = (nn.Linear(1, 1) for _ in range(300))
    found = prepare(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1), *layers), "auto")
    assert found.name == "eager"
    assert "301 layers" in str(found.choices[-1].skipped)


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("openvino", "engine 'openvino' is not available here: openvino is not installed"),
        ("compile", "engine 'compile' is not available here: there is no C\\+\\+ compiler"),
        ("opnvino", "engine is 'opnvino'; it must be one of auto, eager, openvino, compile \\(did you mean openvino"),
    ],
)
@pytest.mark.usefixtures("no_compiler")
def test_an_engine_that_is_not_there(engine: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is unknown or not available is an error with the reason."""
    without_openvino(monkeypatch)
    with pytest.raises(UsageError, match=message):
        prepare(tiny(), engine)


class Untraceable(nn.Module):
    """A module of someone's own: it branches on values, and makes float32 tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 16), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            return torch.zeros(len(x), 4)
        return torch.mm(self.norm(self.conv(x)).flatten(1), torch.eye(4)) + torch.ones(len(x), 4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_modules_that_cannot_be_folded_or_cast(precision: Precision) -> None:
    """A module that branches on values is run as it is."""
    module = Untraceable()
    agrees(prepare(module, "eager", precision), module)


class Several(nn.Module):
    """A network that gives its features next to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 16), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv(x).flatten(1)
        return self.fc(features), features


@pytest.mark.parametrize("engine", [*PREPARED, pytest.param("compile", marks=pytest.mark.slow)])
def test_of_several_outputs_the_first_is_taken(engine: str) -> None:
    """As `forward` takes it; also folded, and exported for OpenVINO."""
    torch.manual_seed(0)
    module = Several().eval()
    images = torch.randn(9, *SHAPE)
    with torch.no_grad():
        assert relative(prepare(module, engine)(images), module(images)[0]) < TOLERANCE["fp32"]


def test_what_gives_no_logits_is_refused() -> None:
    """Other outputs, failing modules, empty batches and images of another size are errors."""
    with pytest.raises(UsageError, match=r"\(4, 2, 14, 14\)"):
        prepare(nn.Conv2d(3, 2, 3), "eager")
    with pytest.raises(UsageError, match=r"\(4, 3, 16, 16\)"):
        prepare(nn.Conv2d(5, 2, 3), "eager")
    with pytest.raises(UsageError, match="batch_size is 0"):
        prepare(tiny(), "eager", batch_size=0)
    with pytest.raises(UsageError, match="prepared for \\(n, 3, 16, 16\\)"):
        prepare(tiny(), "eager")(torch.zeros(1, 3, 8, 8))


@openvino
def test_openvino_does_not_phone_home(capfd: pytest.CaptureFixture[str]) -> None:
    """Its telemetry is not even imported, and nothing is printed."""
    prepare(tiny(), "openvino")
    assert [name for name in sys.modules if name.startswith("openvino_telemetry")] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("engine", ["eager", "compile"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu(engine: str, precision: Precision) -> None:
    """Each engine gives the module's logits on a GPU, from any thread and for any batch size."""
    device = torch.device("cuda")
    module = network()
    found = fastest(module, shape=SHAPE, batch_size=4, device=device, precision=precision, engine=engine)
    images = torch.randn(9, *SHAPE)
    with torch.no_grad():
        expected = module.eval()(images)
    for count in (1, 4, 9, 2):
        here = found(images[:count])
        with ThreadPoolExecutor(1) as other:
            elsewhere = other.submit(found, images[:count]).result()
        for logits in (here, elsewhere):
            assert logits.device.type == "cuda"
            assert relative(logits.cpu(), expected[:count]) < (1e-2 if precision == "fp32" else 2e-2)  # TF32
