"""Several networks as one: the mean of their classes' probabilities. Paper: section 4.1, Table 5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from resnets.errors import DataError
from resnets.evaluation.metrics import Counts
from resnets.evaluation.multi_view import Scored


@torch.inference_mode()
def ensemble(members: Iterable[Iterator[Scored]], samples: int, classes: int) -> tuple[Counts, list[Counts]]:
    """Return the counts of the mean of the members' probabilities, and each member's own; one is run after the other.

    Raises: DataError, if the members did not see the same images.
    """
    total, labels = torch.zeros(samples, classes), torch.full((samples,), -1)
    alone: list[Counts] = []
    for member in members:
        own, seen = Counts(classes), torch.zeros(samples, dtype=torch.bool)
        for some in member:
            own.add_probabilities(some.probabilities, some.labels)
            if alone and not torch.equal(labels[some.numbers], some.labels):
                raise DataError("the data set gives its images another order or other labels at each pass")
            labels[some.numbers] = some.labels
            total[some.numbers] += some.probabilities
            seen[some.numbers] = True
        if not seen.all():
            raise DataError(f"{int((~seen).sum()):,} of {samples:,} images were not given by the data set")
        alone.append(own)
    together = Counts(classes)
    together.add_probabilities(total / len(alone), labels)
    return together, alone
