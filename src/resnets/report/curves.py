"""The paper's figures with what was measured of them: for each curve its runs, where it ends, and a status."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from resnets.paper.declarations import Curve, Figure
from resnets.report.collection import Results
from resnets.report.measured import Measured
from resnets.report.verdicts import Verdict, choose, judge, setting_of


@dataclass(frozen=True)
class ComparedCurve:
    """A curve, the runs behind it, and how its end stands to the last of the paper's readings."""

    curve: Curve
    runs: tuple[Measured, ...]
    measured: float | None  # the mean at the end
    std: float | None
    verdict: Verdict


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of the paper, panel by panel."""

    figure: Figure
    panels: tuple[tuple[ComparedCurve, ...], ...]

    @property
    def is_measured(self) -> bool:
        """Whether any curve of ours is in it."""
        return any(curve.runs for panel in self.panels for curve in panel)


def compare_figure(figure: Figure, results: Results) -> ComparedFigure:
    """Return a figure with the runs behind its curves."""
    return ComparedFigure(
        figure,
        tuple(tuple(_curve(figure, curve, panel.draws, results) for curve in panel.curves) for panel in figure.panels),
    )


def _curve(figure: Figure, curve: Curve, draws: str, results: Results) -> ComparedCurve:
    setting = setting_of(curve)
    responses = draws != "error"
    runs = choose(results.runs, setting, lambda run: bool(run.responses) or not responses) if setting else ()
    last = curve.published[-1] if curve.published else None
    if not runs:
        return ComparedCurve(curve, (), None, None, Verdict("not run", f"`resnets reproduce {figure.name}` runs it"))
    values = [_end(run, curve, draws) for run in runs]
    std = statistics.stdev(values) if len(values) > 1 else None
    if runs[0].departures:
        verdict = Verdict("reduced", "; ".join(runs[0].departures))
    elif last is None or responses:
        verdict = Verdict("not judged", curve.reason or "drawn over the paper's readings")
    else:
        verdict = judge(values, last, curve.tolerance)
    return ComparedCurve(curve, runs, statistics.fmean(values), std, verdict)


def _end(run: Measured, curve: Curve, draws: str) -> float:
    """Return where a run's curve ends; of responses their mean over the layers, which has no published number."""
    if draws != "error":
        return statistics.fmean(response.std for response in run.responses)
    if curve.split == "training":
        return run.training_error
    errors = run.errors.get(curve.protocol or "")
    return errors.top1 if errors else run.curve[-1].tested
