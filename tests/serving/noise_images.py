"""Synthetic images for the tests of the server."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image


def png(seed: int = 0, size: tuple[int, int] = (20, 30)) -> bytes:
    """Return a PNG file of noise."""
    file = BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()
