"""Section 4.2's augmentation of images in memory: padded crops and mirror images, a whole mini-batch at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

from resnets.data.normalization import Normalizer, divisor_of, mean_of, std_of
from resnets.data.randomness import sample_bits, uniform_integers
from resnets.specs import InputSpec, PadCropFlip


def crop_flip(
    images: NDArray[np.uint8],
    augmentation: PadCropFlip,
    input_spec: InputSpec,
    seed: int,
    device: torch.device | None = None,
) -> CropFlip:
    """Return the augmentation of training images, with a `device` on it. Shape: images (N, H, W, C)"""
    whole = input_spec.contrast is not None or input_spec.whitening is not None
    return (WholeCropFlip if whole else CropFlip)(images, augmentation, input_spec, seed, device)


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
        images: NDArray[np.uint8],
        augmentation: PadCropFlip,
        input_spec: InputSpec,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self.shape = images.shape[1:]
        self.count = len(images)
        self.augmentation = augmentation
        self.seed = seed
        self.device = device
        self._prepare(images, input_spec)

    def _prepare(self, images: NDArray[np.uint8], input_spec: InputSpec) -> None:
        augmentation, device = self.augmentation, self.device
        self.divisor = divisor_of(input_spec)
        pixels = images[..., ::-1] if input_spec.channel_order == "BGR" else images
        self.images: Any = pixels if device is None else _windows(pixels, augmentation.pad, augmentation.flip, device)
        self.means: Any = _windows(mean_of(input_spec)[None], augmentation.pad, augmentation.flip, device)
        std = std_of(input_spec)
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
        if self.device is None:
            crops = torch.from_numpy(self._pad_and_crop(image - mirror * self.count, mirror == 1, top, left))
        else:
            crops = self.images[image, top, left]  # (B, H, W * C) uint8
        means = torch.as_tensor(self.means[mirror, top, left])  # (B, H, W * C)
        images = crops.float().div_(self.divisor).sub_(means)
        images = images.view(-1, *self.shape)  # (B, H, W, C)
        if self.std is not None:
            images /= self.std
        return images.permute(0, 3, 1, 2)

    def _pad_and_crop(
        self, samples: NDArray[np.int64], mirrored: NDArray[np.bool_], top: NDArray[np.int64], left: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Pad and crop the images of one batch, since all images padded, and mirrored, take three times their memory.

        Shape: (B,) each -> (B, H, W * C)
        """
        height, width, channels = self.shape
        rows = np.ascontiguousarray(self.images[samples]).reshape(-1, height, width * channels)
        backwards = np.arange(width * channels).reshape(width, channels)[::-1].ravel()
        rows[mirrored] = rows[mirrored].take(backwards, axis=2)  # faster than a copy from the last pixel to the first
        windows = _windows(rows.reshape(-1, *self.shape), self.augmentation.pad, False, None)
        return np.asarray(windows[np.arange(len(rows)), top, left])

    def _mirror(
        self, bits: NDArray[np.uint64], epochs: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return 1 for the samples that are mirrored, 0 for the others."""
        if not self.augmentation.flip:
            return np.zeros_like(samples)
        if self.augmentation.alternate:  # from a side that is drawn for the sample, once for all epochs
            return (uniform_integers(sample_bits(self.seed, np.zeros_like(epochs), samples), 2, 2) + epochs) % 2
        return uniform_integers(bits, 2, 2)


class WholeCropFlip(CropFlip):
    """The same crops of images whose normalisation depends on all of their pixels, so that it comes first."""

    def _prepare(self, images: NDArray[np.uint8], input_spec: InputSpec) -> None:
        device = torch.device("cpu") if self.device is None else self.device
        self.images = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        self.normalized = Normalizer(input_spec, device)

    def crop(self, drawn: Any) -> Tensor:
        image, mirror, top, left = (torch.as_tensor(part, device=self.images.device) for part in drawn)
        height, width, _ = self.shape
        images = self.normalized(self.images[image % self.count])  # (B, C, H, W)
        images = torch.where(mirror[:, None, None, None] == 1, images.flip(3), images)
        padded = F.pad(images, (self.augmentation.pad,) * 4).permute(0, 2, 3, 1)
        rows = top[:, None] + torch.arange(height, device=top.device)
        columns = left[:, None] + torch.arange(width, device=left.device)
        batch = torch.arange(len(image), device=image.device)
        crops = padded[batch[:, None, None], rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
        return crops.permute(0, 3, 1, 2)
