"""Result files and checkpoints that are damaged: read, or refused in one line that names the file."""

from __future__ import annotations

import os
from pathlib import Path

import made_up
import msgspec
import pytest
import torch
from fuzzing import COUNTS, fuzz, signed

from resnets.errors import CheckpointError, RecordError, RunError, UsageError
from resnets.records.base import as_json, encode, read
from resnets.records.benchmarks import Benchmark
from resnets.records.checkpoints import CheckpointHeader, Progress, ScheduleState
from resnets.records.costs import Costs
from resnets.records.evaluations import ReproducedRun
from resnets.records.runs import ClassifierResult
from resnets.report.write import write_report
from resnets.training.checkpoint import Checkpoints

RECORDS = {
    "result": made_up.result("resnet20", 9.9, 0.9),
    "reproduced": made_up.study()[0],
    "costs": made_up.COSTS,
    "benchmark": made_up.BENCHMARK,
}
KINDS = {"result": ClassifierResult, "reproduced": ReproducedRun, "costs": Costs, "benchmark": Benchmark}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", RECORDS)
def test_damaged_records_are_read_or_refused(tmp_path: Path, name: str, count: int) -> None:
    """Damaged result files are read or are a problem of one line."""
    path = tmp_path / "a.json"

    def read_it(variant: bytes) -> None:
        path.write_bytes(variant)
        read(path, KINDS[name])

    deep = [b'{"kind": ' * 100_000, b"[" * 100_000]
    fuzz(read_it, encode(RECORDS[name]), count, documented=RecordError, text=True, others=deep)


@pytest.mark.parametrize("name", RECORDS)
def test_a_report_of_damaged_records_is_written_or_refused(tmp_path: Path, name: str) -> None:
    """A file that can be read may still say what no training can."""
    path = tmp_path / "a.json"

    def report(variant: bytes) -> None:
        path.write_bytes(variant)
        write_report(tmp_path, out=None)

    fuzz(report, encode(RECORDS[name]), 100, documented=UsageError, text=True)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_checkpoints_are_read_or_refused(tmp_path: Path, count: int) -> None:
    """Also those whose checksum is right."""
    schedule = ScheduleState(warming=False, warmed_up_at=None, errors=(), plateau=None)
    progress = Progress(iteration=5, schedule=schedule, images=10, clock=(1.0, 2.0), curve=(), since_point=(0, 0.0))
    header = msgspec.json.encode(as_json(CheckpointHeader(run="one", progress=progress)))
    path = tmp_path / "iteration-00000005.safetensors"

    def load(content: bytes) -> None:
        path.write_bytes(content)
        found = Checkpoints(tmp_path).load("one")
        assert found is not None and found.progress.iteration >= 0

    tensors = {"network.w": torch.zeros(3)}
    fuzz(lambda text: load(signed(tensors, text)), header, count // 2, documented=CheckpointError, text=True)
    fuzz(load, signed(tensors, header), count // 2, documented=CheckpointError)


def test_a_record_that_is_a_pipe_or_holes_is_not_waited_for(tmp_path: Path) -> None:
    """Neither a pipe nor gigabytes of zeros are read: each is refused at once."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "holes.json").touch()
    os.truncate(tmp_path / "holes.json", 3 * 10**9)
    for name in ("pipe.json", "holes.json"):
        with pytest.raises(RunError, match=name):
            read(tmp_path / name, ClassifierResult)
