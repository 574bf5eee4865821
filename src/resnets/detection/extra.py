"""The packages of the extra `detection`, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from resnets.errors import UsageError


def need(module: str) -> Any:
    """Return an imported module of the extra `detection`. Raises: UsageError, if it is not installed."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise UsageError(f"{package} is not installed; the extra resnets[detection] has it") from None
