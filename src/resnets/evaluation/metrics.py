"""Errors in percent, from exact counts."""

from __future__ import annotations

import torch
from torch import Tensor

from resnets.errors import DataError
from resnets.runtime.processes import World


class Counts:
    """Counts over a split; every sample is counted once, on the device of its logits, which is not waited for.

    Shape: confusion (classes, classes) int64, true class by row, predicted class by column
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self._in_top5 = torch.zeros((), dtype=torch.int64)
        self._loss_sum = torch.zeros((), dtype=torch.float64)

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """All that is counted, as tensors; counts of two parts of a split are added by adding these."""
        return self.confusion, self._in_top5, self._loss_sum

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count one batch. Shape: logits (B, classes), labels (B,) on the CPU.

        Raises: DataError, if the network has another number of classes than the data, or a label is none of them.
        """
        if logits.shape != (len(labels), self.classes):
            raise DataError(f"the network gives {tuple(logits.shape)[1:]} numbers an image for {self.classes} classes")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise DataError(f"labels {int(labels.min())} to {int(labels.max())} for {self.classes} classes")
        self._move(logits.device)
        logits, labels = logits.float(), labels.to(logits.device)
        cells = labels * self.classes + logits.argmax(1)
        self.confusion.view(-1).index_add_(0, cells, torch.ones_like(cells))
        top5 = logits.topk(min(5, self.classes), dim=1).indices
        self._in_top5 += (top5 == labels[:, None]).sum()
        self._loss_sum += torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    def _move(self, device: torch.device) -> None:
        if self.confusion.device != device:
            self.confusion, self._in_top5, self._loss_sum = (each.to(device) for each in self.sums)

    def cpu(self) -> Counts:
        """Return the same counts on the CPU, once their device has made them."""
        self._move(torch.device("cpu"))
        return self

    def summed(self, world: World) -> Counts:
        """Return the counts over a split of which each process counted its share; these become them too."""
        for each in self.sums:
            world.sum(each)
        return self

    def add_probabilities(self, probabilities: Tensor, labels: Tensor) -> None:
        """Count one batch by the classes' probabilities, which sum to 1. Shape: (B, classes), labels (B,)."""
        self.add(probabilities.float().clamp_min(torch.finfo(torch.float32).tiny).log(), labels)

    @property
    def samples(self) -> int:
        return int(self.confusion.sum())

    @property
    def in_top5(self) -> int:
        """Samples whose class is among the five most probable ones."""
        return int(self._in_top5)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self._loss_sum) / self.samples

    @property
    def top1_wrong(self) -> int:
        """Samples whose class is not the most probable one."""
        return self.samples - int(self.confusion.diagonal().sum())

    @property
    def top5_wrong(self) -> int:
        """Samples whose class is not among the five most probable ones."""
        return self.samples - self.in_top5

    @property
    def top1_error(self) -> float:
        """Percent of samples whose class is not the most probable one."""
        return 100.0 * self.top1_wrong / self.samples

    @property
    def top5_error(self) -> float:
        """Percent of samples whose class is not among the five most probable ones."""
        return 100.0 * self.top5_wrong / self.samples

    @property
    def class_errors(self) -> list[float | None]:
        """Top-1 error of each class in percent; None for a class without samples."""
        totals, right = self.confusion.sum(1).tolist(), self.confusion.diagonal().tolist()
        return [100.0 * (n - k) / n if n else None for n, k in zip(totals, right, strict=True)]
