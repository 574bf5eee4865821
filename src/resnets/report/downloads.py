"""Downloads of a page, inside itself: a table or a figure as CSV, everything as JSON."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from resnets.report.compare_figures import ComparedFigure
from resnets.report.compare_tables import ComparedTable
from resnets.report.runs import MeasuredDetector, Run
from resnets.report.view import View


def table_csv(table: ComparedTable) -> str:
    """Return a table's numbers as CSV, one line for each row and column that has any."""
    lines = [("row", "column", "unit", "published", "measured", "deviation", "runs", "status", "why")]
    for row in table.rows:
        for cell in row.cells:
            if cell.published or cell.published_text or cell.is_measured:
                lines.append(
                    (
                        row.row.label,
                        cell.column.name,
                        cell.column.unit,
                        cell.published_text
                        if cell.published is None
                        else cell.published.relation + _plain(cell.published.value),
                        cell.measured_text if cell.measured is None else _plain(cell.measured),
                        "" if cell.std is None else _plain(cell.std),
                        str(len(cell.values)),
                        cell.verdict.status,
                        cell.verdict.why,
                    )
                )
    return _csv(lines)


def figure_csv(figure: ComparedFigure) -> str:
    """Return what a figure draws as CSV: the paper's readings and our curves, point by point."""
    lines = [("panel", "network", "split", "source", "seed", "scale", "x", "y")]
    for panel, curves in zip(figure.figure.panels, figure.panels, strict=True):
        for curve in curves:
            for reading in curve.curve.published:
                place = "" if reading.at is None else str(reading.at)
                until = "" if reading.until is None else f" to {reading.until}"
                names = (panel.title, curve.curve.label, curve.curve.split)
                lines.append((*names, "paper", "", "full", place + until, reading.printed))
    for drawing in (one for row in figure.drawings for one in row):
        for curve, run in drawing.runs:
            names = (drawing.title, curve.curve.label, curve.curve.split)
            for x, y in zip(*drawing.points(curve, run), strict=True):
                lines.append((*names, "ours", str(run.seed), run.scale, _plain(x), _plain(y)))
    return _csv(lines)


def everything(view: View) -> str:
    """Return all numbers of a report as JSON, but for the runs' curves, which their result files hold."""
    tables = {
        table.table.name: [
            {
                "row": row.row.label,
                "status": row.verdict.status,
                "why": row.verdict.why,
                "runs": [view.results.key(run) for run in row.runs],
                "cells": [
                    {
                        "column": cell.column.name,
                        "unit": cell.column.unit,
                        "published": None if cell.published is None else cell.published.value,
                        "relation": "" if cell.published is None else cell.published.relation,
                        "measured": cell.measured,
                        "values": cell.values,
                        "status": cell.verdict.status,
                    }
                    for cell in row.cells
                    if cell.published or cell.values
                ],
            }
            for row in table.rows
        ]
        for table in view.tables
    }
    degradation = (view.sentence, *view.more_sentences)
    return json.dumps(
        {
            "counts": view.counts,
            "degradation": degradation,
            "tables": tables,
            "runs": [_run(run, view.results.key(run)) for run in view.results.everything],
            "ensembles": [_without(test, "weights") for test in view.results.ensembles],
            "weights": [
                _without(test, "members", "alone", "runs") | {"network": test.members[0], "weights": test.weights[0]}
                for test in view.results.weights
            ],
        }
    )


def _run(run: Run, key: str) -> dict[str, Any]:
    tests = {}
    if isinstance(run, MeasuredDetector):  # whose tests are no keys in JSON
        tests = {"tests": [_without(test) | _without(scores) for test, scores in run.tests.items()]}
        run = dataclasses.replace(run, tests={})
    return (
        _without(run, "curve", "responses", "built", "trained", "files")
        | tests
        | {"key": key, "departures": run.departures}
    )


def _without(record: object, *names: str) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(record).items() if name not in names}


def link(text: str, kind: str) -> str:
    """Return a data link to a text of a kind, `text/csv` or `application/json`."""
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


def _csv(lines: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def _plain(value: float) -> str:
    return f"{value:.10g}"
