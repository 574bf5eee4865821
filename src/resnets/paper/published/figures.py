"""The readings of Figures 1, 4, 6 and 7, at iterations (1, 4, 6), at layers or at ranks (7)."""

from __future__ import annotations

from functools import partial

from resnets.paper.published.cifar import CIFAR_ERROR
from resnets.paper.published.number import Published, read_off

_TRAINING = "CIFAR-10 training error"
_ERROR_PRECISION = 0.2  # points, of every error that is read off a figure
_LAST = (60_000, 63_000)  # where the ends of the curves of Figure 6 were read

# ---------------------------------------------------------------- Figure 1: plain networks on CIFAR-10

_figure_1 = partial(read_off, "Figure 1", unit="%", precision=_ERROR_PRECISION)

FIGURE_1 = (
    *_figure_1("plain-20", "training", quantity=_TRAINING, readings={64_000: 1.3}),
    *_figure_1("plain-56", "training", quantity=_TRAINING, readings={64_000: 5.9}),
    *_figure_1("plain-20", "test", quantity=CIFAR_ERROR, readings={64_000: 9.7}),
    *_figure_1("plain-56", "test", quantity=CIFAR_ERROR, readings={64_000: 13.3}),
)

# ---------------------------------------------------------------- Figure 4: ImageNet

_validation = partial(
    read_off,
    "Figure 4",
    column="validation",
    unit="%",
    quantity="ImageNet validation error, centre crops",
    precision=_ERROR_PRECISION,
)
_training = partial(
    read_off,
    "Figure 4",
    column="training",
    unit="%",
    quantity="ImageNet training error, augmented crops",
    precision=0.5,  # of a thin and noisy line
)

FIGURE_4 = (
    *_validation("plain-18", readings={140_000: 49.9, 250_000: 36.9, 540_000: 31.4}),
    *_validation("plain-34", readings={140_000: 55.0, 250_000: 38.5, 540_000: 32.4}),
    *_validation("ResNet-18", readings={140_000: 46.9, 250_000: 35.5, 540_000: 31.1}),
    *_validation("ResNet-34", readings={140_000: 44.5, 250_000: 32.2, 540_000: 28.2}),
    *_training("plain-18", readings={540_000: 31.5}, note="31 to 32"),
    *_training("plain-34", readings={540_000: 32.5}, note="32 to 33"),
    *_training("ResNet-18", readings={540_000: 30.0}),
    *_training("ResNet-34", readings={540_000: 25.0}),
)

# ---------------------------------------------------------------- Figure 6: CIFAR-10

_test_6 = partial(read_off, "Figure 6", column="test", unit="%", quantity=CIFAR_ERROR, precision=_ERROR_PRECISION)
_training_6 = partial(read_off, "Figure 6", column="training", unit="%", quantity=_TRAINING, precision=_ERROR_PRECISION)

FIGURE_6 = (
    # left: plain networks
    *_test_6("plain-20", readings={30_000: 12.6, _LAST: 9.7}),
    *_test_6("plain-32", readings={30_000: 14.2, _LAST: 10.1}),
    *_test_6("plain-44", readings={30_000: 16.1, _LAST: 11.3}),
    *_test_6("plain-56", readings={30_000: 18.1, _LAST: 13.3}),
    *_training_6("plain-20", readings={_LAST: 1.2}),
    *_training_6("plain-32", readings={_LAST: 1.3}),
    *_training_6("plain-44", readings={_LAST: 2.5}),
    *_training_6("plain-56", readings={_LAST: 5.6}),
    # its caption
    Published(60.0, "%", "Figure 6", "plain-110", "error", CIFAR_ERROR, "not drawn", relation=">"),
    # middle: residual networks
    *_test_6("ResNet-20", readings={30_000: 11.3, _LAST: 8.9}),
    *_test_6("ResNet-32", readings={_LAST: 7.5}),
    *_test_6("ResNet-44", readings={_LAST: 7.1}),
    *_test_6("ResNet-56", readings={_LAST: 7.0}),
    *_test_6("ResNet-110", readings={_LAST: 6.55}, note="6.5 to 6.6"),
    *_test_6("ResNet-56 and ResNet-110", readings={30_000: 10.25}, note="10.1 to 10.4, two curves in one place"),
    *_training_6("ResNet-20", readings={_LAST: 0.5}),
    *_training_6("ResNet-32", readings={_LAST: 0.2}),
    *_training_6("ResNet-44", readings={_LAST: 0.2}, relation="<"),
    *_training_6("ResNet-56", readings={_LAST: 0.1}),
    *_training_6("ResNet-110", readings={_LAST: 0.0}),
    # right: ResNet-110 again, next to ResNet-1202
    *_test_6("ResNet-1202", readings={_LAST: 7.9}, note="7.8 to 8.0"),
    *_training_6("ResNet-1202", readings={45_000: 0.1}, note="later lower"),
)

# ---------------------------------------------------------------- Figure 7: layer responses on CIFAR-10

_sorted = partial(
    read_off,
    "Figure 7",
    column="sorted",
    unit="",
    quantity="standard deviation of a layer's response, by rank",
    precision=0.05,  # as many digits as were read
)
_in_order = partial(
    read_off,
    "Figure 7",
    column="in order",
    unit="",
    quantity="standard deviation of a layer's response, by layer",
    precision=0.1,
)

FIGURE_7 = (
    # top: original order
    *_in_order("ResNet-110", readings={1: 3.4, (5, 36): 1.0, (37, 39): 2.0, (40, 108): 0.9, 109: 1.7}),
    # bottom: descending
    *_sorted("plain-20", readings={10: 1.9, 18: 1.5}),
    *_sorted("plain-56", readings={10: 2.0, 20: 1.75, 30: 1.2, 40: 1.1, 54: 1.0}),
    *_sorted("ResNet-20", readings={10: 1.6, 18: 1.2}),
    *_sorted("ResNet-56", readings={10: 1.3, 20: 1.2, 30: 1.1, 40: 0.96, 54: 0.71}),
    *_sorted(
        "ResNet-110",
        readings={1: 3.4, 5: 1.4, 10: 1.3, 20: 1.1, 40: 1.0, 60: 0.9, 80: 0.86, 100: 0.78, 108: 0.70},
    ),
)

ALL = (*FIGURE_1, *FIGURE_4, *FIGURE_6, *FIGURE_7)
