"""Write the generated parts of README.md and docs/: tables from the package, results and plots from results/.

    python tools/docs.py            # write what has changed
    python tools/docs.py --check    # write nothing; name what is stale, and exit with 1 if anything is

A generated part is between `<!-- generated: NAME -->` and `<!-- end -->`; `PARTS` has the function that writes it. A
plot's file holds the digest of its numbers, by which `--check` compares it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import statistics
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

import resnets
from resnets import pages
from resnets.cli import run as run_command
from resnets.localisation.recipes import all_recipes
from resnets.paper.compared_networks import SIZES
from resnets.paper.published import find_row
from resnets.records import base
from resnets.records.analyses import Ablation, Gradients, Landscape
from resnets.report import ablation, gradients, landscape, plots, view
from resnets.report.collect import collect
from resnets.report.single_page import Panel, figure_of
from resnets.specs import Departure, DetectionRecipe, LocalisationRecipe, Recipe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SHORT, FULL, FAST = 4_000, 64_000, 14_063  # iterations of runs on CIFAR-10
DEPTHS = (20, 32, 44, 56, 110)


def main(arguments: Sequence[str]) -> int:
    if set(arguments) - {"--check"}:
        print(__doc__)
        return 2
    check = "--check" in arguments
    stale = [path for path, is_stale, write in outputs() if is_stale and (check or write())]
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'stale; `python tools/docs.py` writes it' if check else 'written'}")
    return 1 if check and stale else 0


def outputs() -> list[tuple[Path, bool, Callable[[], Any]]]:
    """Return each page and plot, whether it is stale, and what writes it."""
    found: list[tuple[Path, bool, Callable[[], Any]]] = []
    for page in PAGES:
        old = page.read_text()
        new = PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}{part[4]}", old)
        found.append((page, new != old, lambda page=page, new=new: page.write_text(new)))
    for name, (numbers, draw) in PLOTS.items():
        path, digest = ROOT / "docs" / name, hashlib.sha256(repr(numbers()).encode()).hexdigest()
        found.append((path, digest != _digest(path), lambda path=path, draw=draw, digest=digest: draw(path, digest)))
    return found


def _digest(plot: Path) -> str | None:
    if not plot.exists():
        return None
    if plot.suffix == ".svg":
        return (re.match(r"<!-- source (\w+) -->", plot.read_text()) or [None, None])[1]
    with Image.open(plot) as image:
        return image.info.get("Source")


# ---------------------------------------------------------------- tables


def _printed(*command: str) -> str:
    """Return what a command prints on a terminal of 100 columns."""
    out = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(out):
            code = run_command(list(command))
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    if code != 0:
        raise SystemExit(f"resnets {' '.join(command)} ended with code {code}")
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def networks() -> str:
    return _printed("list", "--markdown")


def compared() -> str:
    """Return the sizes of the networks that the paper compares with, next to the published ones."""
    lines = [
        "| network | options | parameters | published | MACs | published | source | |",
        "|---|---|--:|--:|--:|--:|---|---|",
    ]
    for one in SIZES:
        cost = resnets.describe(one.network, **one.options).cost
        options = ", ".join(f"`{name}={value}`" for name, value in one.options.items())
        counts = f"{cost.parameters:,} | {one.parameters} | {cost.macs:,} | {one.macs}"
        lines.append(f"| `{one.network}` | {options} | {counts} | {one.source} | {one.note} |")
    return "\n".join(lines) + "\n"


def resnet34() -> str:
    return f"```\n$ resnets info resnet34\n{_printed('info', 'resnet34')}```\n"


def results() -> str:
    return resnets.write_report(RESULTS, out=None).markdown


def measured() -> str:
    """Return the README's table: full-length runs, the recipe `fast`, and depth at 4,000 iterations."""
    lines = [
        "| network | recipe | iterations | training error | test error | runs | paper: test error, 64,000 iterations |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for iterations in (FULL, FAST, SHORT):
        for name in [f"{kind}{depth}" for kind in ("plain", "resnet") for depth in DEPTHS]:
            if not (runs := cifar_runs(name, iterations)):
                continue
            paper = ""
            if name.startswith("resnet"):
                error, deviation = in_the_paper(int(name.removeprefix("resnet")))
                paper = f"{error:.2f}{'' if deviation is None else f' ± {deviation:.2f}'} %"
            training = _spread([run.training_error for run in runs])
            test = _spread([next(iter(run.errors.values())).top1 for run in runs])
            lines.append(
                f"| `{name}` | `{runs[0].recipe}` | {iterations:,} | {training} | {test} | {len(runs)} | {paper} |"
            )
    return "\n".join(lines) + "\n"


def in_the_paper(depth: int) -> tuple[float, float | None]:
    """Return the test error of a ResNet in Table 6; of several runs the mean and the deviation, as ours are given."""
    row = find_row("Table 6", f"ResNet, {depth} layers")
    return (row["mean"].value, row["std"].value) if "mean" in row else (row["error"].value, None)


def _spread(errors: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{statistics.fmean(errors):.2f}{spread} %"


def departures() -> str:
    """Return the recipes' own lists of departures from the paper, those of all recipes of a family once."""
    blocks = []
    for family, members in groupby(all_recipes().values(), _family):
        recipes = list(members)
        shared = [one for one in recipes[0].departures if all(one in recipe.departures for recipe in recipes)]
        if shared:
            blocks.append(_listed(family, shared))
        for same, rows in view.departures(recipes):
            title = ", ".join(f"`{recipe.name}`" for recipe in same)
            own = [one for one in rows if one not in shared]
            blocks.append(_listed(title, own) if own else f"**{title}**: none beyond the table above.\n")
    return "\n".join(blocks)


def _family(recipe: Recipe) -> str:
    if isinstance(recipe, DetectionRecipe):
        return "All detectors"
    if isinstance(recipe, LocalisationRecipe):
        return "All localisers"
    return "All `authors-*` recipes" if recipe.name.startswith("authors-") else ""


def _listed(title: str, rows: Sequence[Departure]) -> str:
    table = "".join(f"| {one.what} | {one.why} |\n" for one in rows)
    return f"**{title}**\n\n| what differs | why |\n|---|---|\n{table}"


def floors() -> str:
    """Return the layers of imports, as `make check` enforces them, each folder with the first line of its docstring."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = []
    for number, layer in reversed(list(enumerate(reversed(layers), 1))):
        for place, name in enumerate(layer.split(" | ")):
            rows.append((f"{number:2}" if place == 0 else "  ", name.removeprefix("resnets."), _docstring(name)))
    width = max(len(name) for _, name, _ in rows)
    return "```\n" + "".join(f"{number}  {name:<{width}}  {what}\n" for number, name, what in rows) + "```\n"


def _docstring(module: str) -> str:
    for folder in (ROOT / "src", ROOT):
        for path in (folder / module.replace(".", "/") / "__init__.py", folder / f"{module.replace('.', '/')}.py"):
            if path.exists():
                found = re.match(r'"""(.*?)[.;](?:\s|""")', path.read_text(), re.DOTALL)
                return found[1] if found else ""
    raise SystemExit(f"{module} in [tool.importlinter] is no module")


# ---------------------------------------------------------------- plots


@cache
def cifar_runs(network: str, iterations: int) -> tuple[Any, ...]:
    """Return the runs of a network on CIFAR-10 by a recipe of the package, one for each seed, seed 0 first."""
    seeds: dict[int, Any] = {}
    for run in collect([RESULTS]).runs:
        known = run.recipe in all_recipes() and not run.changes
        if known and (run.network, run.data, run.iterations) == (network, "cifar10", iterations):
            seeds.setdefault(run.seed, run)
    return tuple(seeds[seed] for seed in sorted(seeds))


def _curves() -> list[tuple[str, list[tuple[int, list[tuple[int, float]]]]]]:
    """Return the training error over the iterations of each kind of network, by depth, of seed 0."""
    return [
        (
            kind,
            [
                (depth, [(point.iteration, point.training) for point in run.curve])
                for depth in DEPTHS
                for run in cifar_runs(f"{kind}{depth}", SHORT)[:1]
            ],
        )
        for kind in ("plain", "resnet")
    ]


def draw_degradation(path: Path, digest: str, *, theme: str) -> None:
    """Draw Figure 1 in a sixteenth of its iterations, plain networks next to residual ones, in a theme of the pages."""
    figure, panels = plots.canvas(9.4, 3.7, columns=2)
    colours = plots.colours_of(iter(DEPTHS))
    for axes, (kind, networks) in zip(panels, _curves(), strict=True):
        ends = sorted((points[-1][1], depth) for depth, points in networks)
        places = [ends[0][0]]
        for error, _ in ends[1:]:  # labels next to the lines' ends, none over another
            places.append(max(error, places[-1] + 5.5))
        raised = statistics.fmean(places) - statistics.fmean(error for error, _ in ends)
        for (error, depth), place in zip(ends, places, strict=True):
            style: dict[str, Any] = {"color": colours[depth], "va": "center", "fontsize": 10, "fontweight": "bold"}
            axes.text(SHORT + 110, place - raised, f"{depth} layers: {error:.0f} %", **style)
        for depth, points in networks:
            axes.plot(*zip(*points, strict=True), color=colours[depth], linewidth=2)
        axes.set_title(f"{'Plain' if kind == 'plain' else 'Residual'} networks", loc="left", fontweight="bold")
        axes.set(xlabel="iterations", ylabel="training error (%)", xlim=(0, 1.45 * SHORT), ylim=(0, 92))
        axes.set_xticks(range(0, SHORT + 1, 1000), [f"{number:,}" for number in range(0, SHORT + 1, 1000)])
        axes.spines["bottom"].set_bounds(0, SHORT)
    path.write_text(_in_theme(plots.svg(figure, "degradation"), theme, digest))


def _in_theme(svg: str, theme: str, digest: str) -> str:
    """Return a page's drawing as a file of its own, in the light or the dark colours of the pages, with its digest."""
    style = (Path(pages.__file__).parent / "templates" / "page.css").read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    colours = light if theme == "light" else light | dark
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    svg = svg.replace("<svg ", f'<svg width="{width}" height="{height}" color="{colours["soft"]}" ', 1)
    svg = re.sub(r"var\(--([\w-]+)\)", lambda found: colours[found[1]], svg)
    svg = re.sub(r"(?<=px )[^;\"]*DejaVu[^;\"]*", "system-ui, sans-serif", svg)
    return f"<!-- source {digest} -->\n{svg}"


def _by_depth() -> list[tuple[str, list[tuple[str, list[tuple[int, float, float]]]]]]:
    """Return, for each length, the kinds of networks with their depths and the means of their runs' errors."""
    panels = []
    for iterations, title in ((FAST, "recipe fast, 14,063 iterations"), (SHORT, "recipe cifar, 4,000 iterations")):
        kinds = []
        for kind in ("plain", "resnet"):
            runs = {depth: cifar_runs(f"{kind}{depth}", iterations) for depth in DEPTHS}
            points = [
                (depth, _mean([run.training_error for run in ones]), _mean([run.test_error for run in ones]))
                for depth, ones in runs.items()
                if ones
            ]
            kinds.append((kind, points))
        panels.append((title, kinds))
    return panels


def _mean(errors: Sequence[float]) -> float:
    return round(statistics.fmean(errors), 4)


def draw_by_depth(path: Path, digest: str) -> None:
    """Draw test and training error over depth, plain and residual, next to the paper's test errors (Table 6)."""
    figure, panels = plots.canvas(8.4, 3.6, columns=2)
    printed = [(depth, in_the_paper(depth)[0]) for depth in DEPTHS]
    for axes, (title, kinds) in zip(panels, _by_depth(), strict=True):
        for kind, points in kinds:
            name, colour, mark = (
                ("plain", plots.SERIES[3], "s") if kind == "plain" else ("ResNet", plots.SERIES[0], "o")
            )
            depths, training, tested = zip(*points, strict=True)
            axes.plot(depths, tested, "-", color=colour, marker=mark, label=f"{name}, test")
            axes.plot(depths, training, "--", color=colour, marker=mark, markersize=3, linewidth=1)
        style: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none"}
        axes.plot(*zip(*printed, strict=True), color=plots.INK, label="ResNet in the paper", **style)
        axes.set(title=title, xlabel="layers", xticks=DEPTHS, ylim=(0, None))
    plots.legend(panels[1])
    panels[0].set_ylabel("error (%)   solid: test, dashed: training")
    _save(figure, path, digest)


def draw_analysis(
    path: Path, digest: str, *, source: Path, kind: type[Any], panels: Callable[[Any], Sequence[Panel]]
) -> None:
    """Draw the figure of a measurement of docs/why.md as its command does."""
    _save(figure_of(panels(base.read(source, kind))), path, digest, colours=256)


def _save(figure: Figure, path: Path, digest: str, colours: int = 64) -> None:
    """Write a PNG file of few colours, which takes a third of the bytes, with the digest of its numbers."""
    from PIL.PngImagePlugin import PngInfo

    png, words = io.BytesIO(), PngInfo()
    figure.savefig(png, format="png", dpi=120)
    words.add_text("Source", digest)
    Image.open(png).convert("RGB").quantize(colours).save(path, optimize=True, pnginfo=words)


PARTS: dict[str, Callable[[], str]] = {
    "networks": networks,
    "compared": compared,
    "resnet34": resnet34,
    "results": results,
    "measured": measured,
    "departures": departures,
    "floors": floors,
}
PLOTS: dict[str, tuple[Callable[[], Any], Callable[[Path, str], None]]] = {
    **{f"degradation-{theme}.svg": (_curves, partial(draw_degradation, theme=theme)) for theme in ("light", "dark")},
    "depth.png": (_by_depth, draw_by_depth),
    **{
        f"why-{source.stem}.png": (source.read_bytes, partial(draw_analysis, source=source, kind=kind, panels=panels))
        for kind, panels, names in (
            (Gradients, gradients.panels, ("gradients-initial", "gradients-training")),
            (Landscape, landscape.panels, ("landscape-20", "landscape-56", "landscape-cifar10")),
            (Ablation, ablation.panels, ("ablation", "ablation-cifar10")),
        )
        for source in [RESULTS / "why" / f"{name}.json" for name in names]
    },
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
