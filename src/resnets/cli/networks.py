"""`resnets list` and `resnets info`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from typer import Argument, Option

from resnets.cli import options
from resnets.cli.network_options import NetworkOptions, read_options
from resnets.data.sources import SOURCES

if TYPE_CHECKING:
    from resnets.networks.describe import NetworkSummary

NUMBERS = ("depth", "parameters", "MACs", "input", "iterations", "batch", "lr", "test error", "size")
"""Titles of right-aligned columns."""


Listed = tuple[tuple[str, ...], Sequence[tuple[str, ...]], Sequence[Any]]
"""Column titles, rows, and the objects that they show."""


def list_entries(
    what: Annotated[str, Argument(help="networks, recipes, data or weights.")] = "networks",
    json: options.Json = False,
    markdown: Annotated[bool, Option("--markdown", help="Print a Markdown table instead.")] = False,
) -> None:
    """List all networks (depth, parameters, multiply-adds, the paper's figure), recipes, data sources or weights.

    The weights are those that come with the package.

    There are also plainD and resnetD of every other depth D = 6n + 2.
    """
    from resnets.cli.display import print_table
    from resnets.errors import UsageError, nearest
    from resnets.files import to_json

    lists = {"networks": _networks, "recipes": _recipes, "data": _data, "weights": _weights}
    if what not in lists:
        raise UsageError(f"no list of {what!r}{nearest(what, lists)}; there are {', '.join(lists)}")
    titles, rows, found = lists[what]()
    right = [title in NUMBERS for title in titles]
    if json:
        print(to_json(found))
        return
    if markdown:
        print(f"| {' | '.join(titles)} |")
        print(f"|{'|'.join('--:' if number else '---' for number in right)}|")
        for name, *cells in rows:
            print(f"| `{name}` | {' | '.join(cells)} |")
        return
    print_table(titles, rows, words=[title for title in titles if title not in NUMBERS], box=None)


def _networks() -> Listed:
    from resnets.networks.describe import list_networks

    found = list_networks()
    rows = [
        (one.name, str(one.depth), f"{one.parameters:,}", f"{one.macs:,}", str(one.input_size), _published(one))
        for one in found
    ]
    titles = ("network", "depth", "parameters", "MACs", "input", "the paper's error")
    return titles, rows, [msgspec.to_builtins(one) for one in found]


def _recipes() -> Listed:
    from resnets.localisation.recipes import list_recipes

    recipes = list_recipes()
    found = [msgspec.to_builtins(one) for one in recipes]
    rows = [
        (one.name, about["kind"], f"{one.iterations:,}", f"{one.batch_size:,}", f"{one.lr:g}", one.source)
        for one, about in zip(recipes, found, strict=True)
    ]
    return ("recipe", "of", "iterations", "batch", "lr", "source"), rows, found


def _data() -> Listed:
    rows = [(source.form, source.summary) for source in SOURCES]
    found = [{"name": source.name, "form": source.form, "summary": source.summary} for source in SOURCES]
    return ("data", ""), rows, found


def _weights() -> Listed:
    from resnets.quantities import megabytes
    from resnets.weights.shipped import ShippedWeights, names

    found = [ShippedWeights.of(name) for name in names()]
    rows = [
        (one.name, one.network, one.data, f"{one.test_error:.2f} %", one.recipe, megabytes(one.bytes)) for one in found
    ]
    titles = ("weights", "network", "data", "test error", "recipe", "size")
    return titles, rows, [msgspec.to_builtins(one) for one in found]


def _published(network: NetworkSummary) -> str:
    figure = network.published
    if figure is None:
        return ""
    note = f" ({figure.note})" if figure.note else ""
    return f"{figure.relation}{figure.value:g} {figure.unit}, {figure.table}{note}"


def info(
    network: Annotated[str, Argument(help="Name of a network.", show_default=False)],
    shortcut: Annotated[str | None, Option(help="A, B or C.")] = None,
    stride: Annotated[str | None, Option(help="1x1 or 3x3.")] = None,
    residual_layers: Annotated[int | None, Option(help="3x3 layers per residual block.")] = None,
    network_option: NetworkOptions = None,
    layers: Annotated[bool, Option("--layers", help="Show every layer instead of stages.")] = False,
    json: options.Json = False,
) -> None:
    """Show a network as a column of the paper's Table 1: its stages, output sizes, parameters and multiply-adds."""
    from resnets.cli.display import print_table
    from resnets.files import to_json
    from resnets.networks import describe as networks
    from resnets.specs import ResNetSpec

    given = {"shortcut": shortcut, "stride": stride, "residual_layers": residual_layers}
    found = networks.describe(network, **read_options(network, network_option, given))
    spec, cost = found.spec, found.cost
    depth = spec.depth or cost.depth
    if json:
        headline = {"name": spec.name, "depth": depth, "parameters": cost.parameters, "macs": cost.macs}
        print(to_json(headline | msgspec.to_builtins(found)))
        return
    rows = [
        (layer.name, " x ".join(map(str, layer.output_shape)), layer.kind, f"{layer.parameters:,}", f"{layer.macs:,}")
        for layer in cost.layers
    ]
    if not layers:
        rows = [
            (one.name, " x ".join(map(str, one.output_size)), one.layers, f"{one.parameters:,}", f"{one.macs:,}")
            for one in found.stages
        ]
    total = ("total", "", f"{depth} weighted layers", f"{cost.parameters:,}", f"{cost.macs:,}")
    titles = ("layer", "output", "layers", "parameters", "MACs")
    print_table(titles, rows, [total], words=titles[1:3], box=None)
    if isinstance(spec, ResNetSpec) and spec.residual:
        print(f"shortcuts: option {spec.shortcut}" + (f"; stride 2 on the {spec.stride}" if spec.stride else ""))
    elif spec.in_words() != spec.name:
        print(spec.in_words())
    if found.published is not None and (said := found.published.in_words()):
        print(f"size: {said}")
    print(
        f"for one image of {spec.input_size} x {spec.input_size}: {cost.macs:,} multiply-adds, "
        f"{cost.activation_bytes / 2**20:.1f} MiB of activations in training (float32)"
    )
