"""Custom tables: rows of registered networks and recipes are run, compared and shown as the paper's are."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import resnets
from resnets.errors import UsageError
from resnets.report.verdict import Status
from resnets.reproduction import run_list, summary
from resnets.reproduction.tasks import own_tables

TABLE = """
from torch import nn
import resnets
from resnets import Column, Row, Table


def tiny(num_classes=10, in_channels=3):
    return nn.Sequential(nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, num_classes))


resnets.register_network("tiny-net", tiny, input_size=32)
resnets.register_recipe(resnets.find_recipe("digits").with_changes(name="digits-slow", lr=0.01))
TABLE = Table(
    name="mine",
    title="A tiny network next to ResNet-8",
    columns=(Column(name="layers", measure="depth", unit="layers"), Column(name="error", measure="top-1 error")),
    rows=(
        Row(label="tiny", network="tiny-net", recipe="digits-slow", data="digits", protocol="single-view"),
        Row(label="ResNet-8", network="resnet8", recipe="digits", data="digits", protocol="single-view",
            compared=("error",)),
    ),
)
"""

PHOTOS = """
from torch import nn
import resnets
from resnets import Column, Row, Table


def tiny(num_classes=3, in_channels=3):
    return nn.Sequential(nn.Conv2d(in_channels, 8, 7, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(8, num_classes))


for name in "abc":
    resnets.register_network(f"photo-net-{name}", tiny, input_size=64)
resnets.register_recipe(resnets.find_recipe("imagenet").with_changes(name="two-steps", batch_size=8, iterations=2,
                                                                     milestones=(), evaluate_every=2))
HERE = {"recipe": "two-steps", "data": DATA, "protocol": "center-crop"}
TABLE = Table(name="photos", title="Photos", columns=(Column(name="error", measure="top-1 error"),), rows=ROWS)
"""


def of_photos(folder: Path, name: str, photos: Path, *rows: str) -> Path:
    """Return a file of a table with rows of photos, trained for two iterations at full scale."""
    text = PHOTOS.replace("DATA", repr(f"folder:{photos}")).replace("ROWS", f"({', '.join(rows)},)")
    return written(folder, name, text)


def written(folder: Path, name: str, text: str = TABLE) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_from_a_file_to_the_page(tmp_path: Path) -> None:
    """Rows are run on the data that they name, their errors are in the table, and the page has it with the paper's."""
    file = written(tmp_path, "own_table_of_a_test")
    found = resnets.reproduce(str(file), scale="smoke", out=tmp_path / "out", device="cpu", workers=0)
    (table,) = found.tables
    assert [row.row.label for row in table.rows] == ["tiny", "ResNet-8"]
    for row in table.rows:
        errors = [cell.measured for cell in row.cells if cell.column.name == "error"]
        assert len(row.runs) == 1 and errors == [row.runs[0].errors["single-view"].top1]  # type: ignore[attr-defined]
    assert [line[:2] for line in summary.table_lines(table)] == [("tiny", "error"), ("ResNet-8", "error")]
    assert all(float(line[3]) > 0 for line in summary.table_lines(table))  # the terminal shows the errors, too
    assert found.report.page is not None
    page = found.report.page.read_text()
    assert 'id="mine"' in page and "A tiny network next to ResNet-8" in page and "Table 6" in page
    only = resnets.plan_reproduction(str(file), only="tiny", scale="smoke", out=tmp_path / "out")
    assert [run.state for run in only.runs] == ["done"]


def test_an_ensemble_is_tested_once_its_members_are_trained(tmp_path: Path) -> None:
    """Its row has the error of their mean probabilities; a second call tests nothing again."""
    rows = 'rows=(Row(label="both", members=("tiny-net", "resnet8"), recipe="digits", data="digits", '
    rows += 'protocol="single-view", published={}, reason="mine"),),\n)'
    file = written(tmp_path, "own_table_ensemble", TABLE[: TABLE.index("rows=(")] + rows)
    asked = {"scale": "smoke", "out": tmp_path / "out", "device": "cpu", "workers": 0}
    found = resnets.reproduce(str(file), **asked)
    (row,) = found.tables[0].rows
    folders = [run.folder for run in found.plan.runs]
    tested = resnets.evaluate(folders, found.plan.runs[0].data.splits, workers=0)  # type: ignore[arg-type]
    assert [cell.measured for cell in row.cells if cell.column.name == "error"] == [tested.top1_error]
    assert [run.network for run in row.runs] == ["tiny-net", "resnet8"]
    (result,) = (tmp_path / "out" / "results").glob("mine-both-*.json")
    before = result.stat().st_mtime_ns
    assert resnets.reproduce(str(file), **asked).made == () and result.stat().st_mtime_ns == before


def test_ensembles_have_files_of_their_own_by_protocol_and_members(
    tmp_path: Path, make_photos: Callable[..., Path]
) -> None:
    """Labels in any script, a changed protocol and an ensemble that is there twice: each row has its own error."""
    photos, asked = make_photos(), {"out": tmp_path / "out", "device": "cpu", "workers": 0, "measure": False}
    both, others = ('"photo-net-a", "photo-net-b"', '"photo-net-b", "photo-net-c"')
    rows = [f'Row(label="{label}", members=({one}), **HERE)' for label, one in (("集成", both), ("另一", others))]
    again = rows[0].replace("**HERE", '**(HERE | {"protocol": "ten-crop"})')
    for last, protocol in ((rows[0], "center-crop"), (again, "ten-crop")):
        sys.modules.pop("own_ensembles", None)
        importlib.invalidate_caches()
        found = resnets.reproduce(str(of_photos(tmp_path, "own_ensembles", photos, *rows, last)), **asked)
        assert not found.failed
        folders = {run.task.training: run.folder for run in found.plan.runs}
        for row, how in zip(found.tables[0].rows, ("center-crop", "center-crop", protocol), strict=True):
            members = [folders[training] for training in row.row.trainings]
            tested = resnets.evaluate(members, f"folder:{photos}", protocol=how, workers=0)
            assert [cell.measured for cell in row.cells] == [tested.top1_error] and len(row.runs) == 2


def test_a_row_is_judged_on_the_source_that_it_declares(tmp_path: Path, make_photos: Callable[..., Path]) -> None:
    """A folder of its own is no departure; another one that is given for it is, and has files of its own."""
    photos, other = make_photos(), make_photos("other/photos")
    file = str(of_photos(tmp_path, "own_source", photos, 'Row(label="a", network="photo-net-a", **HERE)'))
    asked = {"out": tmp_path / "out", "device": "cpu", "workers": 0, "measure": False}
    (row,) = resnets.reproduce(file, **asked).tables[0].rows
    assert [run.departures for run in row.runs] == [()]
    given = resnets.reproduce(file, data=f"folder:{other}", **asked | {"out": tmp_path / "given"})
    (row,) = given.tables[0].rows
    assert row.verdict.status is Status.REDUCED and "instead of" in row.verdict.why


def test_one_network_on_two_data_sets_is_tried_on_one(tmp_path: Path) -> None:
    """Digits in place of CIFAR-10 are another run than the row of digits has; the notes name who wants more seeds."""
    row = '    Row(label="c", network="resnet8", recipe="digits", data="cifar10", protocol="single-view", seeds=3),\n'
    file = written(tmp_path, "own_table_two_data_sets", TABLE.replace("    ),\n)", f"    {row}    ),\n)"))
    plan = resnets.plan_reproduction(
        str(file), only=["ResNet-8", "c"], scale="smoke", data="digits", out=tmp_path / "out"
    )
    assert [run.name for run in plan.runs] == [
        "resnet8-digits-digits-smoke-seed0",
        "resnet8-digits-cifar10_digits-smoke-seed0",
    ]
    assert [note for note in plan.notes if "--seeds 3" in note and "paper" not in note]


@pytest.mark.parametrize(
    ("name", "network"), [("crops", 'network="resnet8"'), ("crops_together", 'members=("resnet8", "tiny-net")')]
)
def test_crops_of_small_images_are_refused_before_any_training(tmp_path: Path, name: str, network: str) -> None:
    """Of one network, and of an ensemble; the error says what they are tested by."""
    text = TABLE.replace('network="resnet8"', network).replace('protocol="single-view",\n', 'protocol="center-crop",\n')
    with pytest.raises(UsageError, match="ResNet-8.*digits.*single-view"):
        resnets.plan_reproduction(str(written(tmp_path, name, text)), out=tmp_path / "out", measure=False)


def test_dense_tests_of_another_module_are_refused_before_any_training(
    tmp_path: Path, make_photos: Callable[..., Path]
) -> None:
    """It is not known how to make a registered network fully convolutional."""
    row = 'Row(label="a", network="photo-net-a", **(HERE | {"protocol": "dense-multi-scale at 256, 384"}))'
    file = of_photos(tmp_path, "own_table_dense", make_photos(), row)
    with pytest.raises(UsageError, match="'a'.*dense_window"):
        resnets.plan_reproduction(str(file), out=tmp_path / "out", measure=False)


def test_a_network_with_two_recipes_has_two_lines_in_the_plan(tmp_path: Path) -> None:
    """Each names its recipe; a network with one does not."""
    row = 'Row(label="again", network="resnet8", recipe="digits-slow", data="digits", protocol="single-view"),\n    ),'
    file = written(tmp_path, "own_table_two_recipes", TABLE.replace("    ),\n)", f"        {row}\n)"))
    plan = resnets.plan_reproduction(str(file), scale="smoke", out=tmp_path / "out")
    assert [line[0] for line in summary.plan_lines(plan)] == ["resnet8, digits", "tiny-net", "resnet8, digits-slow"]


def test_the_parameters_are_those_of_the_network_on_its_data(tmp_path: Path, make_photos: Callable[..., Path]) -> None:
    """Of its classes and channels, as the run has them."""
    columns = 'columns=(Column(name="# params", measure="parameters", unit="parameters"), Column(name="layers"'
    text = TABLE.replace('columns=(Column(name="layers"', columns).replace(
        'data="digits"', f'data="folder:{make_photos()}"'
    )
    file = written(tmp_path, "own_table_parameters", text)
    asked = {"scale": "smoke", "out": tmp_path / "out", "device": "cpu", "workers": 0}
    (table,) = resnets.reproduce(str(file), **asked).tables
    for row in table.rows:
        parameters = [cell.measured for cell in row.cells if cell.column.name == "# params"]
        trained = json.loads((tmp_path / "out" / row.runs[0].file).read_text())["result"]["run"]
        assert parameters == [trained["network"]["parameters"]]


def test_a_row_that_is_not_run_names_the_file(tmp_path: Path) -> None:
    """The command that runs it is one that can be typed."""
    file = written(tmp_path, "own_table_not_run")
    asked = {"scale": "smoke", "out": tmp_path / "out", "device": "cpu", "workers": 0}
    found = resnets.reproduce(str(file), only="tiny", **asked)
    (page,) = [path for path in [found.report.page] if path is not None]
    assert f"resnets reproduce {file} --only" in page.read_text()


def test_an_edited_network_is_run_again(tmp_path: Path) -> None:
    """Its number of parameters is part of what a run is."""
    file = written(tmp_path, "own_table_edited")
    before = resnets.plan_reproduction(str(file), only="tiny", scale="smoke", out=tmp_path / "out").runs[0]
    file.write_text(TABLE.replace("8, 3)", "16, 3)").replace("Linear(8", "Linear(16"))
    sys.modules.pop("own_table_edited")
    importlib.invalidate_caches()
    after = resnets.plan_reproduction(str(file), only="tiny", scale="smoke", out=tmp_path / "out").runs[0]
    assert after.identity != before.identity and after.name == before.name


def test_two_folders_of_one_name(tmp_path: Path, make_photos: Callable[..., Path]) -> None:
    """Their results would be in one file, which is refused before anything is run."""
    folders = [make_photos(f"{year}/photos") for year in (2023, 2024)]
    first, second = (f'data="folder:{one}"' for one in folders)
    text = TABLE.replace('network="tiny-net", recipe="digits-slow"', 'network="resnet8", recipe="digits"')
    text = text.replace('data="digits"', first, 1).replace('data="digits"', second)
    with pytest.raises(UsageError, match=r"tiny \(.*2023/photos\) and ResNet-8 \(.*2024/photos\).*another name"):
        resnets.plan_reproduction(
            str(written(tmp_path, "own_table_one_name", text)), scale="smoke", out=tmp_path / "out"
        )


@pytest.mark.slow  # each process imports torch
def test_a_process_on_each_device_knows_the_files_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports what registered them, also where the file's folder is not the current one."""
    monkeypatch.setattr(run_list, "devices_of", lambda name: ("cpu", "cpu"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = written(tmp_path, "own_table_of_two_processes")
    found = resnets.reproduce(str(file), scale="smoke", out=tmp_path / "out", workers=0)
    assert len(found.made) == 2


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("own_table_twice", ('name="mine"', 'name="table6"'), "table6"),
        ("own_table_unknown", ('network="tiny-net"', 'network="tinny-net"'), "tinny-net"),
        ("own_table_recipe", ('recipe="digits-slow"', 'recipe="digits-slaw"'), "digits-slaw"),
        ("own_table_protocol", (', protocol="single-view"', ""), "protocol"),
        ("own_table_typo", ('protocol="single-view"', 'protocol="centre-crop"'), "'tiny'.*centre-crop.*center-crop"),
        ("own_table_scales", ('"single-view"', '"ten-crop at 256"'), "'tiny'.*ten-crop at 256"),
        ("own_table_none", ("TABLE = Table", "TABLE = dict"), r"resnets\.Table"),
        ("json", ("", ""), "another name"),
    ],
)
def test_what_cannot_be(name: str, change: tuple[str, str], said: str, tmp_path: Path) -> None:
    """Before anything is run: names of the paper's, what is not known, and a module that is there already."""
    with pytest.raises(UsageError, match=said):
        own_tables(written(tmp_path, name, TABLE.replace(*change)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is named in the error."""
    with pytest.raises(UsageError, match=r"nowhere\.py"):
        resnets.plan_reproduction(str(tmp_path / "nowhere.py"))
