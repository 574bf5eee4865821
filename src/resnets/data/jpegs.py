"""From an image file to a tensor: JPEGs by torchvision, which reads the pixels that Pillow does, others by Pillow."""

from __future__ import annotations

import contextlib
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnets.data.decoding import decode_here, limit_pixels, orientation, pixels, quiet
from resnets.data.stored import ImageFile, content_of


def decode_tensor(path: ImageFile, channels: int = 3) -> Tensor:
    """Return what `decode` does as a tensor: colour and grey JPEGs by torchvision, others by Pillow.

    Shape: (channels, H, W) uint8
    Raises: DataError, as `decode`.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    with quiet():
        with contextlib.suppress(Exception):  # Pillow then says what is wrong, or reads it
            content = content_of(path)
            with Image.open(BytesIO(content), formats=("JPEG",)) as header:
                limit_pixels(header)
                if channels == 3 and header.mode in ("RGB", "L"):
                    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
                    return _turned(decode_jpeg(encoded, mode=ImageReadMode.RGB), orientation(header))
        return torch.from_numpy(np.array(pixels(decode_here(path, channels)))).permute(2, 0, 1)


def _turned(image: Tensor, orientation: int) -> Tensor:
    """Return an image upright that is stored in one of EXIF's orientations. Shape: (C, H, W)"""
    if orientation >= 5:
        image = image.transpose(1, 2)
    flipped = [axis for axis, those in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if orientation in those]
    return image.flip(flipped) if flipped else image
