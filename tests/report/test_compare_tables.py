"""The rows of the paper's tables: their numbers, their status, and the reason for it."""

from __future__ import annotations

from pathlib import Path

import made_up as results
import pytest

from resnets.paper import tables
from resnets.records.evaluations import Errors
from resnets.report.compare_tables import Cell, ComparedRow, compare_table
from resnets.report.runs import Results


def row(table: str, name: str, found: Results) -> ComparedRow:
    return next(row for row in compare_table(tables.TABLES[table], found).rows if name in (row.row.label, row.row.slug))


def cell(compared: ComparedRow, column: str) -> Cell:
    return next(cell for cell in compared.cells if cell.column.name == column)


def test_a_table_with_nothing_has_a_status_everywhere() -> None:
    """Never blank: each row of each table says what it is, and in words what it needs."""
    for table in tables.TABLES.values():
        compared = compare_table(table, Results())
        assert not compared.is_measured
        for found in compared.rows:
            assert found.verdict.status in ("not run", "cited")
            assert found.verdict.why
            assert all(cell.verdict.why for cell in found.cells)
            assert (found.verdict.status == "cited") == found.row.cited


def test_what_can_be_run_says_how() -> None:
    """A row without a run names the command that makes it."""
    assert row("table6", "resnet-20-layers", Results()).verdict.why == (
        "`resnets reproduce table6 --only resnet-20-layers` runs it"
    )


@pytest.mark.parametrize(
    ("measured", "iterations", "status"),
    [
        (8.9, None, "reproduced"),
        (12.0, None, "differs"),
        (8.14, None, "better than published"),
        (8.75, 4_000, "reduced"),  # though 8.75 is the paper's
    ],
)
def test_table_6_of_one_run(measured: float, iterations: int | None, status: str) -> None:
    """A full run is reproduced, differs or is better, a shorter one is reduced; one run has no deviation."""
    run = results.result("resnet20", measured, iterations=iterations)
    found = row("table6", "ResNet, 20 layers", results.collected(run))
    error = cell(found, "error")
    assert (found.verdict.status, error.measured, error.std) == (status, measured, None)
    assert error.difference == pytest.approx(measured - 8.75)
    assert cell(found, "std").measured is None
    assert [run.seed for run in found.runs] == [0]
    assert (found.verdict.why == "short: 4,000 of 64,000 iterations") == (status == "reduced")


def test_table_6_of_five_seeds() -> None:
    """The mean is compared; the best and the deviation are next to the paper's."""
    runs = [results.result("resnet110", 6.4 + 0.1 * seed, seed=seed) for seed in range(5)]
    found = row("table6", "ResNet, 110 layers", results.collected(*runs))
    assert cell(found, "mean").measured == pytest.approx(6.6)
    assert cell(found, "mean").std == pytest.approx(0.158, abs=1e-3)
    assert cell(found, "error").measured == 6.4  # the best
    assert cell(found, "std").measured == pytest.approx(0.158, abs=1e-3)
    assert found.verdict.status == "reproduced"
    assert "5 runs" in found.verdict.why
    assert cell(found, "error").verdict.status == "not judged"


def test_of_one_run_there_is_no_best() -> None:
    """Its error is there once, next to the mean of the paper's five."""
    found = row("table6", "ResNet, 110 layers", results.collected(results.result("resnet110", 6.6)))
    assert cell(found, "mean").measured == 6.6
    assert cell(found, "error").measured is None


def test_ten_crops_wait_for_the_test() -> None:
    """A trained network that was not tested as the table asks has no number there; with the test it has."""
    trained = results.result("plain18", 30.0, recipe="imagenet", data="imagenet")
    bare = row("table2", "plain, 18 layers", results.collected(trained))
    assert not bare.runs
    assert bare.verdict.status == "not run"
    assert bare.verdict.why == "trained, and not tested: `resnets evaluate` does, with --protocol ten-crop"
    crops = results.reproduced(trained, errors={"ten-crop": Errors(28.0, 9.0)})
    tested = row("table2", "plain, 18 layers", results.collected(crops))
    assert tested.verdict.status == "reproduced"
    assert cell(tested, "top-1 err.").measured == 28.0


VGGS = "dense-multi-scale at 256, 384, 512"


def test_a_number_of_the_test_set_is_not_judged() -> None:
    """Ours is of the validation images, and in the table; a row that was not tested so says how."""
    trained = results.result("vgg16", 30.0, recipe="authors-vgg", data="imagenet")
    found = row(
        "table4", "VGG (ILSVRC'14)", results.collected(results.reproduced(trained, errors={VGGS: Errors(26, 8)}))
    )
    assert (found.verdict.status, cell(found, "top-5 err.").measured) == ("not judged", 8.0)
    bare = row("table4", "VGG (ILSVRC'14)", results.collected(trained))
    assert "--protocol dense-multi-scale --scales 256,384,512" in bare.verdict.why


@pytest.mark.parametrize("samples", [50_000, 10_000])
def test_an_ensemble_of_declared_members(tmp_path: Path, samples: int) -> None:
    """Its test counts in Table 5 if the runs of all members are known, and it is of their own test images."""
    members = [results.result(name, 30.0, recipe="authors-vgg", data="imagenet") for name in ("vgg19", "vgg16")]
    pairs = [(one.run.network.name, 27.0, one) for one in members]
    tested = results.evaluated(*pairs, data="imagenet", digest=None, protocol=VGGS).with_changes(samples=samples)
    results.write(tmp_path, first=members[0], second=members[1], both=tested)
    found = row("table5", "VGG (v5)", results.read(tmp_path))
    if samples == 50_000:
        assert (found.verdict.status, cell(found, "top-5 err. (test)").measured) == ("not judged", 0.25)
        assert [run.network for run in found.runs] == ["vgg19", "vgg16"]
    else:
        assert found.verdict.status == "not run" and not found.runs


def test_an_error_that_was_not_measured_is_left_out() -> None:
    """A test without top-5 error has an empty cell there, and the row a verdict."""
    trained = results.result("resnet34", 26.0, recipe="imagenet", data="imagenet")
    crops = results.reproduced(trained, errors={"ten-crop": Errors(24.4)})
    found = row("table3", "ResNet-34 B", results.collected(crops))
    assert cell(found, "top-1 err.").measured == 24.4
    assert cell(found, "top-5 err.").measured is None
    assert found.verdict.status == "reproduced"


def test_costs_are_judged_without_any_run(tmp_path: Path) -> None:
    """Layers, parameters and FLOPs are compared as soon as the networks' costs are known."""
    found = results.read(results.write(tmp_path / "r", costs=results.COSTS))
    eighteen = row("table1", "18-layer", found)
    assert cell(eighteen, "FLOPs").verdict.status == "counted"
    layers = {cell.column.name: cell.verdict for cell in eighteen.cells if cell.column.measure == "layers"}
    assert [verdict.status for verdict in layers.values()].count("counted") == 5
    assert layers["conv5_x, 7x7"].status == "differs" and "x 9" in layers["conv5_x, 7x7"].why
    assert eighteen.verdict.status == "differs"
    twenty = row("table6", "ResNet, 20 layers", found)
    assert cell(twenty, "# params").verdict.status == "counted"
    assert cell(twenty, "# layers").verdict.status == "counted"
    assert twenty.verdict.status == "not run"  # its error is


def test_whether_anything_is_measured_of_a_column() -> None:
    """A column is measured where one of its rows has a run."""
    compared = compare_table(tables.TABLES["table6"], results.collected(results.result("resnet20", 9)))
    has = {column.name: compared.has_measured(column) for column in compared.table.columns}
    assert has == {"# layers": False, "# params": False, "error": True, "mean": False, "std": False}
