"""Record of results of many images that are written in parts."""

from __future__ import annotations

from typing import Any, Literal

from resnets.records import base
from resnets.records.base import Record
from resnets.records.runs import Provenance


class PartsManifest(Record, frozen=True, kw_only=True, tag="image-parts"):
    """What the parts of a folder hold: the results of some images, in their order, by some weights.

    `listing` is the SHA-256 of the images' names, or those of their tar files, part by part, and `weights` that of the
    weights file. `provenance` is of the session that started.
    """

    content: Literal["predictions", "features"]
    weights: str
    columns: tuple[str, ...]
    settings: dict[str, str | float]
    parts: int
    listing: str
    provenance: Provenance

    def identity(self) -> dict[str, Any]:
        """Return what a continued run must share, as JSON values."""
        same: dict[str, Any] = base.as_json(self)
        del same["provenance"]
        return same
