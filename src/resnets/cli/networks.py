"""`resnets list` and `resnets info`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from typer import Argument, Option

from resnets.cli import options
from resnets.data.sources import SOURCES

if TYPE_CHECKING:
    from resnets.networks.describe import NetworkSummary

NUMBERS = ("depth", "parameters", "MACs", "input", "iterations", "batch", "lr")
"""Titles of right-aligned columns."""


Listed = tuple[tuple[str, ...], Sequence[tuple[str, ...]], Sequence[Any]]
"""Column titles, rows, and the objects that they show."""


def list_entries(
    what: Annotated[str, Argument(help="networks, recipes or data.")] = "networks",
    json: options.Json = False,
    markdown: Annotated[bool, Option("--markdown", help="Print a Markdown table instead.")] = False,
) -> None:
    """List every network (depth, parameters, multiply-adds, the paper's figure), every recipe or every data source.

    There are also plainD and resnetD of every other depth D = 6n + 2.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from resnets.errors import UsageError, nearest
    from resnets.files import to_json

    lists = {"networks": _networks, "recipes": _recipes, "data": _data}
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
    table = Table(Column(titles[0], no_wrap=True), box=None)
    for title, number in zip(titles[1:], right[1:], strict=True):
        table.add_column(title, justify="right" if number else "left", no_wrap=number)
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


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
    from resnets.detection.recipes import list_recipes
    from resnets.specs import DetectionRecipe

    found = list_recipes()
    rows = [
        (
            one.name,
            "detection" if isinstance(one, DetectionRecipe) else "classification",
            f"{one.iterations:,}",
            f"{one.batch_size:,}",
            f"{one.lr:g}",
            one.source,
        )
        for one in found
    ]
    return ("recipe", "of", "iterations", "batch", "lr", "source"), rows, [msgspec.to_builtins(one) for one in found]


def _data() -> Listed:
    rows = [(source.form, source.summary) for source in SOURCES]
    found = [{"name": source.name, "form": source.form, "summary": source.summary} for source in SOURCES]
    return ("data", ""), rows, found


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
    layers: Annotated[bool, Option("--layers", help="Show every layer instead of stages.")] = False,
    json: options.Json = False,
) -> None:
    """Show a network as a column of the paper's Table 1: its stages, output sizes, parameters and multiply-adds."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.files import to_json
    from resnets.networks import describe as networks
    from resnets.specs import ResNetSpec

    found = networks.describe(network, shortcut=shortcut, stride=stride, residual_layers=residual_layers)
    spec, cost = found.spec, found.cost
    depth = spec.depth or cost.depth
    if json:
        headline = {"name": spec.name, "depth": depth, "parameters": cost.parameters, "macs": cost.macs}
        print(to_json(headline | msgspec.to_builtins(found)))
        return
    table = Table("layer", "output", "layers", box=None)
    for title in ("parameters", "MACs"):
        table.add_column(title, justify="right")
    if layers:
        for layer in cost.layers:
            shape = " x ".join(map(str, layer.output_shape))
            table.add_row(layer.name, shape, layer.kind, f"{layer.parameters:,}", f"{layer.macs:,}")
    else:
        for stage in found.stages:
            size = " x ".join(map(str, stage.output_size))
            table.add_row(stage.name, size, escape(stage.layers), f"{stage.parameters:,}", f"{stage.macs:,}")
    table.add_section()
    table.add_row("total", "", f"{depth} weighted layers", f"{cost.parameters:,}", f"{cost.macs:,}")
    console = Console()
    console.print(table)
    if isinstance(spec, ResNetSpec) and spec.residual:
        print(f"shortcuts: option {spec.shortcut}" + (f"; stride 2 on the {spec.stride}" if spec.stride else ""))
    print(
        f"for one image of {spec.input_size} x {spec.input_size}: {cost.macs:,} multiply-adds, "
        f"{cost.activation_bytes / 2**20:.1f} MiB of activations in training (float32)"
    )
