"""`export`: a trained network as a file for another runtime, verified by that runtime before it takes its place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.data import normalization
from resnets.data.decoding import single_views
from resnets.data.given_images import COLOURS, GivenImage
from resnets.errors import DataError, RunError, UsageError, first_line, public
from resnets.exporting.example import example, is_example
from resnets.exporting.formats import FileFormat, Run, find_format
from resnets.exporting.graph import FromPixels, about
from resnets.files import PARTIAL, replacing, require_file, require_results_folder, write_bytes, writing
from resnets.inference.backends import exported, frozen, with_one_output
from resnets.inference.images import find_images
from resnets.inference.model import Model, load
from resnets.networks.registry import name_of
from resnets.specs import InputSpec

BATCHES = (1, 2, 5)
"""Images at a time in the verification: the number must be free in the file."""

TOLERANCE = 1e-4
"""Largest difference of a logit over the largest logit."""

OWN_FILES = {"model.xml", "model.bin"}


@dataclass(frozen=True)
class Export:
    """A file, or folder, that was exported and verified.

    `difference` is the largest one of a logit to the network's own, over the largest logit. `example` is the program
    that was written next to an ONNX file. `takes` is what it is given, `verified_on` which images.
    """

    path: Path
    format: str
    runtime: str
    network: str
    classes: int
    takes: str
    difference: float
    verified_on: str
    example: Path | None = None


@public
def export(
    path: str | Path | Model,
    out: str | Path,
    *,
    format: str | None = None,
    normalize: bool = False,
    images: GivenImage | Iterable[GivenImage] | None = None,
    tolerance: float = TOLERANCE,
) -> Export:
    """Write a trained network for another runtime, for any number of images at a time, and return what was written.

    The file is run by its runtime, in batches of 1, 2 and 5, and its logits are compared with the network's own; it
    takes its place only if they agree. Next to an ONNX file OUT is OUT.py, an example that needs no torch and replaces
    that of an earlier export, unless it was edited. It is left out for weights whose input is neither RGB nor grey, has
    its contrast normalised or is whitened; `normalize` does not do the last two either.

    Args:
        path: a run folder, a weights file or a loaded model.
        out: a .onnx or .pt2 file, or for OpenVINO a folder.
        format: `onnx`, `pt2` or `openvino`; None is by the name of `out`.
        normalize: include the normalisation: the file then takes pixels, (N, size, size, channels) uint8.
        images: what is verified on, as in `predict`; None is seeded random pixels.
        tolerance: largest difference of a logit that is accepted, over the largest logit.

    Raises: WeightsError, as `load`; UsageError, if the format is unknown, or not installed, or OUT.py is no example as
        it was written; DataError, for an image that cannot be read; RunError, if the network cannot be exported, the
        logits differ, or `out` cannot be written.
    """
    out = Path(out)
    chosen = find_format(out, format)
    _require_free(out, chosen)
    model = path if isinstance(path, Model) else load(path, device="cpu")
    texts = about(model, from_pixels=normalize)
    _, input_spec = model.classes_and_input()
    of_each_image = input_spec.contrast is not None or input_spec.whitening is not None
    if normalize and of_each_image:
        raise UsageError("normalize: contrast normalisation and whitening are not among what is exported; leave it out")
    views = _random_views(input_spec) if images is None else _views(images, input_spec)
    network = frozen(model.network).cpu().to(memory_format=torch.contiguous_format)
    normalized = _normalized(views, input_spec)
    given = views if normalize else normalized
    with replacing(out) as temporary:
        try:
            network = with_one_output(network, torch.from_numpy(normalized))
            graph = FromPixels(network, input_spec).eval() if normalize else network
            chosen.write(exported(graph, torch.from_numpy(given)), torch.from_numpy(given), temporary, texts)
            run = chosen.load(temporary)
        except Exception as error:  # whatever torch, a converter or a runtime raises
            why = f"failed to export {name_of(model.network)} to {chosen.title} ({_reason(error)})"
            raise RunError(f"{out}: {why}") from error
        difference = _difference(run, given, _expected(network, normalized))
        if not difference <= tolerance:
            raise RunError(
                f"{out}: not written, since the logits that {chosen.runtime} computes differ from the network's by "
                f"{difference:.2g} of the largest one; the tolerance is {tolerance:g}"
            )
    program = None
    if chosen.name == "onnx":
        has_none = of_each_image or input_spec.channels not in COLOURS
        program = _write_example(out, None if has_none else example(input_spec, from_pixels=normalize))
    shape = ", ".join(map(str, given.shape[1:]))
    return Export(
        path=out,
        format=chosen.title,
        runtime=chosen.runtime,
        network=texts["network"],
        classes=len(model.classes_and_input()[0]),
        takes=f"(N, {shape}) {given.dtype}, {'pixels' if normalize else 'normalised'}",
        difference=difference,
        verified_on="random pixels" if images is None else "images",
        example=program,
    )


def _reason(error: BaseException) -> str:
    """Return what an exporter failed at first: its own message advises on how to report it to torch."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _require_free(out: Path, chosen: FileFormat) -> None:
    if chosen.name != "openvino":
        require_file(out)
        if chosen.name == "onnx" and (program := _program(out)).exists() and not is_example(program):
            raise UsageError(f"{program}: is no example as export wrote it, and would be lost; move it, or rename OUT")
        return
    require_results_folder(out)
    if out.exists() and (others := {file.name for file in out.iterdir()} - OWN_FILES - {PARTIAL}):
        raise UsageError(f"{out}: this folder holds other files ({min(others)}); name another as OUT")


def _program(out: Path) -> Path:
    return out.with_name(f"{out.name}.py")


def _write_example(out: Path, text: str | None) -> Path | None:
    """Write the example next to an ONNX file; where it is to have none, remove that of an earlier export."""
    if text is not None:
        write_bytes(_program(out), text.encode())
        return _program(out)
    with writing(_program(out)):
        _program(out).unlink(missing_ok=True)
    return None


def _random_views(input_spec: InputSpec) -> NDArray[np.uint8]:
    shape = (sum(BATCHES), input_spec.size, input_spec.size, input_spec.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _views(images: GivenImage | Iterable[GivenImage], input_spec: InputSpec) -> NDArray[np.uint8]:
    """Return the first views, from the first again where there are fewer images than are needed."""
    files = list(itertools.islice(find_images(images), sum(BATCHES)))
    if not files:
        raise DataError("no images to verify on were given")
    views = single_views(files, input_spec)
    return views[[number % len(views) for number in range(sum(BATCHES))]]


def _normalized(views: NDArray[np.uint8], input_spec: InputSpec) -> NDArray[np.float32]:
    return np.ascontiguousarray(normalization.normalize(views, input_spec).transpose(0, 3, 1, 2))


def _expected(network: nn.Module, x: NDArray[np.float32]) -> Tensor:
    with torch.no_grad():
        return network(torch.from_numpy(x))


def _difference(run: Run, given: NDArray[np.uint8] | NDArray[np.float32], expected: Tensor) -> float:
    """Return the largest difference of a logit over the largest one, of all batches; infinity for other shapes."""
    differences, start = [], 0
    for count in BATCHES:
        part = slice(start, start + count)
        found = torch.from_numpy(run(given[part]))
        if found.shape != expected[part].shape:
            return float("inf")
        differences.append((found - expected[part]).abs().max())
        start += count
    largest = torch.stack(differences).max()  # NaN, if one is
    return 0.0 if largest == 0 else float(largest / expected.abs().max())
