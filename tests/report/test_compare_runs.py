"""Runs compared: what differs is named, a difference within chance is not called one, the page shows all curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up as results
import pytest

import resnets
from resnets.cli import run
from resnets.errors import RunError, UsageError
from resnets.records import base
from resnets.records.runs import ClassifierResult
from resnets.specs import ParameterGroup


def folder(path: Path, result: ClassifierResult) -> Path:
    base.write(path / "result.json", result)
    return path


def test_what_differs(tmp_path: Path) -> None:
    """Settings that are the same, and what the network's name says, are not listed; a result file is a run too."""
    first, second = results.result("resnet20", 9.0), results.result("plain20", 10.0, seed=3)
    base.write(tmp_path / "plain.json", second)
    found = resnets.compare([folder(tmp_path / "a", first), tmp_path / "plain.json"], out=tmp_path / "out")
    assert [one.label for one in found.runs] == ["a", "plain"]
    assert found.differences["network.name"] == ("resnet20", "plain20") and found.differences["seed"] == ("0", "3")
    assert not {"recipe.batch_size", "network.depth", "data.digest"} & set(found.differences)
    page = found.page.read_text()
    assert page.count("<svg") == 2 and "network.name" in page and "<script src" not in page


@pytest.mark.parametrize(("error", "said"), [(9.1, "within chance"), (12.0, "more than chance")])
def test_chance(error: float, said: str, tmp_path: Path) -> None:
    """Of 10,000 test images a tenth of a point is chance, and three points are none."""
    runs = [folder(tmp_path / f"{value}", results.result("resnet20", value)) for value in (9.0, error)]
    best, other = resnets.compare(runs, out=tmp_path / "out").sentences
    assert "9.00 %" in best and said in other


def test_runs_of_one_name_are_named_by_their_folders(tmp_path: Path) -> None:
    """The ends of the paths as far as they differ."""
    runs = [folder(tmp_path / name / "run", results.result("resnet20", 9.0)) for name in ("x", "y")]
    assert [one.label for one in resnets.compare(runs, out=tmp_path / "out").runs] == ["x/run", "y/run"]


def test_long_settings_are_shown_where_they_differ(tmp_path: Path) -> None:
    """Of two processors whose names begin alike the ends; of a list, the number that differs."""
    hardware = [{"processor": f"Intel(R) Xeon(R) CPU @ 2.{speed}0GHz", "device": "cpu"} for speed in (2, 8)]
    sessions = [(results.PROVENANCE.with_changes(hardware=one),) for one in hardware]
    groups = [(ParameterGroup(names="fc[.].*", lr=rate),) for rate in (10.0, 0.1)]
    runs = [
        folder(
            tmp_path / str(number),
            results.result(
                "resnet20", 9.0, run_changes={"provenance": sessions[number]}, recipe_changes={"groups": groups[number]}
            ),
        )
        for number in (0, 1)
    ]
    differences = resnets.compare(runs, out=tmp_path / "out").differences
    assert [value[-7:] for value in differences["hardware.processor"]] == ["2.20GHz", "2.80GHz"]
    assert differences["recipe.groups"][0] != differences["recipe.groups"][1]
    assert set(differences) == {"hardware.processor", "recipe.groups"}


def test_runs_on_dataset_objects_of_other_images(tmp_path: Path) -> None:
    """Their content is not known: by the name, the classes and the number of images they are not the same."""
    unknown = {"data_changes": {"digest": None}}
    same = [folder(tmp_path / name, results.result("resnet20", 9.0, **unknown)) for name in ("a", "b")]  # type: ignore[arg-type]
    other = folder(tmp_path / "c", results.result("resnet20", 10.0, data="dogs", **unknown))  # type: ignore[arg-type]
    _, second, third = resnets.compare([*same, other], out=tmp_path / "out").sentences
    assert "within chance" in second and "no comparison" in third


def test_networks_of_two_sizes_on_the_same_photos(photo_folder: Path, tmp_path: Path) -> None:
    """A small network, which is trained on their pixels, a large one, and one on grey pixels are compared."""
    runs = [tmp_path / name for name in ("small", "large", "grey")]
    options: list[dict[str, Any]] = [{}, {"size": 64}, {"in_channels": 1}]
    for out, network, more in zip(runs, ("resnet8", "resnet18", "resnet8"), options, strict=True):
        resnets.train(network, f"folder:{photo_folder}", out=out, iterations=1, batch_size=4, workers=0, **more)
    found = resnets.compare(runs, out=tmp_path / "out")
    assert len({run.result.run.data.digest for run in found.runs}) == 3
    assert all("chance" in sentence for sentence in found.sentences[1:])


@pytest.mark.parametrize(
    ("source", "said"), [("of files", "chance"), ("of others", "is on other images"), (None, "is not known")]
)
def test_pixels_of_other_digests(source: str | None, said: str, tmp_path: Path) -> None:
    """They may be of the same photos, which their source says; a record of an earlier version does not."""
    data = [{"digest": "a", "source_digest": "of files"}, {"digest": "b", "source_digest": source}]
    runs = [
        folder(tmp_path / str(number), results.result("resnet20", 9.0, data_changes=changes))
        for number, changes in enumerate(data)
    ]
    assert said in resnets.compare(runs, out=tmp_path / "out").sentences[1]


def test_a_record_of_an_earlier_version_is_of_the_same_run() -> None:
    """A run that was started without the digest of its source goes on."""
    now = results.result("resnet20", 9.0, data_changes={"source_digest": "of files"}).run
    assert now.difference(results.result("resnet20", 9.0).run) is None


def test_what_cannot_be(tmp_path: Path) -> None:
    """One run alone, and a folder without a result."""
    alone = folder(tmp_path / "a", results.result("resnet20", 9.0))
    with pytest.raises(UsageError, match="1 run"):
        resnets.compare([alone])
    with pytest.raises(RunError, match="nothing"):
        resnets.compare([alone, tmp_path / "nothing"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the errors and what differs, and names the page."""
    runs = [str(folder(tmp_path / name, results.result(name, 9.0))) for name in ("resnet20", "plain20")]
    assert run(["compare", *runs, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "network.name" in out and "9.00 %" in out and (tmp_path / "out" / "comparison.html").exists()
