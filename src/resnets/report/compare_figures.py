"""The paper's figures with measurements: each curve with its runs, where it ends, and a status."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from resnets.paper.declarations import Curve, Figure
from resnets.report.runs import SCALES, Measured, Results
from resnets.report.verdict import Status, Verdict, choose, judge, setting_of


@dataclass(frozen=True)
class ComparedCurve:
    """A curve, its runs, and how their ends compare with the last of the paper's readings.

    `runs` are those nearest to the paper; `drawn` are others where the figure's other curves are of shorter ones.
    """

    curve: Curve
    runs: tuple[Measured, ...]
    drawn: tuple[Measured, ...]
    measured: float | None  # the mean at the end of `runs`
    std: float | None
    verdict: Verdict

    @property
    def is_plain(self) -> bool:
        """Whether it is of a network without shortcuts."""
        return not (self.curve.network or "").startswith("resnet")


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of the paper, panel by panel."""

    figure: Figure
    panels: tuple[tuple[ComparedCurve, ...], ...]

    @property
    def curves(self) -> tuple[ComparedCurve, ...]:
        """All curves, panel by panel."""
        return tuple(curve for panel in self.panels for curve in panel)


def compare_figure(figure: Figure, results: Results) -> ComparedFigure:
    """Return a figure with the runs behind its curves; what is drawn is of one length wherever there are such runs."""
    alike = _alike(figure, results)
    return ComparedFigure(
        figure,
        tuple(
            tuple(_curve(figure, curve, panel.draws, results, alike) for curve in panel.curves)
            for panel in figure.panels
        ),
    )


def _fitting(curve: Curve, draws: str, results: Results) -> list[Measured]:
    """Return the runs that a curve can be drawn of."""
    setting, responses = setting_of(curve), draws != "error"
    return [run for run in results.runs if run.declared == setting and (run.responses or not responses)]


def _alike(figure: Figure, results: Results) -> object:
    """Return what the runs of most curves have alike, so that depth is compared and not length of training.

    Of two that are there for as many curves the nearer to the paper's counts; trials only where there is nothing else.
    """
    found: dict[object, tuple[Measured, set[str]]] = {}
    for panel in figure.panels:
        for curve in panel.curves:
            for run in _fitting(curve, panel.draws, results):
                found.setdefault(_trained_like(run), (run, set()))[1].add(run.network)
    ranked = sorted(found.values(), key=lambda one: (one[0].scale == SCALES[-1], -len(one[1]), one[0].rank))
    return _trained_like(ranked[0][0]) if ranked else None


def _trained_like(run: Measured) -> object:
    return (run.data, run.rank)


def _curve(figure: Figure, curve: Curve, draws: str, results: Results, alike: object) -> ComparedCurve:
    setting, responses = setting_of(curve), draws != "error"
    fitting = _fitting(curve, draws, results)
    runs = choose(fitting, setting) if setting else ()
    last = curve.published[-1] if curve.published else None
    if not runs or setting is None:
        missing = Verdict(Status.NOT_RUN, f"`resnets reproduce {figure.name}` runs it")
        return ComparedCurve(curve, (), (), None, None, missing)
    drawn = choose([run for run in fitting if _trained_like(run) == alike], setting) or runs
    values = [end(run, curve, draws) for run in runs]
    std = statistics.stdev(values) if len(values) > 1 else None
    if runs[0].departures:
        verdict = Verdict(Status.REDUCED, "; ".join(runs[0].departures))
    elif last is None or responses:
        verdict = Verdict(Status.NOT_JUDGED, curve.reason or "drawn over the paper's readings")
    else:
        verdict = judge(values, last, curve.tolerance)
    return ComparedCurve(curve, runs, drawn, statistics.fmean(values), std, verdict)


def end(run: Measured, curve: Curve, draws: str) -> float:
    """Return where a run's curve ends; of responses their mean over the layers, which has no published number."""
    if draws != "error":
        return statistics.fmean(response.std for response in run.responses)
    if curve.split == "training":
        return run.training_error
    errors = run.errors.get(curve.protocol or "")
    return errors.top1 if errors else run.curve[-1].tested
