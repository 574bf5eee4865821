"""What the system says of a file that fails to be read."""

from __future__ import annotations

import pytest

from resnets.errors import DataError
from resnets.files import reading


@pytest.mark.parametrize(
    ("error", "why"), [(FileNotFoundError(2, "No such file"), "No such file"), (OSError("too short"), "too short")]
)
def test_a_failed_reading_says_where_and_why(error: OSError, why: str) -> None:
    """In one line, also where the error has no number and so no text of its own."""
    with pytest.raises(DataError, match=rf"a/b: failed to read \({why}\)"), reading("a/b", DataError):
        raise error
