"""KServe's protocol v2 (Open Inference Protocol): metadata, and tensors of pixels as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from resnets.networks.registry import name_of
from resnets.quantities import plural
from resnets.serving.service import Service
from resnets.version import __version__

IMAGES, PROBABILITIES = "images", "probabilities"


_Byte = Annotated[int, Meta(ge=0, le=255)]


class _Tensor(Struct):
    name: str
    shape: tuple[int, int, int, int]
    datatype: str
    data: Raw  # decoded once it is known to have the numbers of the shape: any other may take a hundred times its bytes


class _Request(Struct):
    inputs: tuple[_Tensor]
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
    size, channels, most = service.input_spec.size, service.input_spec.channels, service.limits.max_images
    wanted = f"one input: {IMAGES!r}, UINT8, [N, {size}, {size}, {channels}]"
    try:
        request = msgspec.json.decode(body, type=_Request)
    except msgspec.ValidationError as error:
        raise HTTPException(422, f"the request must have {wanted}; {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the body is no inference request: {error}") from None
    (tensor,) = request.inputs
    count, *image = tensor.shape
    if (tensor.name, tensor.datatype, image) != (IMAGES, "UINT8", [size, size, channels]) or count < 1:
        found = f"{tensor.name[:80]!r}, {tensor.datatype[:20]}, {str(list(tensor.shape))[:80]}"
        raise HTTPException(422, f"the request must have {wanted}; it has {found}")
    if count > most:
        raise HTTPException(413, f"more than {plural(most, 'image')}, the most that this server takes at once")
    return request, _pixels(tensor)


def _pixels(tensor: _Tensor) -> NDArray[np.uint8]:
    """Return a tensor's numbers, which are a flat list or lists nested as its shape is.

    Raises: HTTPException, 422 for any other data, by its brackets and commas alone before it is decoded.
    """
    numbers = math.prod(tensor.shape)
    flat, nested = b"[%b]" % (b"," * (numbers - 1)), b""
    for length in reversed(tensor.shape):
        nested = b"[%b]" % b",".join([nested] * length)
    text = bytes(tensor.data)
    if text.translate(None, b"0123456789 \t\r\n") in (flat, nested):
        with contextlib.suppress(msgspec.DecodeError):
            values = msgspec.json.decode(b"[%b]" % text.translate(None, b"[]"), type=list[_Byte])
            return np.frombuffer(bytes(values), np.uint8).reshape(tensor.shape)
    raise HTTPException(422, f"the data of {tensor.name!r} must be {numbers:,} whole numbers from 0 to 255")
