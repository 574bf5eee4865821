"""Trainings of any kind, resolved from their settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from resnets.errors import warn
from resnets.quantities import plural
from resnets.records.runs import DataRecord, RunRecord
from resnets.runtime.processes import ALONE, World
from resnets.specs import Precision, Recipe


@dataclass(frozen=True, eq=False, kw_only=True)
class ResolvedTraining:
    """A training, resolved: the network, its data, and how it is trained. Nothing of it has started."""

    network: nn.Module
    data: Any  # the splits
    recipe: Recipe
    device: torch.device
    precision: Precision
    record: RunRecord
    keep_precision: bool  # of a run that is resumed, since none was named
    save_every: int | None
    notes: tuple[str, ...] = ()  # on the data, to be shown at the start
    world: World = ALONE

    def warn_if_short(self) -> None:
        """Warn of a training under an epoch, which is enough for a trial only."""
        images, total = self.recipe.iterations * self.recipe.images, self.record.data.training_images
        if images < total:
            length = f"{plural(self.recipe.iterations, 'iteration')} of {self.recipe.images}"
            warn(
                f"{length} are {images / total:.2g} of an epoch of {total:,} images: enough for a trial, too little to "
                f"learn from"
            )

    def resumed(self, record: RunRecord) -> Self:
        """Return the training of a record: its precision, and the name that its data has there."""
        data = dataclasses.replace(self.data, name=record.data.name)
        return dataclasses.replace(self, record=record, data=data, precision=record.precision)

    def from_source(self, source: str | None) -> Self:
        """Return the training with the source of its data, which was read before, in its record."""
        record = self.record.with_changes(data=self.record.data.with_changes(source=source))
        return dataclasses.replace(self, record=record)


def data_record(splits: Any, source: Any, **more: Any) -> DataRecord:
    """Return the record of a data set of any kind; where it was not given by its source, there is none."""
    return DataRecord(
        name=splits.name,
        source=source if isinstance(source, str) else None,
        digest=splits.digest,
        classes=splits.classes,
        training_images=len(splits.train),
        test_images=len(splits.test),
        **more,
    )
