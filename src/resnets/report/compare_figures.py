"""The paper's figures with measurements: each curve with its runs, where it ends, a status, and what is drawn."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from resnets.paper.declarations import Curve, Figure, Panel
from resnets.quantities import plural
from resnets.report.runs import Measured, Results
from resnets.report.verdict import Status, Verdict, choose, judge


@dataclass(frozen=True)
class ComparedCurve:
    """A curve, the runs nearest to the paper, and how their ends compare with the last of the paper's readings."""

    curve: Curve
    runs: tuple[Measured, ...]
    measured: float | None  # the mean at the end of `runs`
    std: float | None
    verdict: Verdict

    @property
    def is_plain(self) -> bool:
        """Whether it is of a network without shortcuts."""
        return not (self.curve.network or "").startswith("resnet")


@dataclass(frozen=True)
class Drawing:
    """A plot of a panel: its curves, and a run of each that has one; of errors all runs are of one length."""

    panel: Panel
    curves: tuple[tuple[ComparedCurve, Measured | None], ...]

    @property
    def runs(self) -> tuple[tuple[ComparedCurve, Measured], ...]:
        """The curves that have a run."""
        return tuple((curve, run) for curve, run in self.curves if run is not None)

    @property
    def is_full_length(self) -> bool:
        """Whether the runs are as long as the paper's, or it is not of iterations."""
        return not _draws_errors(self.panel) or all(run.iterations == run.declared_iterations for _, run in self.runs)

    @property
    def title(self) -> str:
        """The panel's title, with the length of runs that are not of the paper's."""
        return self.panel.title if self.is_full_length else f"{self.panel.title}, {plural(self._length, 'iteration')}"

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The ends of the axis: the paper's, of runs of another length in proportion."""
        x, first = self.panel.x, self.runs[0][1]
        if self.is_full_length or x.low is None or x.high is None:
            return x.low, x.high
        share = self._length / first.declared_iterations
        return share * x.low, share * x.high

    @property
    def _length(self) -> int:
        return self.runs[0][1].iterations

    def points(self, curve: ComparedCurve, run: Measured) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return what is drawn of a run: positions along the axis, and values."""
        if _draws_errors(self.panel):
            errors = (point.training if curve.curve.split == "training" else point.tested for point in run.curve)
            return tuple(point.iteration for point in run.curve), tuple(errors)
        values = [response.std for response in run.responses]
        ordered = sorted(values, reverse=True) if self.panel.draws == "sorted responses" else values
        return tuple(range(1, len(ordered) + 1)), tuple(ordered)


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of the paper, panel by panel; `drawings` are rows of plots, each of runs of one length, longest first.

    Of each curve the runs that are compared are drawn, and one of each other length that another curve is of.
    """

    figure: Figure
    panels: tuple[tuple[ComparedCurve, ...], ...]
    drawings: tuple[tuple[Drawing, ...], ...]

    @property
    def curves(self) -> tuple[ComparedCurve, ...]:
        """All curves, panel by panel."""
        return tuple(curve for panel in self.panels for curve in panel)

    @property
    def is_measured(self) -> bool:
        """Whether anything of ours is drawn."""
        return bool(self.drawings)


def compare_figure(figure: Figure, results: Results) -> ComparedFigure:
    """Return a figure with the runs behind its curves."""
    panels = tuple(tuple(_curve(figure, curve, panel, results) for curve in panel.curves) for panel in figure.panels)
    lengths = sorted({run.iterations for panel in panels for curve in panel for run in curve.runs[:1]}, reverse=True)
    rows = [
        [_drawing(panel, curves, length, results) for panel, curves in zip(figure.panels, panels, strict=True)]
        for length in (lengths if _draws_errors(figure.panels[0]) else [None])
    ]
    filled = (tuple(drawing for drawing in row if drawing.runs) for row in rows)
    return ComparedFigure(figure, panels, tuple(row for row in filled if row))


def _draws_errors(panel: Panel) -> bool:
    return panel.draws == "error"


def _fitting(curve: Curve, panel: Panel, results: Results, length: int | None = None) -> tuple[Measured, ...]:
    """Return the runs nearest to the paper that a curve can be drawn of, where there are any of this length."""
    runs = (run for run in results.runs if length in (None, run.iterations) and (run.responses or _draws_errors(panel)))
    return choose(runs, curve.training)


def _drawing(panel: Panel, curves: tuple[ComparedCurve, ...], length: int | None, results: Results) -> Drawing:
    found = ((one, _fitting(one.curve, panel, results, length)) for one in curves if one.curve.drawn)
    return Drawing(panel, tuple((one, runs[0] if runs else None) for one, runs in found))


def _curve(figure: Figure, curve: Curve, panel: Panel, results: Results) -> ComparedCurve:
    runs = _fitting(curve, panel, results)
    last = curve.published[-1] if curve.published else None
    if not runs:
        missing = Verdict(Status.NOT_RUN, f"`resnets reproduce {figure.name}` runs it")
        return ComparedCurve(curve, (), None, None, missing)
    values = [end(run, curve, panel) for run in runs]
    std = statistics.stdev(values) if len(values) > 1 else None
    if runs[0].departures:
        verdict = Verdict(Status.REDUCED, "; ".join(runs[0].departures))
    elif last is None or not _draws_errors(panel):
        verdict = Verdict(Status.NOT_JUDGED, curve.reason or "drawn over the paper's readings")
    else:
        verdict = judge(values, last, curve.tolerance, better="lower")
    return ComparedCurve(curve, runs, statistics.fmean(values), std, verdict)


def end(run: Measured, curve: Curve, panel: Panel) -> float:
    """Return where a run's curve ends; of responses their mean over the layers, which has no published number."""
    if not _draws_errors(panel):
        return statistics.fmean(response.std for response in run.responses)
    if curve.split == "training":
        return run.training_error
    errors = run.errors.get(curve.protocol or "")
    return errors.top1 if errors else run.curve[-1].tested
