"""Tolerances for measured numbers where the paper gives no deviation of the published ones; each with its reason."""

from __future__ import annotations

import math

from resnets.paper.declarations import Tolerance
from resnets.paper.published import Published, find

_CIFAR_DEVIATION = find("Table 6", "ResNet, 110 layers", "std")

CIFAR = Tolerance(
    round(2 * math.sqrt(2) * _CIFAR_DEVIATION.value, 2),
    "twice the deviation of the difference of two runs, each with the 0.16 points of Table 6's five runs of "
    "ResNet-110, the only deviation that the paper gives of a network of its own",
)
CIFAR_MEAN_OF_FIVE = Tolerance(
    round(2 * math.sqrt(1 + 1 / 5) * _CIFAR_DEVIATION.value, 2),
    "twice the deviation of the difference of one run and a mean of five, each run with the 0.16 points of Table 6",
)

# Two independent trainings of ResNet-18, -34, -50, -101 and -152 by much the same recipe: fb.resnet.torch's
# 30.43/10.76, 26.73/8.74, 24.01/7.02, 22.44/6.21, 22.16/6.16 and torchvision's (V1) 30.24/10.92, 26.69/8.58,
# 23.87/7.14, 22.63/6.45, 21.69/5.95. They are up to 0.47 and 0.24 points apart.
_INDEPENDENTLY = "how far apart fb.resnet.torch's and torchvision's independently trained ResNet-18 to -152 are at most"
IMAGENET_TOP_1 = Tolerance(0.5, f"{_INDEPENDENTLY}, top-1")
IMAGENET_TOP_5 = Tolerance(0.25, f"{_INDEPENDENTLY}, top-5")


def of_reading(reading: Published, runs: Tolerance) -> Tolerance:
    """Return the tolerance of a number that was read off a figure: that of the runs joined with the reading's."""
    if reading.precision is None:
        return runs
    return Tolerance(
        round(math.hypot(runs.value, reading.precision), 2),
        f"{runs.reason}; and {reading.precision:g} for reading the figure",
    )


def of_parameters(number: Published) -> Tolerance:
    """Return half a unit of the last digit printed: of a million one decimal, or two where the number has them."""
    one_decimal = number.value >= 1e6 and round(number.value / 1e5) * 1e5 == number.value
    return Tolerance(0.05e6 if one_decimal else 0.005e6, "half a unit of the last digit printed")


def of_macs(number: Published) -> Tolerance:
    """Return 2.5 % of the number, because the paper does not round them in one way."""
    return Tolerance(
        0.025 * number.value, "2.5 %: the paper does not round them in one way (3.86 is printed 3.8, 7.57 is 7.6)"
    )
