"""KServe's protocol v2 (Open Inference Protocol): metadata, and tensors of pixels as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from resnets.networks.registry import name_of
from resnets.quantities import plural
from resnets.serving.service import Service
from resnets.version import __version__

IMAGES, PROBABILITIES = "images", "probabilities"


class _Tensor(Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Request(Struct):
    inputs: list[_Tensor]
    id: str | UnsetType = UNSET


def server(_: Service) -> dict[str, Any]:
    """Return the server's metadata."""
    return {"name": "resnets", "version": __version__, "extensions": []}


def metadata(service: Service) -> dict[str, Any]:
    """Return the model's metadata: its input are pixels, resized and cropped, not normalised yet."""
    size, channels = service.input_spec.size, service.input_spec.channels
    return {
        "name": service.name,
        "platform": "resnets",
        "inputs": [{"name": IMAGES, "datatype": "UINT8", "shape": [-1, size, size, channels]}],
        "outputs": [{"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(service.classes)]}],
        "parameters": {
            "network": name_of(service.model.network),
            "input": service.input_spec.in_words(),
            "classes": list(service.classes),
        },
    }


async def infer(body: bytes, service: Service) -> bytes:
    """Return the response to an inference request, both JSON.

    Raises: HTTPException, 400 if it is not JSON of this form, 422 if the tensor is not the model's input, 413 if it is
        of too many images.
    """
    request, views = await service.in_thread(service.threads.submit(_read, body, service))
    found = np.stack(await asyncio.gather(*map(service.probabilities, views)))
    response: dict[str, Any] = {"model_name": service.name}
    if request.id is not UNSET:
        response["id"] = request.id
    output = {"name": PROBABILITIES, "datatype": "FP32", "shape": list(found.shape), "data": found.ravel().tolist()}
    return msgspec.json.encode({**response, "outputs": [output]})


def _read(body: bytes, service: Service) -> tuple[_Request, NDArray[np.uint8]]:
    try:
        request = msgspec.json.decode(body, type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the body is no inference request: {error}") from None
    size, channels, most = service.input_spec.size, service.input_spec.channels, service.limits.max_images
    if len(request.inputs) != 1:
        raise HTTPException(422, f"{plural(len(request.inputs), 'input')}; there must be one, {IMAGES}")
    tensor = request.inputs[0]
    expected = (IMAGES, "UINT8", [size, size, channels])
    if (tensor.name, tensor.datatype, tensor.shape[1:]) != expected or tensor.shape[0] < 1:
        found = f"{tensor.name[:80]!r}, {tensor.datatype[:20]}, {tensor.shape[:8]}"
        raise HTTPException(422, f"the input is {found}; it must be {IMAGES!r}, UINT8, [N, {size}, {size}, {channels}]")
    if tensor.shape[0] > most:
        raise HTTPException(413, f"more than {plural(most, 'image')}, the most that this server takes at once")
    try:
        data = np.asarray(tensor.data)
    except ValueError:
        data = np.asarray(None)  # lists of different lengths
    if data.dtype.kind not in "iu" or data.size != np.prod(tensor.shape) or data.min() < 0 or data.max() > 255:
        raise HTTPException(
            422, f"the data of {IMAGES!r} must be {np.prod(tensor.shape):,} whole numbers from 0 to 255"
        )
    return request, data.reshape(tensor.shape).astype(np.uint8)
