"""The report as one static page that needs nothing else: no network, no other file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnets import pages
from resnets.durations import in_words
from resnets.localisation.recipes import all_recipes
from resnets.paper.declarations import Table
from resnets.quantities import plural
from resnets.records.benchmarks import Benchmark, Claim
from resnets.records.runs import Provenance
from resnets.report import downloads, paper_figures, plots
from resnets.report.compare_figures import ComparedCurve, ComparedFigure, Drawing, end
from resnets.report.compare_tables import EXACT
from resnets.report.depth import Depth, trend
from resnets.report.responses import outliers
from resnets.report.runs import Measured, MeasuredDetector, MeasuredLocaliser, Run
from resnets.report.verdict import Status
from resnets.report.view import View
from resnets.report.wording import NOTHING, listed, measured, quantity

if TYPE_CHECKING:
    from markupsafe import Markup


def render(view: View) -> str:
    """Return the page, the same for the same view."""
    from markupsafe import Markup

    made = pages.environment("resnets.report")
    made.filters |= {
        "slug": lambda status: status.replace(" ", "-"),
        "capital": lambda text: text[:1].upper() + text[1:],
    }
    made.globals |= {
        "order": list(Status).index,
        "by_depth": _by_depth,
        "verdicts": _verdicts,
        "quantity": quantity,
        "measured": measured,
        "duration": in_words,
        "unit": lambda column: " (%)" if column.unit == "%" else "",
        "how": _how,
        "subject": lambda declared: declared.title.split(":")[0].split(",")[0],
        "both": lambda table, column: column.measure not in EXACT and table.has_measured(column),
        "tally": lambda compared: Status.tally(one.verdict.status for one in compared),
        "tolerances": _tolerances,
        "networks": paper_figures.networks,
        "styles": paper_figures.styles,
        "alternative": _alternative,
        "drawn_note": _drawn_note,
        "outlier_notes": _outlier_notes,
        "readings": _readings,
        "bounds": _bounds,
        "machine": lambda benchmark: _machine(benchmark.machine.hardware),
        "device": lambda run: _machine(run.provenance[-1].hardware) if run.provenance else "",
        "facts": _facts,
        "detection_scores": _detection_scores,
        "table_link": lambda table: downloads.link(downloads.table_csv(table), "text/csv"),
        "figure_link": lambda figure: downloads.link(downloads.figure_csv(figure), "text/csv"),
    }
    page = made.get_template("report.html").render(
        view=view,
        key=view.results.key,
        contents=list(_contents(view)),
        depths=Markup(plots.svg(plots.draw_depths(view.study), "depth")) if view.study else "",
        drawings={
            figure.figure.name: [[(one, Markup(svg)) for one, svg in row] for row in paper_figures.draw_figure(figure)]
            for figure in view.figures
        },
        json_link=downloads.link(downloads.everything(view), "application/json"),
    )
    return re.sub(r"\n\s*\n+", "\n", page)


def _contents(view: View) -> Iterator[tuple[Callable[[Any], str], str, Any, Sequence[Any]]]:
    """Yield of each table and figure what names a row or curve of it, its label, its declaration, and all of them."""
    for table in view.tables:
        yield lambda row: row.row.label, table.table.label, table.table, table.rows
    for figure in view.figures:
        yield lambda one: f"{one.curve.label}, {one.curve.split}", figure.figure.label, figure.figure, figure.curves


def _by_depth(depths: Sequence[Depth]) -> Markup:
    """Return what the training error does, its values and the depths."""
    from markupsafe import Markup

    if not depths:
        return Markup(NOTHING)
    change = trend(depths) if len(depths) > 1 else ""
    word = Markup('<span class="trend {}">{}</span> ').format(change.split()[0], change) if change else ""
    errors = " → ".join(f"{depth.training:.1f}" for depth in depths)
    layers = listed([f"{depth.layers}" for depth in depths])
    return Markup("{}{}<small>at {} layers</small>").format(word, errors, layers)


def _verdicts(benchmarks: Mapping[str, Benchmark]) -> str:
    """Return how many comparisons reach what they are to reach."""
    claims = (claim for benchmark in benchmarks.values() for row in benchmark.rows for claim in row.claims)
    found = Counter(claim.verdict.lower() for claim in claims if claim.verdict)
    return ", ".join(f"{number} {verdict}" for verdict, number in found.items()) or "not measured here"


# ---------------------------------------------------------------- tables


def _how(table: Table) -> str:
    """Return a table's caption: how its rows were tested, where that is the same for all, and what FLOPs are."""
    if table.kind == "complexity":
        return "FLOPs are multiply-adds of one image"
    ours = [row for row in table.rows if not row.cited]
    protocols = {row.protocol for row in ours}
    tested = {row.tested_on for row in table.rows}
    parts = [f"tested by {protocol}" for protocol in protocols if protocol and len(protocols) == 1]
    parts += [f"on {place}" for place in tested if place and len(tested) == 1]
    if not table.section:
        return " ".join(parts)
    return f"Section {table.section}{': ' if parts else ''}{' '.join(parts)}".replace("Section appendix", "Appendix")


def _tolerances(table: Table) -> list[tuple[str, str, str]]:
    """Return the tolerances of a table: the columns that have it, its value and its reason."""
    columns: dict[tuple[str, str], dict[str, None]] = {}
    for row in table.rows:
        for name, tolerance in row.tolerances.items():
            unit = table.column(name).unit
            share, colon, reason = tolerance.reason.partition(": ")  # one in percent of each number says so first
            if colon and share.endswith(" %"):
                within = share
            else:
                within, reason = f"{tolerance.value:,g}{' points' if unit == '%' else ''}", tolerance.reason
            columns.setdefault((within, reason), {})[name] = None
    return [(", ".join(names), within, reason) for (within, reason), names in columns.items()]


# ---------------------------------------------------------------- figures


def _alternative(drawing: Drawing) -> str:
    """Return what a plot shows, for who does not see it."""
    panel = drawing.panel
    ends = [f"{one.curve.label} {one.curve.split} {end(run, one.curve, panel):.2f}" for one, run in drawing.runs]
    shown = f"{drawing.title}: {panel.y.label} over {panel.x.label}; ours end at: {', '.join(ends)}"
    return f"{shown}. The numbers are in the table below."


def _drawn_note(figure: ComparedFigure) -> str:
    """Return a note on the runs that are drawn."""
    if not figure.drawings:
        return "Nothing of it is measured yet; the paper's readings are among the numbers."
    departures: dict[str, dict[str, None]] = {}
    for _, run in _drawn(figure):
        departures.setdefault("; ".join(run.departures), {})[run.network] = None
    if list(departures) == [""]:
        return "Ours are the runs of the first seed."
    if len(departures) == 1:
        return f"Ours are not as the paper's ({next(iter(departures))})."
    each = [f"{listed(list(networks))}: {how or 'as the paper'}" for how, networks in departures.items()]
    return f"Ours were not all trained alike, so compare them with care ({' / '.join(each)})."


def _drawn(figure: ComparedFigure) -> Iterator[tuple[ComparedCurve, Measured]]:
    return (pair for row in figure.drawings for drawing in row for pair in drawing.runs)


def _outlier_notes(figure: ComparedFigure) -> list[str]:
    """Return a sentence for each network whose layer responses, as drawn, are those of a few images."""
    if figure.figure.panels[0].draws == "error":
        return []
    runs = {curve.curve.label: run for curve, run in _drawn(figure)}
    return [note for label, run in runs.items() if (note := outliers(label, run.responses))]


def _readings(curve: ComparedCurve) -> str:
    found = []
    for number in curve.curve.published:
        place = "" if number.at is None else f" at {number.at:,}" + (f" to {number.until:,}" if number.until else "")
        found.append(f"{number.printed}{place}")
    return "; ".join(found) or curve.curve.reason or NOTHING


# ---------------------------------------------------------------- speed and runs


def _bounds(claim: Claim) -> str:
    """Return what a comparison is to reach."""
    bounds = [bound for bound in (claim.at_least, claim.aim) if bound is not None]
    shown = [quantity(bound, claim.quantity) if claim.over is None else f"{bound:g}" for bound in bounds]
    return ", ".join(shown) or NOTHING


def _machine(hardware: Mapping[str, Any]) -> str:
    if "gpu" in hardware:
        return str(hardware["gpu"])
    return f"{hardware.get('processor', 'an unknown processor')}, {hardware.get('cores', '?')} cores"


def _facts(run: Run) -> list[tuple[str, str]]:
    """Return all that a run's details show."""
    facts = [
        ("file", run.file),
        ("not as declared", "; ".join(run.departures)),
        ("recipe", f"{run.recipe}, {plural(run.iterations, 'iteration')}, {run.precision}"),
        ("seed", str(run.seed)),
    ]
    if isinstance(run, Measured):
        facts += _errors(run)
    elif isinstance(run, MeasuredDetector):
        facts += _tests(run)
    elif isinstance(run, MeasuredLocaliser):
        facts += _localisations(run)
    listed_above = {one.what for one in all_recipes()[run.recipe].departures} if run.recipe in all_recipes() else ()
    others = [f"{what} ({why})" for what, why in run.recipe_departures if what not in listed_above]
    facts.append(("departures of the recipe", "; ".join(others)))
    rate = f"{run.images_per_second:,.{0 if run.images_per_second >= 10 else 1}f} images/s"
    facts.append(("time", f"{in_words(run.seconds)}, {rate}"))
    for index, one in enumerate(run.provenance):
        session = f", session {index + 1}" if len(run.provenance) > 1 else ""
        facts += [(f"{name}{session}", what) for name, what in _provenance(one)]
    return [(name, what) for name, what in facts if what]


def _errors(run: Measured) -> list[tuple[str, str]]:
    facts = []
    for protocol, errors in run.errors.items():
        top5 = "" if errors.top5 is None else f", top-5 {errors.top5:.2f} %"
        facts.append((f"error, {protocol}", f"top-1 {errors.top1:.2f} %{top5}"))
    facts.append(("training error", f"{run.training_error:.2f} %, of augmented images since the last but one test"))
    if run.best_validation is not None:
        iteration, error = run.best_validation
        facts.append(("best on validation", f"{error:.2f} % at iteration {iteration:,} (the test set selects nothing)"))
    return facts


def _tests(run: MeasuredDetector) -> list[tuple[str, str]]:
    facts = []
    for test, scores in run.tests.items():
        classes = ", ".join(f"{name} {ap:.2f}" for name, ap in scores.classes.items())
        masks = "" if scores.masks is None else f"; of masks {_mean_ap(*scores.masks)}"
        name = ", ".join((f"test, protocol {test.protocol}", *test.refinements))
        facts.append((name, f"mean AP {_mean_ap(scores.mean_50, scores.mean)}; by class: {classes}{masks}"))
    return facts


def _mean_ap(at_50: float, mean: float | None) -> str:
    return f"at an IoU of .5 {at_50:.2f} %" + ("" if mean is None else f", at .5 to .95 {mean:.2f} %")


def _localisations(run: MeasuredLocaliser) -> list[tuple[str, str]]:
    facts = []
    for protocol, scores in run.tests.items():
        parts = []
        if scores.true_class_error is not None:
            parts.append(f"true class {scores.true_class_error:.2f} %")
        if scores.errors is not None and scores.class_errors is not None:
            parts.append(
                f"best of five guesses {scores.errors[-1]:.2f} % (classes alone {scores.class_errors[-1]:.2f} %)"
            )
        facts.append((f"localisation error, {protocol}", ", ".join(parts)))
    return facts


def _detection_scores(run: MeasuredDetector) -> list[tuple[str, float]]:
    """Return the tests of a detector, each with its protocol's main number in percent."""
    return [
        (" ".join((test.protocol, *test.refinements)), scores.mean_50 if scores.mean is None else scores.mean)
        for test, scores in run.tests.items()
    ]


def _provenance(one: Provenance) -> Sequence[tuple[str, str]]:
    return (
        ("hardware", ", ".join(f"{key} {value}" for key, value in one.hardware.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in one.versions.items())),
        ("system", one.system),
        ("commit", one.commit or ""),
    )
