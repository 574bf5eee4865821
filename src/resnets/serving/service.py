"""A model as a service: files are decoded by a few threads, and computed together by one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from starlette.exceptions import HTTPException

from resnets.data.decoding import single_view
from resnets.data.headers import read_headers
from resnets.data.stored_file import ImageFile
from resnets.errors import DataError, ResnetsError
from resnets.inference.model import Model
from resnets.serving.batches import Batcher, Probabilities, Views
from resnets.serving.limits import Limits
from resnets.serving.metrics import Metrics

T = TypeVar("T")


class Service:
    """Answers for images, within limits. Its coroutines are for one event loop.

    Raises: WeightsError, if the weights have no classes and input.
    """

    def __init__(self, model: Model, name: str, limits: Limits) -> None:
        self.model, self.name, self.limits = model, name, limits
        self.classes, self.input_spec = model.classes_and_input()
        self.in_progress = 0
        self.metrics = Metrics(lambda: self.batcher.waiting, lambda: self.in_progress)
        self.threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decode")
        self.batcher = Batcher(
            lambda views: model.probabilities(views).cpu().numpy(),
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

    async def view(self, file: ImageFile) -> Views:
        """Return an image as the network sees it.

        Shape: (size, size, channels)
        Raises: HTTPException, 413 if it has too many pixels, 415 if it is no image, 422 if it is damaged.
        """
        return await self.in_thread(self.threads.submit(self._view, file))

    async def probabilities(self, view: Views) -> Probabilities:
        """Return the probability of each class.

        Shape: (size, size, channels) -> (classes,)
        Raises: HTTPException, 500 if the network fails.
        """
        try:
            return await self.in_thread(self.batcher.submit(view))
        except ResnetsError as error:
            raise HTTPException(500, str(error)) from error

    async def probabilities_of(self, views: Sequence[Views]) -> list[Probabilities]:
        """Return what `probabilities` does for each of several images."""
        return await asyncio.gather(*map(self.probabilities, views))

    async def classify(self, files: Sequence[ImageFile]) -> list[Probabilities | HTTPException]:
        """Return the probabilities for each image, or its error."""

        async def one(file: ImageFile) -> Probabilities | HTTPException:
            try:
                return await self.probabilities(await self.view(file))
            except HTTPException as error:
                return error

        return await asyncio.gather(*map(one, files))

    def best(self, probabilities: Probabilities, top: int) -> list[dict[str, str | float]]:
        """Return the `top` most probable classes with their probabilities, the best first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [{"name": self.classes[index], "probability": float(probabilities[index])} for index in order]

    def _view(self, file: ImageFile) -> Views:
        try:
            header = next(read_headers([file]))
            pixels, most = header.width * header.height, self.limits.max_pixels
            if pixels > most * 1e6:
                size = f"{header.width:,} x {header.height:,} pixels"
                raise HTTPException(413, f"{file}: {size}; this server takes at most {most:g} million")
            return single_view(file, self.input_spec)
        except DataError as error:
            match error.__cause__:
                case Image.DecompressionBombError():
                    status = 413
                case UnidentifiedImageError():
                    status = 415
                case _:
                    status = 422
            raise HTTPException(status, str(error)) from error
