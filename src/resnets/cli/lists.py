"""Comma-separated lists."""

from __future__ import annotations

from resnets.errors import UsageError


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
