"""`resnets list` and `resnets info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from typer import Argument, Option

if TYPE_CHECKING:
    from resnets.networks.describe import NetworkSummary


def list_networks(
    json: Annotated[bool, Option("--json", help="Print a JSON list instead.")] = False,
    markdown: Annotated[bool, Option("--markdown", help="Print a Markdown table instead.")] = False,
) -> None:
    """List every network: depth, parameters, multiply-adds and the paper's figure where it has one.

    Any other plainD and residual resnetD of a depth D = 6n + 2 exists as well.
    """
    from json import dumps

    from rich.console import Console
    from rich.table import Column, Table

    from resnets.networks import describe as networks

    found = networks.list_networks()
    if json:
        print(dumps([msgspec.to_builtins(network) for network in found]))
        return
    if markdown:
        print("| network | depth | parameters | MACs | input | the paper's error |")
        print("|---|--:|--:|--:|--:|---|")
        for row in map(_cells, found):
            print(f"| `{row[0]}` | {' | '.join(row[1:])} |")
        return
    table = Table(Column("network", no_wrap=True), box=None)
    for title in ("depth", "parameters", "MACs", "input"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("the paper's error")
    for network in found:
        table.add_row(*_cells(network))
    Console().print(table)


def _cells(network: NetworkSummary) -> list[str]:
    return [
        network.name,
        str(network.depth),
        f"{network.parameters:,}",
        f"{network.macs:,}",
        str(network.input_size),
        _published(network),
    ]


def _published(network: NetworkSummary) -> str:
    figure = network.published
    if figure is None:
        return ""
    note = f" ({figure.note})" if figure.note else ""
    return f"{figure.relation}{figure.value:g} {figure.unit}, {figure.table}{note}"


def info(
    network: Annotated[str, Argument(help="A network's name.", show_default=False)],
    shortcut: Annotated[str | None, Option(help="A, B or C.")] = None,
    stride: Annotated[str | None, Option(help="1x1 or 3x3.")] = None,
    residual_layers: Annotated[int | None, Option(help="3x3 layers that a shortcut spans.")] = None,
    layers: Annotated[bool, Option("--layers", help="Show every layer instead of the stages.")] = False,
    json: Annotated[bool, Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Show a network as a column of the paper's Table 1: its stages, output sizes and what they cost."""
    from json import dumps

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from resnets.networks import describe as networks
    from resnets.specs import ResNetSpec

    found = networks.describe(network, shortcut=shortcut, stride=stride, residual_layers=residual_layers)
    spec, cost = found.spec, found.cost
    depth = spec.depth or cost.depth
    if json:
        headline = {"name": spec.name, "depth": depth, "parameters": cost.parameters, "macs": cost.macs}
        print(dumps(headline | msgspec.to_builtins(found)))
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
    table.add_row("in all", "", f"{depth} weighted layers", f"{cost.parameters:,}", f"{cost.macs:,}")
    console = Console()
    console.print(table)
    if isinstance(spec, ResNetSpec) and spec.residual:
        print(f"shortcuts: option {spec.shortcut}" + (f"; stride 2 on the {spec.stride}" if spec.stride else ""))
    print(
        f"for one image of {spec.input_size} x {spec.input_size}: {cost.macs:,} multiply-adds, "
        f"{cost.activation_bytes / 2**20:.1f} MiB of activations in training (float32)"
    )
