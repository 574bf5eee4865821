"""Detections drawn on their image: a box for each object, with its class and score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Okabe and Ito's colours, which colour-blind people tell apart; the ninth class has the first one's again."""


class Labelled(NamedTuple):
    """A box to draw: x1, y1, x2, y2 in pixels."""

    box: tuple[float, float, float, float]
    text: str
    label: int


def draw(image: Image.Image, objects: Sequence[Labelled]) -> Image.Image:
    """Return a copy of an RGB image with boxes and texts on it, of a size to be read in an image of its size."""
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    side = max(drawn.size)
    width, size = max(2, round(side / 300)), max(11, round(side / 45))
    font = ImageFont.load_default(size)
    for box, text, label in reversed(objects):  # the most certain, which come first, are drawn over the others
        colour = COLOURS[label % len(COLOURS)]
        pen.rectangle(box, outline=colour, width=width)
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        height = bottom - top + width
        x = max(0, min(box[0], drawn.width - (right - left) - width))
        y = box[1] - height if box[1] >= height else box[1]  # above the box where there is room
        pen.rectangle((x, y, x + right - left + width, y + height), fill=colour)
        ink = "black" if colour in ("#f0e442", "#e69f00", "#56b4e9") else "white"
        pen.text((x + width / 2 - left, y + width / 2 - top), text, fill=ink, font=font)
    return drawn
