"""Mistakes on a test set, by confidence; images that are probably mislabelled; calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from resnets.evaluation.confidence import Bin, confidence_bins, expected_error


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The answers for test images: their labels and the probabilities of all classes.

    Shape: labels (N,) int64, probabilities (N, classes) float32
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image. Shape: (N,)"""
        return self.probabilities.argmax(1)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of the most probable class. Shape: (N,)"""
        return self.probabilities.max(1)

    @cached_property
    def of_label(self) -> NDArray[np.float32]:
        """The probability of the label. Shape: (N,)"""
        return self.probabilities[np.arange(len(self.labels)), self.labels]

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the label. Shape: (N,)"""
        return self.predicted == self.labels

    def confident_wrong(self) -> NDArray[np.int64]:
        """Return the images that are wrong, those with the largest confidence first. Shape: (M,)"""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def unconfident_right(self) -> NDArray[np.int64]:
        """Return the images that are right, those with the smallest confidence first. Shape: (M,)"""
        right = np.flatnonzero(self.right)
        return right[np.argsort(self.confidence[right], kind="stable")]

    @cached_property
    def suggested(self) -> NDArray[np.int64]:
        """The class that an image likely is of, where that is not its label, else -1. Shape: (N,)

        Confident learning in its simple form. A class's threshold is the mean probability that images with its label
        have for it. A label is likely wrong if its probability is below its threshold while another class's is not
        below that class's threshold; of several such classes it is the most probable one.

        Paper: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (2021),
            section 3.1.
        """
        classes = self.probabilities.shape[1]
        sums = np.bincount(self.labels, self.of_label, minlength=classes)
        counts = np.bincount(self.labels, minlength=classes)
        thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # a class without images has none
        reached = np.where(self.probabilities >= thresholds, self.probabilities, -1.0)
        best = reached.argmax(1)
        is_one = reached.max(1) >= 0
        unlikely = self.of_label < thresholds[self.labels]
        return np.where(is_one & unlikely & (best != self.labels), best, -1)

    def likely_wrong_labels(self) -> NDArray[np.int64]:
        """Return the images whose label is likely wrong, the one with the least probable label first. Shape: (M,)"""
        found = np.flatnonzero(self.suggested >= 0)
        return found[np.argsort(self.of_label[found], kind="stable")]

    @cached_property
    def bins(self) -> tuple[Bin, ...]:
        """Images by their confidence."""
        return confidence_bins(self.confidence, self.right)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error in percent."""
        return expected_error(self.bins)
