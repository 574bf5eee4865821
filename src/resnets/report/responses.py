"""How strongly the layers of networks respond: what the numbers say, and the two panels of Figure 7 (section 4.2)."""

from __future__ import annotations

import dataclasses
import io
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.errors import UsageError
from resnets.report.measured import Response, depth_of
from resnets.storage import write_durably, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True, kw_only=True)
class LayerResponses:
    """How strongly the layers of a network respond: the first convolution and each other 3x3 one, in their order.

    `digest` is the data's, where a run on it has the same, `images` how many test images it was measured on, `result`
    what the run's result.json holds, None without one.
    """

    network: str
    source: str  # the run's folder, or the weights file
    data: str
    images: int
    device: str
    layers: tuple[Response, ...]
    digest: str | None = None
    result: dict[str, Any] | None = dataclasses.field(default=None, repr=False)

    @property
    def by_magnitude(self) -> tuple[Response, ...]:
        """The layers with the strongest response first, as in the lower panel of Figure 7."""
        return tuple(sorted(self.layers, key=lambda response: -response.std))

    @property
    def mean(self) -> float:
        """Mean over the layers."""
        return statistics.fmean(response.std for response in self.layers)

    @property
    def median(self) -> float:
        """Median over the layers."""
        return statistics.median(response.std for response in self.layers)


def findings(found: Sequence[LayerResponses]) -> tuple[str, ...]:
    """Return what the paper reads off Figure 7, for these networks: plain beside residual, and depth beside depth.

    Of two networks of one name, as of two seeds, the first counts. () where there is nothing to compare.
    """
    named = {one.network: one for one in reversed(found)}
    sentences = []
    for name, residual in sorted(named.items(), key=lambda pair: depth_of(pair[0]) or 0):
        plain = named.get(f"plain{name.removeprefix('resnet')}")
        if name.startswith("resnet") and plain is not None:
            less = "less than" if residual.mean < plain.mean else "no less than"
            sentences.append(
                f"{name} responds {less} its plain twin: {residual.mean:.2f} against {plain.mean:.2f} on average over "
                f"the layers (in the paper residual networks respond less)."
            )
    residual_ones = [one for name, one in named.items() if name == f"resnet{depth_of(name)}"]
    if len(residual_ones) > 1:
        deeper = sorted(residual_ones, key=lambda one: depth_of(one.network) or 0)
        means = [one.mean for one in deeper]
        falls = all(later < earlier for earlier, later in itertools.pairwise(means))
        first, last = depth_of(deeper[0].network), depth_of(deeper[-1].network)
        sentences.append(
            f"From {first} to {last} layers the residual networks' mean response goes "
            f"{' -> '.join(f'{mean:.2f}' for mean in means)}: the deeper {'responds' if falls else 'does not respond'} "
            f"less (in the paper it does)."
        )
    return tuple(sentences)


def check_plot(path: Path) -> None:
    """Make sure that a drawing can be written under this name, before anything is measured for it.

    Raises: UsageError.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"plot {path}: its name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def write_plot(found: Sequence[LayerResponses], path: Path) -> None:
    """Draw the two panels of Figure 7 to a PNG, SVG or PDF file.

    Raises: UsageError, if the name ends otherwise; RunError, if the file cannot be written.
    """
    check_plot(path)
    content = io.BytesIO()
    draw(found).savefig(content, format=path.suffix.lower()[1:], dpi=150)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content.getvalue())


def draw(found: Sequence[LayerResponses]) -> Figure:
    """Return the figure: the layers in their order above, by magnitude below; plain networks dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharey=True)
    depths = sorted({depth_of(one.network) or 0 for one in found})
    names = [one.network for one in found]
    for one in found:
        label = one.network if names.count(one.network) == 1 else f"{one.network} ({one.source})"
        style: dict[str, Any] = {
            "color": f"C{depths.index(depth_of(one.network) or 0)}",
            "linestyle": "--" if one.network.startswith("plain") else "-",
            "linewidth": 1.6,
        }
        for axes, layers in ((upper, one.layers), (lower, one.by_magnitude)):
            axes.plot(range(1, len(layers) + 1), [layer.std for layer in layers], label=label, **style)
    upper.set(title="original order", xlabel="layer")
    lower.set(title="sorted by magnitude", xlabel="rank")
    for axes in (upper, lower):
        axes.set_ylabel("standard deviation")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=1)
        axes.grid(alpha=0.3)
    upper.legend()
    return figure
