"""The networks that Table 6 compares with: each row is trained, FitNet by the Maxout network of its own row."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import resnets
from resnets.files import sha256_of
from resnets.records.base import read
from resnets.records.runs import RunRecord
from resnets.reproduction import data_resolver

pytestmark = pytest.mark.usefixtures("one_thread")

COMPARED = ["maxout", "nin", "dsn", "fitnet19", "highway19", "highway32"]


def test_each_is_trained_and_fitnet_learns_from_maxout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two iterations of 40 digits: an error in each row, and in FitNet's record the weights of the Maxout run."""
    monkeypatch.setattr(data_resolver, "SMOKE_ITERATIONS", 2)
    digits = resnets.load_data("digits")
    few = dataclasses.replace(digits, train=digits.train.subsample(40), test=digits.test.subsample(20), digest="few")
    found = resnets.reproduce(
        "table6", only=COMPARED, scale="smoke", data=few, out=tmp_path, device="cpu", workers=0, measure=False
    )
    assert not found.failed and not found.plan.left_out
    (table,) = found.tables
    assert [row.runs[0].network for row in table.rows] == COMPARED
    assert {row.verdict.status for row in table.rows} == {"reduced"}
    runs = {run.task.training.network: run for run in found.plan.runs}
    assert [group[0].teacher is not None for group in found.plan.groups] == [False] * 5 + [True]
    record = read(runs["fitnet19"].folder / "run.json", RunRecord)
    assert record is not None and record.teacher is not None
    assert record.teacher.sha256 == sha256_of(runs["maxout"].folder / "weights.safetensors")
    assert runs["fitnet19"].teacher is not None and runs["fitnet19"].teacher.folder == runs["maxout"].folder
