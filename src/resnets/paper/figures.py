"""The paper's figures that a measurement can draw: Figures 1 and 6 (CIFAR-10), 4 (ImageNet) and 7 (layer responses)."""

from __future__ import annotations

from typing import Literal

from resnets.paper import published
from resnets.paper.declarations import Axis, Choice, Curve, Data, Figure, Panel, Protocol, Style, Tolerance
from resnets.paper.published import Published
from resnets.paper.tolerances import CIFAR, IMAGENET_TOP_1, of_reading

_END = 64_000
_ITERATIONS = Axis(label="iterations", low=0, high=_END, scale=10_000)
_LATE_ITERATIONS = Axis(label="iterations", low=35_000, high=_END, scale=10_000)
_ERROR = Axis(label="error", unit="%", low=0, high=20)  # Figure 1's; we have no limits of Figure 6's, and take the same
_IMAGENET_ITERATIONS = Axis(label="iterations", low=0, high=550_000, scale=10_000)
_IMAGENET_ERROR = Axis(label="error", unit="%", low=20, high=60)


def _label(network: str) -> str:
    kind, depth = ("ResNet", network[6:]) if network.startswith("resnet") else ("plain", network[5:])
    return f"{kind}-{depth}"


def _curve(
    network: str,
    published: tuple[Published, ...],
    split: Literal["training", "test", "validation"],
    style: Style,
    *,
    protocol: Protocol,
    data: Data = "cifar10",
    runs: Tolerance | None = None,
    reason: str = "",
    drawn: bool = True,
) -> Curve:
    """Return a curve; its end is compared within `runs`, unless it is of training or a bound."""
    compared = runs is not None and split != "training" and not published[-1].relation
    return Curve(
        label=_label(network),
        network=network,
        shortcut="A" if network.startswith("resnet") else None,  # in all of these figures
        recipe="cifar" if data == "cifar10" else "imagenet",
        data=data,
        split=split,
        style=style,
        protocol=None if split == "training" else protocol,
        published=published,
        reason=reason,
        tolerance=of_reading(published[-1], runs) if compared and runs else None,
        drawn=drawn,
    )


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
    return _curve(network, along, split, style, protocol="single-view", runs=CIFAR, drawn=drawn)


def _both(network: str, *, training: tuple[Published, ...] = (), test: tuple[Published, ...] = ()) -> tuple[Curve, ...]:
    """Return the dashed and the bold curve of a network of Figure 6, with readings from elsewhere in the paper."""
    return (
        _cifar("Figure 6", network, "training", "dashed", more=training),
        _cifar("Figure 6", network, "test", "bold", more=test),
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
                *_both("plain20"),
                *_both("plain32"),
                *_both("plain44"),
                *_both("plain56"),
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
                *_both("resnet20"),
                *_both("resnet32"),
                *_both("resnet44"),
                *_both("resnet56", test=_JOINT),
                *_both("resnet110", test=_JOINT),
            ),
        ),
        Panel(
            title="110 and 1202 layers",
            draws="error",
            x=_LATE_ITERATIONS,
            y=_ERROR,
            curves=(
                *_both("resnet110"),
                *_both("resnet1202", training=(published.find("section 4.2", "ResNet-1202", "training"),)),
            ),
        ),
    ),
    shows="deeper plain networks train worse, residual ones better; 1202 layers train as well as 110 and overfit",
)


# ---------------------------------------------------------------- Figure 4: ImageNet


def _imagenet(network: str) -> tuple[Curve, ...]:
    """Return the thin and the bold curve of a network."""

    def curve(split: Literal["training", "validation"], style: Style) -> Curve:
        along = published.find_readings("Figure 4", _label(network), split)
        return _curve(network, along, split, style, protocol="center-crop", data="imagenet", runs=IMAGENET_TOP_1)

    return curve("training", "thin"), curve("validation", "bold")


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
                *_imagenet("plain18"),
                *_imagenet("plain34"),
            ),
        ),
        Panel(
            title="ResNet",
            draws="error",
            x=_IMAGENET_ITERATIONS,
            y=_IMAGENET_ERROR,
            curves=(
                *_imagenet("resnet18"),
                *_imagenet("resnet34"),
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
    along = published.find_readings("Figure 7", _label(network), column)
    return _curve(network, along, "test", "solid", protocol="single-view", reason=reason)


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
