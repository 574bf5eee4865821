"""The limits of a server: what one request may hold, how many are taken at once, and how images form batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from resnets.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes.

    Units: megabytes (10^6 bytes) for `max_body`, megapixels for `max_pixels`, milliseconds for `max_wait`, seconds for
    `timeout`; `queue` are requests, the other limits images.

    Raises: UsageError, if a limit is not positive and finite (`max_wait` may be 0).
    """

    batch_size: int = 32  # most images that are computed at once
    max_wait: float = 2.0  # for more images, when fewer than a batch are there
    max_images: int = 32  # in a request
    max_body: float = 32.0
    max_pixels: float = 50.0  # of an image
    timeout: float = 30.0  # of a request, from its headers to its answer
    queue: int = 64  # requests that are being read or answered

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "max_wait":
                if not 0 <= value <= 10_000:
                    raise UsageError(f"max_wait is {value}; it must be from 0 to 10,000 milliseconds")
            elif not 0 < value < math.inf:
                raise UsageError(f"{field.name} is {value}; it must be more than 0 and finite")

    @property
    def body_bytes(self) -> int:
        return int(self.max_body * 1e6)
