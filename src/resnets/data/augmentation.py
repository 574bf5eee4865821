"""Section 4.2's augmentation, a whole batch at once: pad, crop at random from the image or its mirror image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

from resnets.data.convention import divisor_of, mean_of, std_of
from resnets.data.datasets import ImageArrays
from resnets.data.randomness import sample_bits, uniform_integers
from resnets.specs import InputConvention, PadCropFlip


def _windows(images: NDArray[Any], pad: int, flip: bool, device: torch.device | None) -> NDArray[Any] | Tensor:
    """Return a view of every crop of the zero-padded images and (from N on) of their mirror images.

    Only the padded images are stored; a crop is a row of this view, copied when it is taken. It is an array, which a
    CPU gathers from ten times as fast as from a tensor, or a tensor on the `device`.

    Shape: (N, H, W, C) -> (N or 2N, 2 * pad + 1, 2 * pad + 1, H, W * C)
    """
    count, height, width, channels = images.shape
    padded = np.zeros((1 + flip, count, height + 2 * pad, width + 2 * pad, channels), images.dtype)
    inside = slice(pad, pad + height), slice(pad, pad + width)
    padded[0][:, *inside] = images
    if flip:
        padded[1][:, *inside] = images[:, :, ::-1]
    rows = padded.reshape((1 + flip) * count, height + 2 * pad, (width + 2 * pad) * channels)
    shape = (len(rows), 2 * pad + 1, 2 * pad + 1, height, width * channels)
    image, row, value = rows.strides
    if device is None:
        return as_strided(rows, shape, (image, row, channels * value, row, value), writeable=False)
    image, row = image // value, row // value
    return torch.from_numpy(rows).to(device).as_strided(shape, (image, row, channels, row, 1))


class CropFlip:
    """Training images in memory, cropped and mirrored as their (seed, epoch, sample) says.

    The mean is subtracted first and the padding is zero after it, so the mean image is cropped with the images.
    With a `device` the images are there, and are cropped there by draws that were copied to it.
    """

    def __init__(
        self,
        train: ImageArrays,
        augmentation: PadCropFlip,
        convention: InputConvention,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self.shape = train.images.shape[1:]
        self.count = len(train)
        self.augmentation = augmentation
        self.seed = seed
        self.device = device
        self.divisor = divisor_of(convention)
        pixels = train.images[..., ::-1] if convention.order == "BGR" else train.images
        self.images: Any = _windows(pixels, augmentation.pad, augmentation.flip, device)
        self.means: Any = _windows(mean_of(convention)[None], augmentation.pad, augmentation.flip, device)
        std = std_of(convention)
        self.std = None if std is None else torch.from_numpy(std).to(device)

    def __call__(self, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> Tensor:
        """Return the samples as they are seen in these epochs.

        Shape: (B,), (B,) -> (B, C, H, W) float32, channels last in memory
        """
        return self.crop(self.draw(epochs, samples))

    def draw(self, epochs: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where samples are cropped in these epochs: the padded image, whether mirrored, top and left.

        Shape: (B,), (B,) -> (4, B)
        """
        bits = sample_bits(self.seed, epochs, samples)
        top = uniform_integers(bits, 0, 2 * self.augmentation.pad + 1)
        left = uniform_integers(bits, 1, 2 * self.augmentation.pad + 1)
        mirror = self._mirror(bits, epochs, samples)
        return np.stack([samples + mirror * self.count, mirror, top, left])

    def crop(self, drawn: Any) -> Tensor:
        """Return the images of a draw: an array, or with a `device` a tensor of it.

        Shape: (4, B) -> (B, C, H, W) float32, channels last in memory
        """
        image, mirror, top, left = drawn
        crops = torch.as_tensor(self.images[image, top, left])  # (B, H, W * C) uint8
        means = torch.as_tensor(self.means[mirror, top, left])  # (B, H, W * C)
        images = crops.float().div_(self.divisor).sub_(means)
        images = images.view(-1, *self.shape)  # (B, H, W, C)
        if self.std is not None:
            images /= self.std
        return images.permute(0, 3, 1, 2)

    def _mirror(
        self, bits: NDArray[np.uint64], epochs: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return 1 for the samples that are mirrored, 0 for the others."""
        if not self.augmentation.flip:
            return np.zeros_like(samples)
        if self.augmentation.alternate:  # from a side that is drawn for the sample, once for all epochs
            return (uniform_integers(sample_bits(self.seed, np.zeros_like(epochs), samples), 2, 2) + epochs) % 2
        return uniform_integers(bits, 2, 2)
