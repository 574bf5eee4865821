"""`demo`: degradation and its cure on real digits, offline and in minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.arrays import ImageArrays
from resnets.data.load import load_data
from resnets.depth_study import page
from resnets.depth_study.browser import as_data
from resnets.errors import UsageError, public
from resnets.inference.model import load
from resnets.quantities import plural
from resnets.records.studies import DepthRow, last_images
from resnets.report.depth import findings_of_rows
from resnets.report.single_page import PageText
from resnets.runtime.launch import require_alone
from resnets.specs.networks import IMAGENET_STAGES
from resnets.training.observers import Observer
from resnets.training.recipes import DIGITS
from resnets.training.train import TrainResult, train

DEPTHS = (20, 56)  # those of Figure 1


@dataclass(frozen=True)
class Demo:
    """The networks' training and test errors, what they show, and where it is drawn.

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
    depths: Sequence[int] = DEPTHS,
    iterations: int = 150,
    seed: int = 0,
    observe: Callable[[str], Observer] | None = None,
) -> Demo:
    """Train plain and residual networks of some depths on scikit-learn's digits and compare them.

    The page explains what they show, and the two deepest answer on it for digits that one draws. Networks that are done
    already are not trained again.

    Args:
        out: folder for the runs, the figure and the page.
        depths: 6n + 2 layers each; a plain and a residual network of each are trained.
        iterations: of each network.
        seed: of initialisation, data order and augmentation.
        observe: makes an observer for the network of a name.

    Raises: UsageError, if a depth is not 6n + 2; RunError, if `out` holds runs with other settings; Interrupted.
    Paper: Figures 1 and 6, in small.
    """
    require_alone("demo")
    if not depths:
        raise UsageError("no depths; such as 20,56")
    for depth in depths:
        if depth < 8 or depth % 6 != 2:
            raise UsageError(
                f"there is no network of {depth} layers for small images; depths are 6n + 2, such as 20,56"
            )
    folder = Path(out)
    rows, done_before = [], []
    for kind in ("plain", "resnet"):
        for depth in sorted(set(depths)):
            name = f"{kind}{depth}_cifar" if depth in IMAGENET_STAGES else f"{kind}{depth}"
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
    files = page.write(
        rows,
        PageText(
            title="Degradation and its cure",
            headline=findings[-1],
            sentences=findings[:-1],
            note=f"scikit-learn's digits, {plural(iterations, 'iteration')} of 128 images, seed {seed}",
        ),
        page.table(rows),
        folder,
        name="degradation",
        template="demo.html",
        drawn=_drawn({_title(row): folder / row.network for row in rows if row.depth == rows[-1].depth}),
    )
    return Demo(tuple(rows), tuple(done_before), findings, files.plot, files.page)


def _title(row: DepthRow) -> str:
    return f"{'ResNet' if row.residual else 'plain'}-{row.depth}"


def _drawn(runs: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the page needs to let networks answer: them, by their titles, and a test image of each digit."""
    test = load_data("digits").test
    assert isinstance(test, ImageArrays)
    firsts = [int(np.flatnonzero(test.labels == digit)[0]) for digit in range(10)]
    return {
        "networks": [{"name": title, **as_data(load(run, device="cpu"))} for title, run in runs.items()],
        "samples": [{"label": int(test.labels[i]), "pixels": test.images[i].ravel().tolist()} for i in firsts],
    }


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
