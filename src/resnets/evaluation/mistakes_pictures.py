"""The pictures of a page of mistakes: a confusion matrix of two to a thousand classes, and a calibration curve."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from resnets.evaluation.confidence import Bin
from resnets.records.counts import wilson

NUMBERED = 20  # classes, up to which a cell has its number
LABELLED = 120  # classes, up to which rows and columns have their names
SORTED = 30  # classes, above which those that are taken for each other are next to each other
RASTER = 250  # pixels of a side of a picture of more classes

RIGHT, WRONG = (59, 127, 196), (217, 119, 43)  # of a raster, on light and dark pages


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Markup of a picture, its width in pixels, how much narrower it may become, and what it shows in words."""

    markup: Markup
    width: int
    least: float  # of the width; what is narrower scrolls
    caption: str


def draw_confusion(confusion: NDArray[np.int64], names: Sequence[str]) -> Picture:
    """Return a confusion matrix: labels by row, predictions by column, coloured by the share of the row.

    Shape: confusion (classes, classes)
    """
    order = _by_similarity(confusion) if len(names) > SORTED else np.arange(len(names))
    confusion = confusion[np.ix_(order, order)]
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    off = shares * (1 - np.eye(len(names)))
    strength = np.where(np.eye(len(names)) > 0, 0.1 + 0.62 * shares, 0.12 + 0.6 * np.sqrt(off / max(off.max(), 1e-9)))
    caption = "Each row holds the images of one label, each column those of one prediction: blue is right, orange wrong"
    if len(names) > SORTED:
        caption += "; classes that are taken for each other are next to each other"
    if len(names) > LABELLED:
        return _raster(confusion, strength, caption)
    ordered = [names[index] for index in order]
    return _cells(confusion, shares, strength, ordered, caption)


def _by_similarity(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the classes in an order in which those that are taken for each other are near. Shape: (classes,)"""
    from scipy.cluster.hierarchy import leaves_list, linkage  # type: ignore[import-untyped]
    from scipy.spatial.distance import squareform  # type: ignore[import-untyped]

    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    alike = np.minimum(shares + shares.T, 1)
    np.fill_diagonal(alike, 1)
    return np.asarray(leaves_list(linkage(squareform(1 - alike, checks=False), "average")), np.int64)


def _cells(
    confusion: NDArray[np.int64],
    shares: NDArray[np.float64],
    strength: NDArray[np.float64],
    names: Sequence[str],
    caption: str,
) -> Picture:
    """Draw a square for each cell that is not empty."""
    count = len(names)
    cell, font = (30, 10.5) if count <= 12 else (25, 10) if count <= NUMBERED else (15, 9.5) if count <= 60 else (12, 8)
    shown = [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
    gutter = round(10 + 0.58 * font * max(map(len, shown)))
    slant = round(0.71 * gutter) + 4
    reach = max((place + 0.5) * cell + 0.45 * font * len(name) for place, name in enumerate(shown))
    width, height = gutter + round(max(count * cell, reach)) + 6, slant + count * cell + 2
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Confusion matrix" font-size="{font}">']
    for place, (short, name) in enumerate(zip(shown, names, strict=True)):
        middle = (place + 0.5) * cell
        label = f"{escape(short)}<title>{escape(name)}</title></text>"
        parts.append(f'<text class="row" x="{gutter - 5}" y="{slant + middle + 0.35 * font:.1f}">{label}')
        x, y = gutter + middle + 0.35 * font, slant - 4
        parts.append(f'<text class="column" transform="translate({x:.1f} {y}) rotate(-45)">{label}')
    side = count * cell
    parts.append(f'<rect class="frame" x="{gutter}" y="{slant}" width="{side}" height="{side}"/>')
    for row, column in zip(*np.nonzero(confusion), strict=True):
        number, alpha = int(confusion[row, column]), float(strength[row, column])
        x, y = gutter + column * cell, slant + row * cell
        what = f"{names[row]} predicted as {names[column]}: {number:,} ({100 * shares[row, column]:.1f} %)"
        kind = "right" if row == column else "wrong"
        text = ""
        if count <= NUMBERED:
            text = f'<text class="n" x="{x + cell / 2}" y="{y + cell / 2 + 0.35 * font:.1f}">{number}</text>'
        parts.append(
            f'<g class="cell"><title>{escape(what)}</title><rect class="{kind}" fill-opacity="{alpha:.2f}" '
            f'x="{x + 0.5}" y="{y + 0.5}" width="{cell - 1}" height="{cell - 1}"/>{text}</g>'
        )
    return Picture(
        markup=Markup("".join(parts) + "</svg>"), width=width, least=0.78 if count <= 12 else 0.95, caption=caption
    )


def _raster(confusion: NDArray[np.int64], strength: NDArray[np.float64], caption: str) -> Picture:
    """Draw a pixel for each cell, or for the strongest of several, so that none gets lost."""
    step = -(-len(confusion) // RASTER)
    side = -(-len(confusion) // step)
    alpha = np.zeros((side * step, side * step))
    alpha[: len(confusion), : len(confusion)] = np.where(confusion > 0, np.maximum(strength, 0.65), 0)
    blocks = alpha.reshape(side, step, side, step).max((1, 3))
    image = np.zeros((side, side, 4), np.uint8)
    image[..., :3] = np.where(np.eye(side)[..., None] > 0, RIGHT, WRONG)
    image[..., 3] = (255 * blocks).round()
    content = BytesIO()
    Image.fromarray(image).save(content, "PNG", optimize=True)
    link = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    if step > 1:
        caption += f"; a pixel is the strongest of {step} x {step} cells"
    label = f"Confusion matrix of {len(confusion)} classes"
    markup = Markup('<img class="raster" src="{}" alt="{}" width="{}" height="{}">').format(link, label, side, side)
    return Picture(markup=markup, width=500, least=0.6, caption=caption)


def draw_calibration(bins: Sequence[Bin]) -> Markup:
    """Return a calibration curve: right answers over confidence, with 95 % intervals, and how many images each bin has.

    On the diagonal a network is as often right as it is sure.
    """
    left, top, side, low = 44, 8, 300, 46  # of the curve; the height of the counts below it
    total, most = sum(one.images for one in bins), max(one.images for one in bins)

    def x(value: float) -> float:
        return left + side * value

    def y(value: float) -> float:
        return top + side * (1 - value)

    parts = [f'<svg viewBox="0 0 {left + side + 12} {top + side + low + 50}" role="img" font-size="11">']
    parts.append("<title>Calibration: accuracy over confidence. The numbers are in the table next to it</title>")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path class="grid" d="M{x(0)} {y(tick)}H{x(1)}M{x(tick)} {y(0)}V{y(1)}"/>')
        parts.append(f'<text class="row" x="{left - 6}" y="{y(tick) + 4}">{100 * tick:.0f}</text>')
        parts.append(f'<text class="n soft" x="{x(tick)}" y="{top + side + low + 22}">{100 * tick:.0f}</text>')
    parts.append(f'<path class="ideal" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    base = top + side + low + 6
    line = []
    for one in bins:
        lowest, highest = (bound / 100 for bound in wilson(100 * one.accuracy, one.images))
        at = x(one.confidence)
        what = (
            f"confidence {100 * one.low:.0f} to {100 * one.high:.0f} %: {one.images:,} images, "
            f"{100 * one.accuracy:.1f} % right, {100 * one.confidence:.1f} % sure"
        )
        tall = max(1.0, (low - 6) * one.images / most)
        few = " few" if one.images < 0.001 * total or one.images < 10 else ""
        line.append(f"{at:.1f} {y(one.accuracy):.1f}")
        parts.append(
            f"<g><title>{what}</title>"
            f'<rect class="count" x="{x(one.low) + 1:.1f}" width="{side * (one.high - one.low) - 2:.1f}" '
            f'y="{base - tall:.1f}" height="{tall:.1f}"/>'
            f'<path class="interval" d="M{at:.1f} {y(lowest):.1f}V{y(highest):.1f}"/>'
            f'<circle class="point{few}" cx="{at:.1f}" cy="{y(one.accuracy):.1f}" r="4"/></g>'
        )
    parts.append(f'<path class="curve" d="M{"L".join(line)}"/>')
    parts.append(f'<text class="n soft" x="{x(0.5)}" y="{base + 34}">confidence, % (bars: images)</text>')
    place = f"translate(11 {y(0.5)}) rotate(-90)"
    parts.append(f'<text class="n soft" transform="{place}">right answers, %</text></svg>')
    return Markup("".join(parts))
