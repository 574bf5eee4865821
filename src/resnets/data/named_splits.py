"""What the data sets of every task share: splits by name, `train`, `validation` and `test`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from resnets.errors import UsageError, nearest

S = TypeVar("S")


class NamedSplits(Generic[S]):
    """A data set's training and test images, and optionally validation images, by their names."""

    name: str
    train: S
    test: S
    validation: S | None

    def splits(self) -> dict[str, S]:
        """Return the splits that there are: train, validation, test."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    def of(self, split: str, more: Iterable[str] = ()) -> S:
        """Return a split by its name; the caller takes `more` than the splits that there are.

        Raises: UsageError, if there is none of this name.
        """
        found = self.splits()
        if split not in found:
            there = [*found, *more]
            raise UsageError(f"split is {split!r}; of {self.name} there are {', '.join(there)}{nearest(split, there)}")
        return found[split]


def adjective(split: str) -> str:
    """Return the word for a split's images in a sentence: `train` has training images."""
    return "training" if split == "train" else split
