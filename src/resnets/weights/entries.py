"""Entries of a checkpoint: where its weights are, averaged ones among them, and which network it says they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from resnets.errors import WeightsError
from resnets.pickles import Settings

WEIGHTS = ("state_dict", "model", "model_state_dict", "net", "blobs")
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "ema", "averaged_model", "swa_model")
COUNTER = "n_averaged"  # of torch's AveragedModel
ARGUMENTS = ("args", "hparams", "config", "opt")
DEPTH = 3  # a mapping may hold itself

USUAL: dict[str, tuple[Any, ...]] = {
    "replace_stride_with_dilation": (None, [False, False, False], (False, False, False)),
    "output_stride": (None, 32),
    "global_pool": (None, "", "avg"),
    "gp": (None, "", "avg"),
}
"""Settings of timm's and torchvision's networks that change the function and no tensor, with their usual values."""

_NO_FUNCTION = ("num_classes", "in_chans", "pretrained", "weights", "weights_backbone", "progress", "scriptable")


@dataclass(frozen=True)
class _Entry:
    name: str
    arrays: dict[str, Any]
    averaged: bool


def choose(path: Path, content: Any, *, averaged: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the arrays of the entry that holds the weights, or the averaged ones, and notes on what else there is.

    Raises: WeightsError, if averaged weights are requested and there are none.
    """
    found = _entries(content, "", DEPTH)
    plain, means = ([one for one in found if one.averaged is kind] for kind in (False, True))
    if averaged and not means:
        raise WeightsError(f"{path}: holds no averaged weights ({', '.join(AVERAGED)}), which --ema takes")
    candidates = means if averaged or not plain else plain
    if not candidates:
        return {}, []
    chosen, *others = candidates
    notes = []
    if chosen.averaged:
        notes.append(f"the weights are averaged ones{_of(chosen)}")
    elif means:
        notes.append(f"the file has averaged weights too{_of(means[0])}; `resnets convert --ema` takes them")
    if others:
        notes.append(f"the weights are those of {chosen.name or 'the file'}; there are some in {others[0].name} too")
    return chosen.arrays, notes


def _of(entry: _Entry) -> str:
    return f" ({entry.name})" if entry.name else ""


def _entries(content: Any, name: str, depth: int) -> list[_Entry]:
    """Return what may be meant as the weights, the likeliest first."""
    if not isinstance(content, Mapping):
        return []
    found = []
    for entry in (*WEIGHTS, *AVERAGED) if depth else ():
        for one in _entries(content.get(entry), f"{name}.{entry}".lstrip("."), depth - 1):
            found.append(_Entry(one.name, one.arrays, one.averaged or entry in AVERAGED))
    arrays = {key: value for key, value in content.items() if isinstance(key, str) and _is_numbers(value)}
    counted = arrays.pop(COUNTER, None) is not None
    weights = any(value.ndim >= 2 for value in arrays.values())  # and not a number that is kept next to them
    if arrays and (not found or (weights and all(one.averaged for one in found))):
        found.insert(0, _Entry(name, arrays, counted))
    return found


def _is_numbers(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiu" and value.dtype.itemsize <= 8
    return isinstance(value, Tensor)


def network_of(content: Any) -> dict[str, Any]:
    """Return the `architecture` that a checkpoint or a configuration names, and `options` that are unusual; else {}."""
    if not isinstance(content, Mapping):
        return {}
    said: dict[str, Any] = {}
    settings = [content, *(_mapping(content.get(name)) for name in ARGUMENTS)]
    for one in settings:
        for name in ("architecture", "arch", "model"):
            if isinstance(one.get(name), str):
                said.setdefault("architecture", one[name])
    nested = [_mapping(one.get(name)) for one in settings for name in ("model_args", "model_kwargs")]
    options = {name: one[name] for one in settings for name in USUAL if name in one}
    options |= {name: value for one in nested for name, value in one.items() if _matters(name)}
    unusual = {name: value for name, value in options.items() if value not in USUAL.get(name, ())}
    return said | ({"options": unusual} if unusual else {})


def _mapping(value: Any) -> Mapping[str, Any]:
    values = value.values if isinstance(value, Settings) else value
    return values if isinstance(values, Mapping) else {}


def _matters(name: Any) -> bool:
    return isinstance(name, str) and name not in _NO_FUNCTION and not name.startswith("drop")
