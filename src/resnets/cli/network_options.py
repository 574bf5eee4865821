"""`--network-option NAME=VALUE`: the options of networks that have no option of their own in a command."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, get_type_hints

import msgspec
from typer import Option

from resnets.errors import UsageError
from resnets.networks.registry import find_family

NetworkOptions = Annotated[
    list[str] | None,
    Option(
        "--network-option",
        metavar="NAME=VALUE",
        help="Option of the network, such as pool2=avg (docs/networks.md); may be repeated.",
        show_default=False,
    ),
]


def read_options(network: str, texts: Iterable[str] | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings of a command with the network's options that texts such as `pool2=avg` give.

    Raises: UsageError, if a text is none, there is no such option, or it is given twice.
    """
    family, found = find_family(network), dict(settings)
    kinds = get_type_hints(family.spec, include_extras=True)
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"network-option is {text!r}; it must be NAME=VALUE, such as num_classes=10")
        family.require_option(network, name)
        if found.get(name) is not None:
            raise UsageError(f"{name} is given twice, as {found[name]} and as {value}; once is enough")
        found[name] = _value(value, kinds.get(name))
    return found


def _value(text: str, kind: Any) -> Any:
    """Return a text as the number, True or False that it is, or as it is where the option's kind has only that."""
    literal: Any = {"True": True, "true": True, "False": False, "false": False}.get(text, text)
    for number in (float, int):
        try:
            literal = number(text)
        except ValueError:
            continue
    for value in (literal, text):
        with suppress(msgspec.ValidationError):
            return value if kind is None else msgspec.convert(value, kind)
    return literal  # of no kind that there is, which the network reports
