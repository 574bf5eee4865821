"""Headers of weights files: whatever they say, they are understood or refused in one line before anything is built."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from fuzzing import COUNTS, fuzz, signed
from torch import Tensor

from resnets.errors import WeightsError
from resnets.networks.registry import create
from resnets.specs import InputSpec
from resnets.weights import weights_file

NETWORK = create("resnet8")
TENSORS: dict[str, Tensor] = NETWORK.state_dict()
SPEC = msgspec.to_builtins(NETWORK.spec)
INPUT = msgspec.to_builtins(InputSpec(size=32, resize=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)))
CLASSES = [f"class {number}" for number in range(10)]
VALID = {"kind": "classifier weights", "version": 1, "network": SPEC, "classes": CLASSES, "input": INPUT}


def write(path: Path, text: str) -> None:
    path.write_bytes(signed(TENSORS, text.encode("latin1")))


def load(path: Path) -> torch.nn.Module:
    return weights_file.load(path).build()


@pytest.mark.parametrize(
    "text", ["null", "[]", "1", '"a"', "{", "[" * 100_000, '{"network": ' * 100_000, '{"classes": ["\\ud800"]}']
)
def test_a_description_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    """A description that is not a JSON object is an error."""
    write(tmp_path / "w.safetensors", text)
    with pytest.raises(WeightsError):
        load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        *({"kind": value} for value in (None, "weights", "detector weights", "checkpoint")),
        *({"version": value} for value in (None, 0, 2, "1")),
        {"calibrated": None},
        *({"network": value} for value in (None, 1, [], {}, {"kind": "resnet"}, {"kind": ["resnet"]})),
        *({"classes": value} for value in (1, "abc", [1], [None], CLASSES[:9], {"a": 1})),
        *({"input": value} for value in (1, [], {"size": 32})),
        *({"network": SPEC | {"blocks": value}} for value in ([10**5] * 3, [10**7] * 3, [-1, 1, 1], [], [1], [1] * 99)),
        *({"network": SPEC | {key: 10**12}} for key in ("num_classes", "in_channels", "residual_layers")),
        *({"network": SPEC | {key: -1}} for key in ("num_classes", "in_channels", "residual_layers", "bn_group")),
        *({"network": SPEC | change} for change in ({"block": "bottleneck"}, {"type": "imagenet"}, {"shortcut": "C"})),
        *({"input": INPUT | {"size": value}} for value in (0, -1, 10**7, 33, None, "32")),
        *({"input": INPUT | {key: value}} for key in ("mean", "std") for value in ([], [1, 1], [1] * 10**4, ["a"])),
        *({"input": INPUT | {"std": value}} for value in ([0, 0, 0], [-1, 1, 1])),
        *({"input": INPUT | {"mean_image": value}} for value in ("", "!", base64.b64encode(bytes(100)).decode(), 1)),
    ],
)
def test_a_description_that_does_not_fit_is_refused_at_once(tmp_path: Path, change: dict[str, Any]) -> None:
    """A declaration that does not fit its tensors is an error before anything is built."""
    path = tmp_path / "w.safetensors"
    write(path, json.dumps(VALID))
    assert load(path).state_dict().keys() == TENSORS.keys()
    write(path, json.dumps(VALID | change))
    start = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert "\n" not in str(caught.value) and time.perf_counter() - start < 10


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_descriptions_are_read_or_refused(tmp_path: Path, count: int) -> None:
    """Damaged headers are read or give a WeightsError of one line."""
    path = tmp_path / "w.safetensors"

    def read(text: bytes) -> None:
        write(path, text.decode("latin1"))
        load(path)

    fuzz(read, json.dumps(VALID).encode(), count, documented=WeightsError, text=True)
