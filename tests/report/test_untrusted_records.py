"""Result files and checkpoints that are damaged: read, or refused in one line that names the file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import made_up
import msgspec
import pytest
import torch
from fuzzing import COUNTS, fuzz, signed
from torch import nn

import resnets
from resnets.errors import CheckpointError, RecordError, RunError, UsageError
from resnets.records import base
from resnets.records.base import as_json, encode, read
from resnets.records.benchmarks import Benchmark
from resnets.records.checkpoints import CheckpointHeader, Progress, ScheduleState
from resnets.records.costs import Costs
from resnets.records.evaluations import ReproducedRun
from resnets.records.runs import ClassifierResult, LogLine
from resnets.report.write import write_report
from resnets.training.checkpoint import Checkpoints
from resnets.training.resolved import ResolvedTraining
from resnets.training.run_folder import RunFolder, opened

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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("test_error", value) for value in (-1, 100.1, None)),
        *(("test_samples", value) for value in (0, -1)),
        *(("curve", value) for value in ([], [{"iteration": -1, "training_error": 1.0}])),
        ("run.provenance", []),
        ("run.data.test_images", -1),
    ],
)
def test_a_comparison_names_the_field_that_no_training_writes(tmp_path: Path, field: str, value: Any) -> None:
    """Values that would divide by zero or leave nothing to draw are refused where the file is read."""
    result = as_json(RECORDS["result"])
    base.write(tmp_path / "good.json", RECORDS["result"])
    *parents, name = field.split(".")
    place = result
    for parent in parents:
        place = place[parent]
    place[name] = value
    base.write(tmp_path / "bad.json", result)
    with pytest.raises(RecordError, match=rf"bad.json: .*\$\.{field}"):
        resnets.compare([tmp_path / "good.json", tmp_path / "bad.json"], out=tmp_path)


@pytest.mark.parametrize("count", [15, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_results_are_compared_or_refused(tmp_path: Path, count: int) -> None:
    """What can be read of a damaged result can be drawn, too."""
    base.write(tmp_path / "good.json", RECORDS["result"])

    def compare(variant: bytes) -> None:
        (tmp_path / "a.json").write_bytes(variant)
        resnets.compare([tmp_path / "good.json", tmp_path / "a.json"], out=tmp_path)

    fuzz(compare, encode(RECORDS["result"]), count, documented=RunError, text=True)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("file", ["run.json", "result.json"])
def test_a_damaged_run_is_resumed_or_refused(tmp_path: Path, file: str, count: int) -> None:
    """Whatever run.json or result.json say, a run is continued, is found to be finished, or is a RunError."""
    result = RECORDS["result"]
    assert isinstance(result, ClassifierResult)
    run = result.run
    training = ResolvedTraining(
        network=nn.Identity(),
        data=None,
        recipe=run.recipe,
        device=torch.device("cpu"),
        precision=run.precision,
        record=run,
        keep_precision=False,
        save_every=None,
    )
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "iteration-00000005.safetensors").touch()

    def resume(variant: bytes) -> None:
        base.write(tmp_path / "run.json", run)
        (tmp_path / file).write_bytes(variant)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on versions that are others
            with opened(tmp_path, training, ClassifierResult, resume=True) as (_, record, found):
                assert record.provenance and (found is None) == (file == "run.json")

    fuzz(resume, encode(run if file == "run.json" else result), count, documented=RunError, text=True)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_log_is_read_or_refused_and_can_be_continued(tmp_path: Path, count: int) -> None:
    """A line that is none of a log is named by its number, and a run that goes on drops it."""
    folder = RunFolder(tmp_path)
    lines = [LogLine(iteration=n, lr=0.1, loss=1.0, training_error=50.0, images=128, test_error=9.0) for n in (1, 2, 3)]

    def read_it(variant: bytes) -> None:
        folder.metrics.write_bytes(variant)
        try:
            folder.logged()
        finally:
            folder.rewind(2)
            assert all(line.iteration <= 2 for line in folder.logged())

    fuzz(read_it, b"\n".join(map(encode, lines)), count, documented=RecordError, text=True)


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
