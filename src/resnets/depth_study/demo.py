"""`demo`: degradation and its cure on real digits, offline and in minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnets.depth_study import page
from resnets.errors import public
from resnets.records.studies import DepthRow, last_images
from resnets.report.depth import findings_of_rows
from resnets.report.single_page import PageText
from resnets.runtime.launch import require_alone
from resnets.training.observers import Observer
from resnets.training.recipes import DIGITS
from resnets.training.train import TrainResult, train

DEPTHS = (20, 56, 110)


@dataclass(frozen=True)
class Demo:
    """Six networks' training and test errors, what they show, and where it is drawn.

    `done_before` names the networks that an earlier call had trained.
    """

    rows: tuple[DepthRow, ...]
    done_before: tuple[str, ...]
    findings: tuple[str, ...]
    plot: Path
    page: Path


@public
def demo(
    out: str | Path = "demo",
    *,
    iterations: int = 200,
    seed: int = 0,
    observe: Callable[[str], Observer] | None = None,
) -> Demo:
    """Train plain and residual networks of 20, 56 and 110 layers on scikit-learn's digits and compare them.

    `observe` makes an observer for the network of a name. Networks that are done already are not trained again.

    Raises: UsageError; RunError, if `out` holds runs with other settings; Interrupted after a signal.
    Paper: Figures 1 and 6, in small.
    """
    require_alone("demo")
    folder = Path(out)
    rows, done_before = [], []
    for kind in ("plain", "resnet"):
        for depth in DEPTHS:
            name = f"{kind}{depth}"
            result = train(
                name,
                "digits",
                recipe="digits",
                iterations=iterations,
                seed=seed,
                out=folder / name,
                resume=True,
                observers=[observe(name)] if observe else [],
            )
            if result.already_finished:
                done_before.append(name)
            rows.append(_row(result, depth, residual=kind == "resnet"))
    findings = findings_of_rows(rows)
    plot, html = page.write(
        rows,
        PageText(
            title="Degradation and its cure",
            sentences=findings,
            note=f"scikit-learn's digits, {iterations} iterations of 128 images, seed {seed}",
        ),
        page.table(rows),
        folder,
        name="degradation",
    )
    return Demo(tuple(rows), tuple(done_before), findings, plot, html)


def _row(result: TrainResult, depth: int, *, residual: bool) -> DepthRow:
    curve = tuple((point.iteration, point.training_error, point.test_error or 0.0) for point in result.curve)
    return DepthRow(
        network=result.network,
        depth=depth,
        residual=residual,
        training_error=result.training_error,
        training_images=last_images((point[0] for point in curve), DIGITS.batch_size),
        test_error=result.test_error,
        seconds=result.seconds,
        curve=curve,
    )
