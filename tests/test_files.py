"""What the system says of files that fail to be read or written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from resnets.errors import DataError, RunError, UsageError
from resnets.files import reading, require_file, require_results_folder


@pytest.mark.parametrize(
    ("error", "why"), [(FileNotFoundError(2, "No such file"), "No such file"), (OSError("too short"), "too short")]
)
def test_a_failed_reading_says_where_and_why(error: OSError, why: str) -> None:
    """In one line, also where the error has no number and so no text of its own."""
    with pytest.raises(DataError, match=rf"a/b: failed to read \({why}\)"), reading("a/b", DataError):
        raise error


def test_results_that_can_be_written_leave_nothing_yet(tmp_path: Path) -> None:
    """Neither a file nor a folder is made by what verifies that they can be, however deep the folder is."""
    require_file(tmp_path / "new" / "deep" / "found.csv")
    require_results_folder(tmp_path / "new" / "deep")
    require_results_folder(tmp_path)
    require_file(None), require_results_folder(None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="name a file"):
        require_file(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_that_takes_no_files_is_found_out_before_the_work() -> None:
    """As one that is mounted read-only; the error names the result."""
    for require, path in ((require_file, "/proc/found.csv"), (require_results_folder, "/proc/new/found")):
        with pytest.raises(RunError, match=f"{path}: failed to write"):
            require(path)
