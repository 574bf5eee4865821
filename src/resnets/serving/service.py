"""A model as a service: files are decoded by a few threads, and computed together by one."""

from __future__ import annotations

import asyncio
import base64
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException

from resnets.data.decoding import single_view
from resnets.data.formats import MissingDecoder, UnknownFormat
from resnets.data.headers import read_headers
from resnets.data.stored_file import ImageFile
from resnets.errors import DataError, ResnetsError, UsageError
from resnets.inference.explain import Explainer, overlay, region_of_view
from resnets.inference.model import Model
from resnets.networks.registry import name_of
from resnets.serving.batches import Batcher, Probabilities, Views
from resnets.serving.compute import quickest
from resnets.serving.limits import Limits
from resnets.serving.metrics import Metrics

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image as the network sees it, and the size (width, height) that it had."""

    size: tuple[int, int]
    view: Views


class Service:
    """Answers for images, within limits. Its coroutines are for one event loop.

    Raises: WeightsError, if the weights have no classes and input.
    """

    def __init__(self, model: Model, name: str, limits: Limits) -> None:
        self.model, self.name, self.limits = model, name, limits
        self.classes, self.input_spec = model.classes_and_input()
        self.explainer = self._explainer()
        self.in_progress = 0
        self.metrics = Metrics(lambda: self.batcher.waiting, lambda: self.in_progress)
        self.threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode")
        self.batcher = Batcher(
            quickest(model, limits.batch_size),
            batch_size=limits.batch_size,
            max_wait=limits.max_wait / 1000,
            observe=self.metrics.batches.observe,
        )

    @property
    def is_ready(self) -> bool:
        return self.batcher.is_alive

    def close(self) -> None:
        """Finish what was accepted, and end the threads."""
        self.threads.shutdown()
        self.batcher.close()

    async def in_thread(self, call: Future[T]) -> T:
        return await asyncio.wrap_future(call)

    async def classify(self, file: ImageFile, top: int, explain: bool) -> dict[str, Any]:
        """Return an image's most probable classes and, with `explain`, the map of the first, as the answer has them.

        Raises: HTTPException, 413 if the image has too many pixels, 415 if it is none, 422 if it is damaged, 500 if
            the network fails.
        """
        prepared = await self.in_thread(self.threads.submit(self._prepare, file))
        probabilities = await self.probabilities(prepared.view)
        best = np.argsort(-probabilities, kind="stable")[:top]
        classes = [{"name": self.classes[index], "probability": float(probabilities[index])} for index in best]
        answer: dict[str, Any] = {"image": str(file), "classes": classes}
        if explain:
            answer["explanation"] = await self.in_thread(self.threads.submit(self._explain, prepared, int(best[0])))
        return answer

    async def probabilities(self, view: Views) -> Probabilities:
        """Return the probability of each class.

        Shape: (size, size, channels) -> (classes,)
        Raises: HTTPException, 500 if the network fails.
        """
        try:
            return await self.in_thread(self.batcher.submit(view))
        except ResnetsError as error:
            raise HTTPException(500, str(error)) from error

    def _prepare(self, file: ImageFile) -> _Prepared:
        try:
            header = next(read_headers([file]))
            pixels, most = header.width * header.height, self.limits.max_pixels
            if pixels > most * 1e6:
                size = f"{header.width:,} x {header.height:,} pixels"
                raise HTTPException(413, f"{file}: {size}; this server takes at most {most:g} million")
            return _Prepared((header.width, header.height), single_view(file, self.input_spec))
        except DataError as error:
            match error.__cause__:
                case Image.DecompressionBombError():
                    status = 413
                case UnknownFormat() | MissingDecoder():
                    status = 415
                case _:
                    status = 422
            raise HTTPException(status, str(error)) from error

    def _explainer(self) -> Explainer | None:
        """Return what makes maps, or None if the network has none; it is tried on a black image."""
        explainer, size = Explainer(self.model), self.input_spec.size
        try:
            explainer.of_views(np.zeros((1, size, size, self.input_spec.channels), np.uint8))
        except UsageError:
            return None
        return explainer

    def _explain(self, prepared: _Prepared, index: int) -> dict[str, Any]:
        if self.explainer is None:
            raise HTTPException(422, f"{name_of(self.model.network)} has no maps, so it cannot explain")
        try:
            _, maps = self.explainer.of_views(prepared.view[None], [index])
        except ResnetsError as error:
            raise HTTPException(500, str(error)) from error
        png = BytesIO()
        overlay(maps[0]).save(png, "PNG")
        return {
            "class": self.classes[index],
            "map": f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}",
            "region": region_of_view(prepared.size, self.input_spec),
            "size": prepared.size,
        }
