"""What the report shows besides the paper's tables: several seeds, ensembles and speed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import made_up as results
import pytest

from resnets.records import base
from resnets.records.runs import StartRecord
from resnets.report import depth, markdown, page
from resnets.report.runs import Results
from resnets.report.verdict import choose
from resnets.report.view import View


def test_an_ensemble_is_compared_with_its_members(tmp_path: Path) -> None:
    """One member's run is known, and is a run of the report; the other came as weights alone."""
    run = results.result("resnet20", 8.75)
    found = results.read(
        results.write(tmp_path, both=results.evaluated(("resnet20", 8.75, run), ("resnet32", 8.25, None)))
    )
    assert [one.network for one in found.runs] == ["resnet20"] and not found.problems
    row = ("resnet20, resnet32", "cifar10", "single-view", "10,000", "7.50 (7.0 to 8.0)", "0.25", "8.75, 8.25")
    said = View.of(found)
    assert said.ensembles.rows == [row]
    assert f"| {' | '.join(row)} |" in markdown.render(said)
    assert "7.50 (7.0 to 8.0)" in page.render(said)


def test_an_ensemble_alone_is_a_result(tmp_path: Path) -> None:
    """The runs of its members may be unknown."""
    found = results.read(results.write(tmp_path, both=results.evaluated(("a", 9.0, None), ("b", 8.0, None))))
    assert len(found.ensembles) == 1 and not found.runs
    assert "Ensembles" in markdown.render(View.of(found))


def test_weights_without_a_run_are_listed(tmp_path: Path) -> None:
    """A folder with nothing but a test of converted weights has a report, which says what was tested."""
    of_none = results.evaluated()  # as no command writes it
    found = results.read(results.write(tmp_path, one=results.evaluated(("resnet20", 7.5, None)), none=of_none))
    assert not (found.runs or found.ensembles or found.problems)
    row = ("resnet20", "w", "cifar10", "single-view", "10,000", "7.50 (7.0 to 8.0)", "0.25")
    said = View.of(found)
    assert said.weights.rows == [row]
    assert f"| {' | '.join(row)} |" in markdown.render(said)
    assert "7.50 (7.0 to 8.0)" in page.render(said)


def test_the_images_of_an_ensemble_are_known_by_their_digest(tmp_path: Path) -> None:
    """What is called cifar10 is not CIFAR-10."""
    other = results.evaluated(("a", 9.0, None), ("b", 8.0, None), digest="of others")
    assert results.read(results.write(tmp_path, both=other)).ensembles[0].data == "what is called cifar10"


@pytest.mark.parametrize(
    "changes", [{"top1_error": None}, {"top1_interval": 3}, {"members": [1, 2]}, {"samples": "many"}]
)
def test_an_ensemble_that_cannot_be_read_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The other files are shown."""
    broken = base.as_json(results.evaluated(("a", 9.0, None), ("b", 8.0, None))) | changes
    found = results.read(results.write(tmp_path, one=results.result("resnet20", 9.0), broken=broken))
    assert not found.ensembles and len(found.runs) == 1
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path.name}/broken.json: ")


# ---------------------------------------------------------------- seeds


def test_seeds_have_a_mean_and_a_deviation() -> None:
    """The sample deviation, over the seeds."""
    runs = [results.run("resnet20", error, 4.0, seed=seed) for seed, error in enumerate((8.0, 9.0, 10.0))]
    (cells,) = View.of(Results(runs=tuple(runs))).seeds.rows
    assert dict(zip(View.of(Results()).seeds.titles, cells, strict=True)) == {
        "network": "resnet20",
        "data": "cifar10",
        "recipe": "cifar",
        "iterations": "64,000",
        "precision": runs[0].precision,
        "test error": "9.00 ± 1.00",
        "training error": "4.00 ± 0.00",
        "seeds": "3",
    }


def test_only_the_seed_may_differ() -> None:
    """Another length, recipe, data, precision or network is another training; a single run has no deviation."""
    first = results.run("resnet20", 9.0)
    others = [
        results.run("resnet20", 9.0, seed=1, iterations=4_000),
        results.run("resnet20", 9.0, seed=1, recipe="fast"),
        results.run("resnet20", 9.0, seed=1, data="cifar100"),
        results.run("resnet32", 9.0, seed=1),
        results.run("resnet20", 9.0, seed=1, shortcut="B"),
        results.run("resnet20", 9.0, seed=1, recipe_changes={"lr": 0.2}),
        dataclasses.replace(first, seed=1, precision="fp32"),
    ]
    assert not View.of(Results(runs=(first, *others))).seeds.rows


START = StartRecord(file="x.safetensors", sha256="0" * 64)
DIFFERENT: dict[str, list[dict[str, Any]]] = {
    "images of a folder of one name": [{"data_changes": {"digest": digest}} for digest in ("a", "b")],
    "weights of classes": [{"run_changes": {"class_weights": {"0": weight}}} for weight in (3.0, 9.0)],
    "channels": [{"network_changes": {"in_channels": channels}} for channels in (1, 3)],
    "start": [{"run_changes": {"start": START.with_changes(sha256=digit * 64)}} for digit in "ab"],
    "teacher": [{"run_changes": {"teacher": START.with_changes(sha256=digit * 64)}} for digit in "ab"],
    "a recipe of one's own": [{"recipe_changes": {"name": "mine", "lr": lr}} for lr in (0.1, 0.2)],
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_values_that_have_no_words_are_of_the_setting(values: list[dict[str, Any]], tmp_path: Path) -> None:
    """Two seeds of each of two values are two rows, which name a run where their words are the same."""
    files = {
        f"run{number}{seed}": results.result("resnet20", error, seed=seed, data="pets", **value)
        for number, (value, error) in enumerate(zip(values, (10.0, 50.0), strict=True))
        for seed in (0, 1)
    }
    found = results.read(results.write(tmp_path / "r", **files))
    assert len(found.runs) == 4 and not found.problems
    rows = View.of(found).seeds.rows
    assert [row[5] for row in rows] == ["10.00 ± 0.00", "50.00 ± 0.00"]
    assert [row[1] for row in rows] == ["pets, as in r/run00", "pets, as in r/run10"]
    declared = found.runs[0].declared
    assert len({run.test_error for run in choose(found.runs, declared)}) == 1
    assert [study.residual[0].test for study in depth.studies(found.runs)] == [10.0, 50.0]


@pytest.mark.parametrize("of", ["start", "teacher"])
def test_each_seed_may_have_weights_of_its_own_to_start_or_learn_from(of: str) -> None:
    """As where all networks are trained by each seed: the files differ, and the setting does not."""
    starts = [START.with_changes(sha256=f"{seed}" * 64) for seed in (0, 1)]
    runs = [results.run("resnet20", 9.0, seed=seed, run_changes={of: start}) for seed, start in enumerate(starts)]
    assert len(View.of(Results(runs=tuple(runs))).seeds.rows) == 1


def test_studies_that_look_alike_name_a_run() -> None:
    """Of two folders of one name, each with networks of two depths."""
    runs = [
        dataclasses.replace(
            results.run(name, 9.0, data="pets", data_changes={"digest": digest}), file=f"{digest}/{name}"
        )
        for digest in "ab"
        for name in ("plain20", "resnet20")
    ]
    assert [study.name for study in depth.studies(runs)] == ["pets, as in a/plain20,", "pets, as in b/plain20,"]


def test_what_departs_from_the_recipe_is_said() -> None:
    """A change of the recipe is next to its name, an option of the network next to its."""
    changed = [results.run("resnet20", 9.0, seed=seed, recipe_changes={"lr": 0.2}, shortcut="B") for seed in (0, 1)]
    (cells,) = View.of(Results(runs=tuple(changed))).seeds.rows
    assert "resnet20, option B" in cells
    assert "lr 0.2 instead of 0.1" in cells[2]


def test_the_markdown_has_seeds_where_there_are_several() -> None:
    """A single run has no line."""
    runs = [results.result("resnet20", 8.5 + seed, seed=seed, recipe="fast") for seed in (0, 1)]
    report = markdown.render(View.of(results.collected(*runs)))
    assert "| resnet20 | cifar10 | fast | 14,063 | " in report
    assert "Several seeds" not in markdown.render(View.of(results.collected(*runs[:1])))


def test_equal_departures_are_listed_once() -> None:
    """Those of a recipe and its variant are one list, and a run's details do not repeat it."""
    run = results.run("plain18", 30.0, recipe="imagenet", data="imagenet")
    said = View.of(Results(runs=(run, dataclasses.replace(run, file="b.json", recipe="imagenet-plateau", seed=1))))
    (together,) = ([one.name for one in recipes] for recipes, _ in said.departures if recipes[0].name == "imagenet")
    assert together == ["imagenet", "imagenet-plateau"]
    assert page.render(said).lower().count("the mean image is of 10,000 training photos") == 1
