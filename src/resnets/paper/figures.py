"""The paper's figures that a measurement can draw: Figures 1 and 6 (CIFAR-10), 4 (ImageNet) and 7 (layer responses)."""

from __future__ import annotations

from typing import Literal

from resnets.errors import UsageError, nearest
from resnets.paper import published
from resnets.paper.declarations import Axis, Choice, Curve, Figure, Panel, Style
from resnets.paper.published import Published
from resnets.paper.tolerances import CIFAR, IMAGENET_TOP_1, of_reading
from resnets.specs import Shortcut

_END = 64_000
_ITERATIONS = Axis(label="iterations", low=0, high=_END, scale=10_000)
_LATE_ITERATIONS = Axis(label="iterations", low=35_000, high=_END, scale=10_000)
_ERROR = Axis(label="error", unit="%", low=0, high=20)  # Figure 1's; we have no limits of Figure 6's, and take the same
_IMAGENET_ITERATIONS = Axis(label="iterations", low=0, high=550_000, scale=10_000)
_IMAGENET_ERROR = Axis(label="error", unit="%", low=20, high=60)


def _label(network: str) -> str:
    kind, depth = ("ResNet", network[6:]) if network.startswith("resnet") else ("plain", network[5:])
    return f"{kind}-{depth}"


def _shortcut(network: str) -> Shortcut | None:
    return "A" if network.startswith("resnet") else None  # in all of these figures


# ---------------------------------------------------------------- Figures 1 and 6: CIFAR-10


def _cifar(
    figure: str,
    network: str,
    split: Literal["training", "test"],
    style: Style,
    *,
    more: tuple[Published, ...] = (),
    drawn: bool = True,
) -> Curve:
    readings = (*published.find_readings(figure, _label(network), split), *more)
    along = tuple(sorted(readings, key=lambda number: number.at or _END))
    return Curve(
        label=_label(network),
        network=network,
        shortcut=_shortcut(network),
        recipe="cifar",
        data="cifar10",
        split=split,
        style=style,
        protocol="single-view" if split == "test" else None,
        published=along,
        tolerance=None if split == "training" or along[-1].relation else of_reading(along[-1], CIFAR),
        drawn=drawn,
    )


FIGURE_1 = Figure(
    name="figure1",
    title="Degradation: plain networks of 20 and 56 layers on CIFAR-10",
    section="1",
    panels=(
        Panel(
            title="training error",
            draws="error",
            x=_ITERATIONS,
            y=_ERROR,
            curves=(
                _cifar("Figure 1", "plain20", "training", "solid"),
                _cifar("Figure 1", "plain56", "training", "solid"),
            ),
        ),
        Panel(
            title="test error",
            draws="error",
            x=_ITERATIONS,
            y=_ERROR,
            curves=(
                _cifar("Figure 1", "plain20", "test", "solid"),
                _cifar("Figure 1", "plain56", "test", "solid"),
            ),
        ),
    ),
    shows="the deeper plain network has the higher training error, and so the higher test error",
)

_JOINT = (published.find("Figure 6", "ResNet-56 and ResNet-110", "test", at=30_000),)

FIGURE_6 = Figure(
    name="figure6",
    title="Training (dashed) and test error (bold) on CIFAR-10: plain, residual, and 110 next to 1202 layers",
    section="4.2",
    panels=(
        Panel(
            title="plain",
            draws="error",
            x=_ITERATIONS,
            y=_ERROR,
            curves=(
                _cifar("Figure 6", "plain20", "training", "dashed"),
                _cifar("Figure 6", "plain20", "test", "bold"),
                _cifar("Figure 6", "plain32", "training", "dashed"),
                _cifar("Figure 6", "plain32", "test", "bold"),
                _cifar("Figure 6", "plain44", "training", "dashed"),
                _cifar("Figure 6", "plain44", "test", "bold"),
                _cifar("Figure 6", "plain56", "training", "dashed"),
                _cifar("Figure 6", "plain56", "test", "bold"),
                _cifar(
                    "Figure 6",
                    "plain110",
                    "test",
                    "bold",
                    more=(published.find("Figure 6", "plain-110", "error"),),
                    drawn=False,
                ),
            ),
        ),
        Panel(
            title="ResNet",
            draws="error",
            x=_ITERATIONS,
            y=_ERROR,
            curves=(
                _cifar("Figure 6", "resnet20", "training", "dashed"),
                _cifar("Figure 6", "resnet20", "test", "bold"),
                _cifar("Figure 6", "resnet32", "training", "dashed"),
                _cifar("Figure 6", "resnet32", "test", "bold"),
                _cifar("Figure 6", "resnet44", "training", "dashed"),
                _cifar("Figure 6", "resnet44", "test", "bold"),
                _cifar("Figure 6", "resnet56", "training", "dashed"),
                _cifar("Figure 6", "resnet56", "test", "bold", more=_JOINT),
                _cifar("Figure 6", "resnet110", "training", "dashed"),
                _cifar("Figure 6", "resnet110", "test", "bold", more=_JOINT),
            ),
        ),
        Panel(
            title="110 and 1202 layers",
            draws="error",
            x=_LATE_ITERATIONS,
            y=_ERROR,
            curves=(
                _cifar("Figure 6", "resnet110", "training", "dashed"),
                _cifar("Figure 6", "resnet110", "test", "bold"),
                _cifar(
                    "Figure 6",
                    "resnet1202",
                    "training",
                    "dashed",
                    more=(published.find("section 4.2", "ResNet-1202", "training"),),
                ),
                _cifar("Figure 6", "resnet1202", "test", "bold"),
            ),
        ),
    ),
    shows="deeper plain networks train worse, residual ones better; 1202 layers train as well as 110 and overfit",
)


# ---------------------------------------------------------------- Figure 4: ImageNet


def _imagenet(network: str, split: Literal["training", "validation"], style: Style) -> Curve:
    along = published.find_readings("Figure 4", _label(network), split)
    return Curve(
        label=_label(network),
        network=network,
        shortcut=_shortcut(network),
        recipe="imagenet",
        data="imagenet",
        split=split,
        style=style,
        protocol="center-crop" if split == "validation" else None,
        published=along,
        tolerance=None if split == "training" else of_reading(along[-1], IMAGENET_TOP_1),
    )


FIGURE_4 = Figure(
    name="figure4",
    title="Training (thin) and validation error (bold) on ImageNet: 18 and 34 layers, plain and residual",
    section="4.1",
    panels=(
        Panel(
            title="plain",
            draws="error",
            x=_IMAGENET_ITERATIONS,
            y=_IMAGENET_ERROR,
            curves=(
                _imagenet("plain18", "training", "thin"),
                _imagenet("plain18", "validation", "bold"),
                _imagenet("plain34", "training", "thin"),
                _imagenet("plain34", "validation", "bold"),
            ),
        ),
        Panel(
            title="ResNet",
            draws="error",
            x=_IMAGENET_ITERATIONS,
            y=_IMAGENET_ERROR,
            curves=(
                _imagenet("resnet18", "training", "thin"),
                _imagenet("resnet18", "validation", "bold"),
                _imagenet("resnet34", "training", "thin"),
                _imagenet("resnet34", "validation", "bold"),
            ),
        ),
    ),
    shows="34 plain layers have the higher training error throughout; with shortcuts they have the lower one",
    choices=(
        Choice(
            "at which iteration the curves end",
            "at 60e4, the recipe's last; drawn to 55e4",
            "the text says up to 60e4, the figure's axis ends at 55e4",
        ),
    ),
)


# ---------------------------------------------------------------- Figure 7: layer responses


def _responses(network: str, column: Literal["in order", "sorted"], reason: str = "") -> Curve:
    return Curve(
        label=_label(network),
        network=network,
        shortcut=_shortcut(network),
        recipe="cifar",
        data="cifar10",
        split="test",
        style="solid",
        protocol="single-view",
        published=published.find_readings("Figure 7", _label(network), column),
        reason=reason,
    )


_ONLY_SORTED = "read off the sorted panel only, where the curves can be distinguished"

FIGURE_7 = Figure(
    name="figure7",
    title="How strongly layers respond: standard deviation of each 3x3 layer's output on CIFAR-10",
    section="4.2",
    panels=(
        Panel(
            title="original order",
            draws="responses",
            x=Axis(label="layer", low=1, high=109),  # 6n + 1: the first convolution is among them
            y=Axis(label="standard deviation"),
            curves=(
                _responses("plain20", "in order", _ONLY_SORTED),
                _responses("plain56", "in order", _ONLY_SORTED),
                _responses("resnet20", "in order", _ONLY_SORTED),
                _responses("resnet56", "in order", _ONLY_SORTED),
                _responses("resnet110", "in order"),
            ),
        ),
        Panel(
            title="sorted by magnitude",
            draws="sorted responses",
            x=Axis(label="rank", low=1, high=109),
            y=Axis(label="standard deviation"),
            curves=(
                _responses("plain20", "sorted"),
                _responses("plain56", "sorted"),
                _responses("resnet20", "sorted"),
                _responses("resnet56", "sorted"),
                _responses("resnet110", "sorted"),
            ),
        ),
    ),
    shows="residual networks respond less than their plain counterparts, and the deeper the less",
    choices=(
        Choice(
            "over what the deviation of a layer is taken",
            "over all images, channels and positions at once, after batch norm and before ReLU or addition",
            "one number a layer, and nothing has to be averaged in a second way",
        ),
        Choice(
            "on which images",
            "the test images, each as it is, once",
            "they are the same for every run, and no augmentation has a part in it",
        ),
        Choice(
            "with which statistics batch norm works",
            "the running ones, as in testing",
            "the responses are then those of the network that is tested, whatever the mini-batch",
        ),
    ),
)

FIGURES: dict[str, Figure] = {figure.name: figure for figure in (FIGURE_1, FIGURE_4, FIGURE_6, FIGURE_7)}


def find(name: str) -> Figure:
    """Return a figure by its name, `figure6`.

    Raises: UsageError, naming the nearest ones, if there is none.
    """
    if name not in FIGURES:
        raise UsageError(f"unknown figure {name!r}{nearest(name, FIGURES)}; known: {', '.join(FIGURES)}")
    return FIGURES[name]
