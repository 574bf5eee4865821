"""The formats of exported networks: how each is written, and run again by its own runtime."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from resnets.errors import UsageError, import_extra
from resnets.files import to_json
from resnets.inference.backends import Unavailable, import_openvino, silent, to_openvino

INPUT, OUTPUT = "images", "logits"
ABOUT = "resnets.json"
"""The file within a .pt2 that holds what the network is and takes."""

Run = Callable[[NDArray[Any]], NDArray[np.float32]]
"""Shape: what the graph takes -> (N, classes)"""


@dataclass(frozen=True)
class FileFormat:
    """A format: `write` writes a graph with what it takes as texts, `load` reads it by the format's own runtime."""

    name: str
    title: str
    runtime: str
    require: Callable[[], None]
    write: Callable[[ExportedProgram, torch.Tensor, Path, dict[str, str]], None]
    load: Callable[[Path], Run]


def find_format(out: Path, name: str | None) -> FileFormat:
    """Return the format of a name, or else of a path's suffix; without a suffix it is OpenVINO's, a folder.

    Raises: UsageError, if there is none, or what writes and runs it is not installed.
    """
    if name is None:
        by_suffix = {".onnx": "onnx", ".pt2": "pt2", "": "openvino"}
        name = "openvino" if out.is_dir() else by_suffix.get(out.suffix.lower())
        if name is None:
            raise UsageError(
                f"{out}: a network is exported to a .onnx or .pt2 file, or for OpenVINO to a folder; name one of "
                f"these, or the format"
            )
    if name not in FORMATS:
        raise UsageError(f"format is {name!r}; it must be one of {', '.join(FORMATS)}")
    found = FORMATS[name]
    found.require()
    return found


def _require_onnx() -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(module, "export")


def _write_onnx(program: ExportedProgram, _: torch.Tensor, path: Path, about: dict[str, str]) -> None:
    with silent("torch.onnx"), warnings.catch_warnings():  # what it notes about packages of its own
        warnings.simplefilter("ignore")
        found = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], external_data=False, verbose=False
        )
    assert found is not None
    found.model.metadata_props.update(about)
    found.model.producer_name = "resnets"
    found.save(str(path), external_data=False)


def _load_onnx(path: Path) -> Run:
    session = import_extra("onnxruntime", "export").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: session.run([OUTPUT], {INPUT: x})[0]


def _write_pt2(program: ExportedProgram, _: torch.Tensor, path: Path, about: dict[str, str]) -> None:
    with open(path, "wb") as file:  # by its name torch would warn of another suffix
        torch.export.save(program, file, extra_files={ABOUT: to_json(about)})


def _load_pt2(path: Path) -> Run:
    with open(path, "rb") as file:
        module = torch.export.load(file).module()

    def run(x: NDArray[Any]) -> NDArray[np.float32]:
        with torch.no_grad():
            return module(torch.from_numpy(x)).numpy()

    return run


def _require_openvino() -> None:
    try:
        import_openvino()
    except Unavailable as error:
        raise UsageError(str(error)) from None


def _write_openvino(program: ExportedProgram, example: torch.Tensor, path: Path, about: dict[str, str]) -> None:
    model = to_openvino(program, example)
    model.inputs[0].get_tensor().set_names({INPUT})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    for key, value in about.items():
        model.set_rt_info(value, ["resnets", key])
    path.mkdir()
    import_openvino().save_model(model, path / "model.xml", compress_to_fp16=False)


def _load_openvino(path: Path) -> Run:
    core = import_openvino().Core()
    model = core.compile_model(core.read_model(path / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: model({INPUT: x})[OUTPUT].copy()


FORMATS = {
    "onnx": FileFormat("onnx", "ONNX", "onnxruntime", _require_onnx, _write_onnx, _load_onnx),
    "pt2": FileFormat("pt2", "torch.export", "torch", lambda: None, _write_pt2, _load_pt2),
    "openvino": FileFormat("openvino", "OpenVINO", "openvino", _require_openvino, _write_openvino, _load_openvino),
}
