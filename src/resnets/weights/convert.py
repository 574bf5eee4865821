"""`convert`: weights of other projects in, and out as a safetensors file, torchvision's layout or a Hub folder."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from torch import nn

from resnets.data.normalization import transferred
from resnets.errors import UsageError, WeightsError, first_line, nearest, public
from resnets.files import make_folder, read_bytes, require_file, require_results_folder, writing
from resnets.quantities import plural
from resnets.records.evaluations import Calibration
from resnets.specs import InputSpec, NetworkSpec
from resnets.specs.inputs import MOST_PIXELS
from resnets.weights import weights_file as own
from resnets.weights.hub import save_pretrained
from resnets.weights.import_weights import Imported, write_torchvision
from resnets.weights.layouts import torchvision
from resnets.weights.readers import read_arrays
from resnets.weights.sources import find_weights

Target = Literal["safetensors", "torchvision", "hub"]


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was converted. `layout` names the project whose names the weights had; `notes` what the user should know."""

    out: Path
    to: Target
    layout: str
    spec: NetworkSpec
    classes: tuple[str, ...] | None
    input_spec: InputSpec | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Converted:
    """A network to be saved for the Hub."""

    path: Path
    network: nn.Module
    classes: tuple[str, ...] | None
    input_spec: InputSpec | None
    calibration: Calibration | None


@public
def convert(
    source: str | Path,
    out: str | Path,
    *,
    network: str | None = None,
    to: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    mean: str | Path | None = None,
    input: Mapping[str, Any] | None = None,
    ema: bool = False,
) -> Conversion:
    """Convert weights of another project, a run folder or a weights file; no code in a file is run.

    Args:
        source: a file (.pth, .pt, .th, .safetensors, .npz, .h5 or .pkl) of torchvision, timm, akamaster, chenyaofo,
            detectron2 or the authors' Caffe, recognised by the names of its tensors; a run folder or a weights file; or
            published weights, downloaded once: `torchvision` (or `torchvision:IMAGENET1K_V2`), `timm:NAME` or
            `hf:OWNER/NAME`.
        out: a .safetensors, .pth or .pt file, or a folder.
        network: its name, needed if names and shapes of the tensors leave it open.
        to: `safetensors` (with network, classes and input in its header), `torchvision` (a state_dict that loads there
            with `strict=True`) or `hub` (a folder for the Hugging Face Hub); None follows from `out`.
        classes: names, or a file with one per line; those of ImageNet and CIFAR are known.
        mean: a NumPy file with a mean image or mean pixel, in the network's own scale and channel order.
        input: fields of the input specification to replace; with another `size` a mean image becomes its mean of each
            channel.
        ema: take the moving average of the weights from a checkpoint that has both.

    Raises: WeightsError, if the file is unreadable or does not fit (`details` lists the keys); UsageError.
    """
    out = Path(out)
    target = _target(out, to)
    (require_results_folder if target == "hub" else require_file)(out)
    found = _read(source, network, ema)
    spec = found.weights.spec
    assert spec is not None
    input_spec = _override(found.weights.input_spec, spec, input, mean)
    if input_spec is not None:
        own.require_input(input_spec, out, spec)  # as the reader does, before a file is replaced
    names = _classes(found, spec, classes)
    weights = dataclasses.replace(found.weights, input_spec=input_spec, classes=names)
    notes = list(found.notes)
    given, has_mean = found.weights.input_spec, mean is not None or "mean" in (input or {})
    is_file = str(source).partition(":")[0] != "torchvision"
    if found.layout == torchvision.LAYOUT.name and given and input is None and is_file:
        notes += [note for note in [torchvision.assumed(spec.name, Path(source).name)] if note]
    if input_spec is None:
        notes.append("the weights do not say what input they expect, which evaluate and predict need; --input sets it")
    elif target == "torchvision":
        notes.append(f"torchvision's layout has no place for the input, which is {input_spec.in_words()}")
    if given and given.mean_image and input_spec and input_spec.size != given.size and not has_mean:
        size = input_spec.size
        notes.append(f"the mean image is of {given.size} pixels; at {size} its mean of each channel takes its place")
    with writing(out):
        make_folder(out.parent)
        if target == "torchvision":
            theirs = write_torchvision(out, weights)
            notes.append(f"it loads into torchvision.models.{theirs}(num_classes={spec.num_classes})")
        elif target == "hub":
            save_pretrained(_Converted(weights.path, weights.build(), names, input_spec, weights.calibration), out)
        else:
            own.save(out, weights.build(), classes=names, input_spec=input_spec, calibration=weights.calibration)
    return Conversion(
        out=out,
        to=target,
        layout=found.layout,
        spec=spec,
        classes=names,
        input_spec=input_spec,
        notes=tuple(notes),
    )


def _target(out: Path, to: str | None) -> Target:
    suffix, files = out.suffix.lower(), {".safetensors": "safetensors", ".pth": "torchvision", ".pt": "torchvision"}
    if to is None:
        if suffix not in ("", *files) and not out.is_dir():
            raise UsageError(
                f"{out}: the name must end in .safetensors, .pth or .pt, or be a folder for the Hub: --to hub"
            )
        return files.get(suffix, "hub")  # type: ignore[return-value]
    if to not in get_args(Target):
        raise UsageError(f"to is {to!r}; it must be one of {', '.join(get_args(Target))}")
    if files.get(suffix, "hub") != to:  # a folder's name may have a dot
        right = " or ".join(known for known, target in files.items() if target == to)
        what = f"end in {right}" if right else f"not end in {suffix}: it is a folder"
        raise UsageError(f"{out}: for --to {to} the name must {what}")
    return to  # type: ignore[return-value]


def _read(source: str | Path, network: str | None, ema: bool) -> Imported:
    found = find_weights(source, network, averaged=ema)
    weights = found.weights
    if weights.spec is None:
        raise WeightsError(f"{weights.path}: weights of a custom module, which only that module can use")
    if found.layout == "resnets" and network is not None and network != weights.spec.name:
        raise WeightsError(f"{weights.path}: weights of {weights.spec.name}, and not of {network}")
    return found


def _override(
    input_spec: InputSpec | None,
    spec: NetworkSpec,
    changes: Mapping[str, Any] | None,
    mean: str | Path | None,
) -> InputSpec | None:
    if changes is None and mean is None:
        return input_spec
    resize = 256 if spec.type == "imagenet" else spec.input_size
    base = input_spec or InputSpec(size=spec.input_size, resize=resize, channels=spec.in_channels)
    known = set(InputSpec.__struct_fields__) - {"mean_image", "whitening", "channels"}
    allowed: dict[str, tuple[Any, ...]] = {
        "max_value": (1, 255),
        "channel_order": ("RGB", "BGR"),
        "interpolation": ("bilinear", "bicubic"),
    }
    parts: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in (changes or {}).items()
    }
    for key, value in parts.items():
        if key not in known:
            raise UsageError(f"input has no {key!r}{nearest(key, known)}; it has {', '.join(sorted(known))}")
        if key in allowed and value not in allowed[key]:
            raise UsageError(f"input {key} is {value!r}; it must be {' or '.join(map(str, allowed[key]))}")
        if key in ("size", "resize") and not (isinstance(value, int) and 1 <= value <= MOST_PIXELS):
            raise UsageError(f"input {key} is {value!r}; it must be a number from 1 to {MOST_PIXELS:,}")
        if key in ("mean", "std") and value is not None and not _numbers(value, base.channels):
            right = f"{plural(base.channels, 'number')}, one for each channel"
            raise UsageError(f"input {key} is {value!r}; it must be {right}")
        if key == "contrast" and value is not None and not (_numbers((value,), 1) and value > 0):
            raise UsageError(f"input contrast is {value!r}; it must be a positive number")
        if key == "std" and value is not None and min(value) <= 0:
            raise UsageError(f"input std is {value!r}; it must be positive numbers")
    if "mean" in parts:
        parts["mean_image"] = None
    sized = base.with_changes(**{key: parts[key] for key in ("size", "resize") if key in parts})
    changed = transferred(base, sized).with_changes(**parts)  # a mean image is of one size
    if changed.resize < changed.size:
        raise UsageError(f"input size {changed.size} does not fit into a shorter side of {changed.resize}: set both")
    return changed if mean is None else _with_mean(changed, Path(mean))


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == count
        and all(isinstance(number, int | float) and math.isfinite(number) for number in value)
    )


def _with_mean(input_spec: InputSpec, path: Path) -> InputSpec:
    """Return the input with the mean of a NumPy file; Raises: WeightsError, if that is no mean of its input."""
    try:
        arrays = read_arrays(path)
        if len(arrays) != 1:
            raise ValueError(f"it holds {', '.join(list(arrays)[:5]) or 'nothing'}, and not one array")
        (array,) = arrays.values()
        mean = np.squeeze(np.asarray(array, np.float32))
    except Exception as error:  # a damaged file raises nearly anything
        raise WeightsError(f"{path}: not a mean in a NumPy file (.npy or .npz): {first_line(error)}") from None
    if not np.isfinite(mean).all():
        raise WeightsError(f"{path}: a mean with values that are not finite (NaN or infinity)")
    channels, size = input_spec.channels, input_spec.size
    if mean.shape == (channels,):
        return input_spec.with_changes(mean=tuple(mean.tolist()), mean_image=None)
    if mean.ndim == 3 and mean.shape[0] == channels and mean.shape[2] != channels:
        mean = mean.transpose(1, 2, 0)  # (H, W, C)
    if mean.ndim != 3 or mean.shape[2] != channels or min(mean.shape[:2]) < size:
        raise WeightsError(
            f"{path}: a mean of shape {array.shape}; it must be ({channels},), or ({channels}, H, W) with H and W of "
            f"{size} or more"
        )
    top, left = (round((side - size) / 2) for side in mean.shape[:2])  # as images are cropped
    crop = np.ascontiguousarray(mean[top : top + size, left : left + size], "<f4")
    return input_spec.with_changes(mean=None, mean_image=base64.b64encode(crop.tobytes()).decode())


def _classes(found: Imported, spec: NetworkSpec, given: str | Path | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return found.weights.classes
    if isinstance(given, str | Path):
        try:
            names = tuple(read_bytes(Path(given), 100_000_000).decode("utf-8-sig").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{given}: not a file of class names, one on each line ({error})") from None
    else:
        names = tuple(given)
    if len(names) != spec.num_classes:
        raise UsageError(f"{len(names)} class names for the {spec.num_classes} classes of the weights")
    seen: set[str] = set()
    for place, name in enumerate(names):
        if not name.strip() or name in seen:
            raise UsageError(f"class {place} is named {name!r}; each class needs a name of its own")
        seen.add(name)
    return names
