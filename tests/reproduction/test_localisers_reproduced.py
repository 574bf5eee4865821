"""Localisers in a reproduction: both stages in their order, tested as their rows say, on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_localisers import save_classifier, write_clsloc

import resnets
from resnets.errors import UsageError
from resnets.records.base import read
from resnets.records.evaluations import ReproducedRun
from resnets.records.runs import LocaliserResult

TABLE = """
from resnets import Column, Row, Table
from resnets.paper.published import find_row
from resnets.specs import Setting

RPN = Setting(network="resnet8", recipe="small-rpn", data="imagenet-loc")
LABELS = ("RPN, ResNet-101, 1-crop", "RPN, ResNet-101, dense, classified by ResNet-101")
TABLE = Table(
    name="boxes",
    title="Appendix C in little",
    kind="localisation",
    columns=(
        Column(name="LOC error on GT class", measure="localisation error"),
        Column(name="top-5 LOC error", measure="top-5 localisation error"),
    ),
    rows=tuple(
        Row(label=label, network="resnet8", recipe=recipe, data="imagenet-loc", protocol=protocol, teacher=teacher,
            needs=("localisation",), published=find_row("Table 13", published))
        for label, recipe, protocol, teacher, published in (
            ("first", "small-rpn", "center-crop", None, LABELS[0]),
            ("second", "small-rcnn", "dense-multi-scale", RPN, LABELS[1]),
        )
    ),
)
"""


def test_both_stages_of_a_table(tmp_path: Path) -> None:
    """From a classifier's folder: the RPN before its R-CNN; a second call repeats nothing; the page has both."""
    write_clsloc(tmp_path / "data")
    (tmp_path / "localised_table.py").write_text(TABLE)
    start = tmp_path / "run"
    start.mkdir()
    save_classifier(tmp_path).rename(start / "weights.safetensors")
    asked = {"scale": "smoke", "out": tmp_path / "out", "device": "cpu", "workers": 0}
    asked |= {"data": f"clsloc:{tmp_path / 'data'}", "weights": f"resnet8={start}"}
    found = resnets.reproduce(str(tmp_path / "localised_table.py"), **asked)
    assert [name.split("-smoke")[0].rpartition("-")[0] for name in found.made] == [
        "resnet8-small_rpn",
        "resnet8-small_rcnn",
    ]
    first, second = (row.cells for row in found.tables[0].rows)
    assert first[0].measured is not None and second[0].measured is None and second[1].measured is not None
    records = [read(run.file, ReproducedRun) for run in found.plan.runs]
    assert [[one.protocol for one in record.localisations] for record in records if record is not None] == [
        ["center-crop", "dense-multi-scale"],
        ["dense-multi-scale"],
    ]
    result = records[1].result if records[1] is not None else None
    assert isinstance(result, LocaliserResult) and result.run.rpn is not None
    assert list((tmp_path / "out" / "runs").glob("*/guesses-dense-multi-scale/guesses_test.txt"))
    assert found.report.page is not None and "2 localisers" in found.report.page.read_text()
    assert resnets.reproduce(str(tmp_path / "localised_table.py"), **asked).made == ()


def test_table_13_is_planned_row_by_row(tmp_path: Path) -> None:
    """Its own rows are run, on data with boxes and from a classifier; only ensembles without names are left out."""
    write_clsloc(tmp_path / "data")
    plan = resnets.plan_reproduction(
        ["table13", "table14"],
        scale="smoke",
        data=f"clsloc:{tmp_path / 'data'}",
        out=tmp_path / "out",
        device="cpu",
    )
    assert [run.task.name for run in plan.runs] == ["resnet101 RPN", "resnet101 R-CNN"]
    assert plan.runs[1].teacher is not None and plan.runs[1].teacher.folder == plan.runs[0].folder
    assert [one.asked_by for one in plan.left_out] == ["table13", "table14"]
    assert all("not named" in one.why for one in plan.left_out)
    for given, needed in (((), "clsloc:PATH"), (f"clsloc:{tmp_path / 'data'}", "resnet101=FILE")):
        full = resnets.plan_reproduction("table13", data=given, out=tmp_path / "out", device="cpu", measure=False)
        assert not full.runs and any(needed in one.why for one in full.left_out)
    with pytest.raises(UsageError, match="no file"):
        resnets.plan_reproduction("table13", weights="resnet101=none.safetensors", out=tmp_path / "out")
