"""Quantities in sentences: counts with their nouns, sizes, and lengths of trainings."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: 1 run, 2 runs, 2 classes."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "ch", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def training_length(iterations: int, batch_size: int, training_images: int) -> str:
    """Return the length of a training: 4,000 iterations of 128 (10.2 epochs); epochs that round to 0 are omitted."""
    epochs = iterations * batch_size / training_images
    return f"{plural(iterations, 'iteration')} of {batch_size}" + (f" ({epochs:,.1f} epochs)" if epochs >= 0.05 else "")


def rate(per_second: float) -> str:
    """Return a rate in three digits or to whole numbers: 18,330, 25.4, 0.062."""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def megabytes(count: float) -> str:
    """Return a number of bytes: 0.85 MB, 145 MB, 150 GB, 2.5 TB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= 0.9995 * size:
            return f"{rate(count / size)} {unit}"
    return f"{rate(count / 1e6)} MB"
