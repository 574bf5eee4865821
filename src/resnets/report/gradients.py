"""Gradients by layer: the figure, what is read off it, and the page. Paper: section 4.1."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.quantities import plural, rate
from resnets.records.analyses import Gradients, NetworkGradients
from resnets.report import plots, single_page
from resnets.report.single_page import PAPER, Files, PageText, Panel
from resnets.report.wording import Grid, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "gradients"
NOTABLE = 10.0  # times, from which the first layer's gradient differs from the last one's
NOWHERE = "In no plain network does the gradient vanish towards the input, at any point that was measured."
CAUTIONS = (
    "Batch norm makes the loss independent of the scale of a layer's weights: twice the weights are half the gradient, "
    "and a quarter of the angle that a step turns them by. So compare the weights' norms, too; the file has both.",
    "Norms say whether a signal arrives, not whether it points anywhere useful. That gradients do not vanish excludes "
    "one explanation of degradation; it does not prove another.",
)


@dataclass(frozen=True)
class Group:
    """The seeds of one network that were measured after the same iterations."""

    label: str
    members: tuple[NetworkGradients, ...]

    @property
    def first(self) -> NetworkGradients:
        return self.members[0]

    @property
    def iterations(self) -> tuple[int, ...]:
        return tuple(point.iteration for point in self.first.points)

    def norms(self, index: int) -> list[tuple[float, float, float]]:
        """Return for each layer at a point the mean over the seeds (geometric), the least and the greatest."""
        of_seeds = [map(_known, one.points[index].gradients) for one in self.members]
        return [(_geometric(layer), min(layer), max(layer)) for layer in zip(*of_seeds, strict=True)]

    def ratios(self, index: int, *, scaled: bool = False) -> list[float]:
        """Return for each seed the first layer's gradient over the last one's.

        With `scaled` each gradient is multiplied by the norm of its weights, whose scale batch norm makes irrelevant.
        """
        found = []
        for one in self.members:
            point = one.points[index]
            last = _known(point.gradients[-1]) * (_known(point.weights[-1]) if scaled else 1.0)
            first = 0.0
            if point.gradients[0] != 0:
                first = _known(point.gradients[0]) * (_known(point.weights[0]) if scaled else 1.0)
            found.append(first / last)
        return found

    def growth(self, index: int) -> float:
        """Return how many times as long the first layer's weights are as at the first point."""
        return _geometric(
            [_known(one.points[index].weights[0]) / _known(one.points[0].weights[0]) for one in self.members]
        )


def _known(value: float | None) -> float:
    """Return a norm; of one that is 0 or not finite nothing can be drawn on a logarithmic axis."""
    return value if value is not None and value > 0 else math.nan


def _geometric(values: Sequence[float]) -> float:
    if any(map(math.isnan, values)):
        return math.nan
    return statistics.geometric_mean(values) if all(values) else 0.0


def groups(record: Gradients) -> list[Group]:
    """Return the networks, the seeds of one name, recipe and points together; names that occur twice with the source.

    Two of one seed are no seeds of one setting, and each is alone.
    """
    found: dict[object, list[NetworkGradients]] = {}
    for one in record.networks:
        points = tuple(point.iteration for point in one.points)
        found.setdefault((one.network, one.recipe.with_changes(name="", source=""), points), []).append(one)
    separate: list[list[NetworkGradients]] = []
    for same in found.values():
        separate += [same] if len({one.seed for one in same}) == len(same) else [[one] for one in same]
    names = [same[0].network for same in separate]
    return [
        Group(name if names.count(name) == 1 else f"{name} ({same[0].source or 'new'})", tuple(same))
        for name, same in zip(names, separate, strict=True)
    ]


# ---------------------------------------------------------------- words and numbers


def findings(record: Gradients) -> Iterator[str]:
    """Yield for each network, at its first and its last point, what its gradient does from the last layer to the first.

    The last sentence is on vanishing in plain networks, where there are any.
    """
    every = groups(record)
    for group in every:
        points = sorted({0, len(group.iterations) - 1})
        yield f"{group.label}: {'; '.join(_in_words(group, index) for index in points)}."
    plain = [group for group in every if group.label.startswith("plain")]
    small = [sentence for group in plain if (sentence := _small(group))]
    yield from small
    if plain and not small and not _unmeasured(plain):
        yield NOWHERE


def headline(record: Gradients) -> str:
    """Return in a sentence whether the gradient vanishes in plain networks, or what it does where there are none."""
    plain = [group for group in groups(record) if group.label.startswith("plain")]
    if not plain:
        return next(findings(record))
    if not any(map(_small_points, plain)):
        unmeasured = _unmeasured(plain)
        return f"Gradients of {listed(unmeasured)} are not finite at every point." if unmeasured else NOWHERE
    lost = [
        group.label
        for group in plain
        if any(_geometric(group.ratios(index, scaled=True)) < 1 / NOTABLE for index in _small_points(group))
    ]
    if lost:
        return f"The gradient vanishes towards the input of {listed(lost)}."
    return "Gradients of plain networks get smaller towards the input, by no more than their weights get larger."


def _unmeasured(groups: Sequence[Group]) -> list[str]:
    """Return the networks of which the first or the last layer's gradient is not finite at some point."""
    return [
        group.label
        for group in groups
        if any(math.isnan(_geometric(group.ratios(index))) for index in range(len(group.iterations)))
    ]


def _small_points(group: Group) -> list[int]:
    """Return the points where the first layer's gradient is less than a tenth of the last one's."""
    return [index for index in range(len(group.iterations)) if _geometric(group.ratios(index)) < 1 / NOTABLE]


def _small(group: Group) -> str | None:
    """Return a sentence on the last point where the first layer's gradient is less than a tenth of the last one's."""
    points = _small_points(group)
    if not points:
        return None
    times, scaled = (_geometric(group.ratios(points[-1], scaled=scaled)) for scaled in (False, True))
    verdict = (
        f"Batch norm divides a gradient by the scale of its weights, and the first layer's have grown "
        f"{_number(group.growth(points[-1]))}-fold: multiplied by the weights' norms, the first is {_number(scaled)} "
        f"times the last"
        if scaled >= 1 / NOTABLE
        else f"Multiplied by the weights' norms it is {_number(scaled)}: it vanishes"
    )
    when = _when(group.iterations[points[-1]])
    return f"{group.label} {when}: the first layer's gradient is {_number(times)} of the last one's. {verdict}."


def _in_words(group: Group, index: int) -> str:
    times, norms = _geometric(group.ratios(index)), group.norms(index)
    last = _number(norms[-1][0])
    if math.isnan(times):
        verdict = "some gradients are 0 or not finite"
    elif times >= NOTABLE:
        verdict = f"it grows {_number(times)}-fold towards the input"
    elif times <= 1 / NOTABLE:
        verdict = f"it shrinks to {_number(times)} of it towards the input"
    else:
        verdict = f"the first is {_number(times)} times the last"
    return f"{_when(group.iterations[index])} the last layer's gradient is {last}, and {verdict}"


def _number(value: float) -> str:
    """Return a number in three digits."""
    return "not finite" if math.isnan(value) else rate(float(f"{value:.3g}"))


def _when(iteration: int) -> str:
    return f"after {plural(iteration, 'iteration')}" if iteration else "at initialisation"


def table(record: Gradients) -> Grid:
    """Return the norms of the first, the median and the last layer of each network at each point."""
    rows = []
    for group in groups(record):
        for index, iteration in enumerate(group.iterations):
            means, ratios = [mean for mean, _, _ in group.norms(index)], group.ratios(index)
            scaled = _geometric(group.ratios(index, scaled=True))
            norms = (means[0], statistics.median(means), means[-1], _geometric(ratios), scaled)
            spread = f"{_number(min(ratios))} to {_number(max(ratios))}"
            rows.append((group.label, f"{iteration:,}", *map(_number, norms), spread))
    return Grid(
        titles=("network", "iteration", "first", "median", "last", "first / last", "times weights", "of the seeds"),
        rows=rows,
        caption="Norm of the gradient of the first, the median and the last layer, geometric mean of the seeds; times "
        "weights: first / last of the gradient times the norm of the weights; of the seeds: first / last",
    )


# ---------------------------------------------------------------- figure and page


def panels(record: Gradients) -> list[Panel]:
    """Return the norms over the layers at the first point and the last, and their ratio over training."""
    every = groups(record)
    ends = [0] if all(len(group.iterations) == 1 for group in every) else [0, -1]
    limits = _limits(every, ends)
    names = "plain networks dashed, residual ones solid; the table below has the first, the median and the last layer"
    found = [
        Panel(partial(_draw_layers, every, index, limits), f"Norm of the gradient over the layers, {names}.")
        for index in ends
    ]
    if len(ends) > 1:
        found.append(Panel(partial(_draw_ratios, every), f"First layer over last layer during training, {names}."))
    return found


def _limits(every: Sequence[Group], ends: Sequence[int]) -> tuple[float, float]:
    """Return the ends of the norms' axes, the same for all points."""
    values = [value for group in every for index in ends for layer in group.norms(index) for value in layer]
    known = [value for value in values if not math.isnan(value)] or [1.0]
    return 0.7 * min(known), 1.4 * max(known)


def _draw_layers(every: Sequence[Group], index: int, limits: tuple[float, float], axes: Axes) -> None:
    colours = _colours(every)
    for group in every:
        style = _style(group, colours)
        means, least, most = zip(*group.norms(index), strict=True)
        layers = range(1, len(means) + 1)
        axes.plot(layers, means, label=group.label, **style)
        axes.fill_between(layers, least, most, color=style["color"], alpha=0.15, linewidth=0)
    iterations = {group.iterations[index] for group in every}
    title = _when(iterations.pop()) if len(iterations) == 1 else "at the last point" if index else "at the first point"
    axes.set(xlabel="layer", yscale="log", title=title, ylim=limits, ylabel="norm of the gradient")
    if index == 0:
        plots.legend(axes)


def _draw_ratios(every: Sequence[Group], axes: Axes) -> None:
    colours = _colours(every)
    for group in every:
        ratios = [_geometric(group.ratios(index)) for index in range(len(group.iterations))]
        axes.plot(group.iterations, ratios, marker=".", **_style(group, colours))
    axes.axhline(1, color=plots.INK, linewidth=0.8)
    axes.set(xlabel="iteration", yscale="log", title="first layer over last layer", ylabel="ratio of the gradients")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)


def _colours(every: Sequence[Group]) -> dict[int, str]:
    return plots.colours_of(iter(group.first.depth or 0 for group in every))


def _style(group: Group, colours: dict[int, str]) -> dict[str, Any]:
    plain = group.label.startswith("plain")
    return {"color": colours[group.first.depth or 0], "linestyle": "--" if plain else "-", "linewidth": 1.5}


def write(record: Gradients, folder: Path) -> Files:
    """Write gradients.json, gradients.png and gradients.html. Raises: RunError."""
    first = headline(record)
    recipes = " and ".join(sorted({one.recipe.name for one in record.networks}))
    seeds = " and ".join(sorted({str(one.seed) for one in record.networks}))
    text = PageText(
        title="Do gradients vanish?",
        headline=first,
        sentences=tuple(sentence for sentence in findings(record) if sentence != first),
        cautions=CAUTIONS,
        note=f"{record.data}, recipe {recipes}, seeds {seeds}, {plural(record.batches, 'mini-batch')} for each number; "
        f"{single_page.origin(record.provenance)}. {record.protocol}. Lines are geometric means of the seeds, bands "
        f"their range. {NAME}.json has every layer. Section 4.1 of {PAPER}.",
    )
    return single_page.publish(folder, NAME, record, text, panels(record), [table(record)])
