"""What one of several processes takes: a slice of each mini-batch to train on, every n-th image to test on."""

from __future__ import annotations

from dataclasses import dataclass

from torch.utils.data import Subset

from resnets.data.datasets import ImageArrays, ImageFiles, Images
from resnets.errors import UsageError


@dataclass(frozen=True)
class Share:
    """One of `size` equal parts, numbered from 0; by default everything."""

    rank: int = 0
    size: int = 1

    def of_batch(self, batch_size: int) -> slice:
        """Return the consecutive images of each mini-batch that are this process's.

        Raises: UsageError, if a mini-batch cannot be divided evenly.
        """
        if batch_size % self.size:
            raise UsageError(
                f"a mini-batch of {batch_size} images cannot be shared evenly by {self.size} processes; "
                f"batch_size must be a multiple of {self.size}"
            )
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def of_split(self, split: Images) -> Images:
        """Return the images numbered rank, rank + size, ...: each is in exactly one share, and a share may be empty."""
        if self.size == 1:
            return split
        own = slice(self.rank, None, self.size)
        if isinstance(split, ImageArrays):
            return ImageArrays(split.images[own], split.labels[own])
        if isinstance(split, ImageFiles):
            return ImageFiles(split.paths[own], split.labels[own])
        return Subset(split, range(len(split))[own])  # type: ignore[arg-type]


WHOLE = Share()
