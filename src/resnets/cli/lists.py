"""Comma-separated lists."""

from __future__ import annotations

import re

from resnets.errors import UsageError

MOST_SEEDS = 10_000


def names(text: str | None) -> list[str] | None:
    """Return the names in a text, or None for None."""
    return None if text is None else [name.strip() for name in text.split(",")]


def numbers(text: str | None, what: str, such_as: str) -> list[int] | None:
    """Return the whole numbers in a text, or None for None. `what` and `such_as` describe them in the error.

    Raises: UsageError, if one is not a whole number.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{text!r} is not a list of {what}, such as {such_as}") from None


def seeds(text: str) -> list[int]:
    """Return the seeds in a text such as 0-4 or 0,2,7. Raises: UsageError, if it is none, or names a seed twice."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", part)
        if match is None:
            found = []
            break
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, min(last, first + MOST_SEEDS) + 1)
    if not 0 < len(found) == len(set(found)) <= MOST_SEEDS:
        raise UsageError(f"seeds is {text!r}; it must be different seeds, such as 0-4 or 0,2,7")
    return found
