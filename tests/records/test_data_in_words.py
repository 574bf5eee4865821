"""Which images a data set has, in words."""

from __future__ import annotations

import pytest

from resnets.records.runs import images_in_words


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_data_sets_that_differ_in_one_split_differ_in_words(changed: int) -> None:
    """In a message that one is not the other, both are not called the same."""
    parts = ["a" * 64, "b" * 64, "c" * 64]
    others = [*parts[:changed], "d" * 64, *parts[changed + 1 :]]
    said = {images_in_words("pets", 16, 8, ":".join(digests)) for digests in (parts, others)}
    assert len(said) == 2
