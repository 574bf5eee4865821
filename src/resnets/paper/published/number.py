"""A number of the paper, and how a table of them is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Relation = Literal["", ">", "<"]
"""How a number bounds its quantity, where the paper gives only a bound."""

Source = Literal["printed", "digitised"]
"""Where a number comes from: printed in the paper, or read off a figure's pixels by us."""


@dataclass(frozen=True)
class Published:
    """One number of the paper, and its place.

    A reading of a figure is at an iteration, a layer or a rank, `at`, or in a range of them, `at` to `until`,
    and may be off by `precision`.

    Units: `unit`; errors and mAP in percent, FLOPs are multiply-adds of one image.
    """

    value: float
    unit: str
    table: str  # or the figure or the section
    row: str
    column: str
    quantity: str  # what it is a value of
    note: str = ""
    relation: Relation = ""
    source: Source = "printed"
    precision: float | None = None  # of a reading
    at: int | None = None
    until: int | None = None
    decimals: int | None = None  # as printed; None: as many as the value has

    @property
    def place(self) -> tuple[str, str, str, int | None]:
        """Its place; no two numbers have the same."""
        return (self.table, self.row, self.column, self.at)

    @property
    def printed(self) -> str:
        """The value as the paper prints it, with its relation and without its unit: `6.43`, `>60`."""
        value = f"{self.value:g}" if self.decimals is None else f"{self.value:.{self.decimals}f}"
        return f"{self.relation}{value}"

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        parts = (self.printed, self.unit, f"{self.quantity}{note}, {self.table}")
        return " ".join(part for part in parts if part)


def lay_out(
    name: str,
    columns: Mapping[str, tuple[str, str]],
    rows: Mapping[str, tuple[float | None, ...]],
    *,
    notes: Mapping[tuple[str, str], str] | None = None,
    decimals: int = 2,
    fewer_decimals: Mapping[str, int] | None = None,
) -> tuple[Published, ...]:
    """Lay a table out: `columns` gives each column's unit and quantity, None in `rows` is a blank.

    `decimals` are those of percentages; `fewer_decimals` names the rows that have others.
    """
    return tuple(
        Published(
            value,
            unit,
            name,
            row,
            column,
            quantity,
            note=(notes or {}).get((row, column), ""),
            decimals=(fewer_decimals or {}).get(row, decimals) if unit == "%" else None,
        )
        for row, values in rows.items()
        for (column, (unit, quantity)), value in zip(columns.items(), values, strict=True)
        if value is not None
    )


def read_off(
    figure: str,
    row: str,
    column: str,
    unit: str,
    quantity: str,
    readings: Mapping[int | tuple[int, int], float],
    *,
    precision: float,
    note: str = "",
    relation: Relation = "",
) -> tuple[Published, ...]:
    """Return the readings of one curve of a figure: at an iteration, a layer or a rank, or in a range of them."""
    return tuple(
        Published(
            value,
            unit,
            figure,
            row,
            column,
            quantity,
            note=note,
            relation=relation,
            source="digitised",
            precision=precision,
            at=place[0] if isinstance(place, tuple) else place,
            until=place[1] if isinstance(place, tuple) else None,
        )
        for place, value in readings.items()
    )
