"""What is said of layer responses is what they are, and files of them are joined to their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up as results
import pytest

from resnets.records import base
from resnets.records.evaluations import LayerResponses, Response
from resnets.report.collect import collect
from resnets.report.responses import findings

DIGEST = results.result("resnet20", 9.0).run.data.digest


def of(network: str, *stds: float, source: str = "runs/x", median: float | None = None) -> LayerResponses:
    layers = tuple(Response(f"layer{index}", std, median, median, median) for index, std in enumerate(stds))
    return LayerResponses(network=network, source=source, data="digits", images=9, device="cpu", layers=layers)


def test_plain_is_compared_with_residual_and_depth_with_depth() -> None:
    """Networks of another stride placement have no counterpart and are left out."""
    found = [
        of("resnet56", 1, 2),
        of("resnet20", 2, 4),
        of("plain56", 3, 6),
        of("plain20", 1, 2),
        of("resnet50_v1_5", 1),
    ]
    twenty, fifty_six, depths = findings(found)
    assert twenty.startswith("resnet20 responds no less") and "3.00 against 1.50" in twenty
    assert fifty_six.startswith("resnet56 responds less") and "1.50 against 4.50" in fifty_six
    assert "3.00 -> 1.50" in depths and "responds less" in depths
    assert "does not respond less" in findings([of("resnet20", 1), of("resnet56", 2)])[0]
    assert findings([of("plain20", 1)]) == ()


@pytest.mark.parametrize(("median", "warned"), [(1.0, True), (1.25, False), (None, False)])
def test_a_mean_that_a_few_images_dominate_is_warned_of_first(median: float | None, warned: bool) -> None:
    """It is more than twice the median image's; files without medians give no warning."""
    found = findings([of("plain8", 2, 3, source="a", median=median), of("plain8", 1, source="b", median=1)])
    assert len(found) == warned
    if warned:
        assert "plain8 (a)" in found[0] and "2.50" in found[0] and "1.00" in found[0]


def test_magnitude_and_averages() -> None:
    """The mean over the layers is of each number, where all layers have it."""
    one = of("resnet8", 1, 4, 2.5)
    assert [response.std for response in one.by_magnitude] == [4, 2.5, 1]
    assert (one.mean.std, one.mean.median, one.mean.batch_std) == (2.5, None, None)
    assert of("resnet8", 1, 4, median=2).mean.batch_median == 2


@pytest.mark.parametrize("first", ["a", "z"])
def test_a_file_of_responses_is_joined_to_its_run(first: str, tmp_path: Path) -> None:
    """Whether it is read before or after the file that declares what the run is."""
    plain = results.result("resnet20", 9.0)
    of_layers = results.responses_of(plain, results.responses(19, 2.0))
    results.write(tmp_path / "r", **{first: of_layers, "m": results.reproduced(plain)})
    (run,) = collect([tmp_path / "r"]).runs
    assert len(run.responses) == 19
    assert run.file.endswith("m.json")


@pytest.mark.parametrize("first", ["a", "z"])
def test_responses_with_medians_replace_those_without(first: str, tmp_path: Path) -> None:
    """A run's file without medians, and another file of its responses: whichever is read first."""
    plain = results.result("resnet20", 9.0)
    without = results.reproduced(plain, responses=results.responses(19, 2.0))
    numbers = {"median": 0.5, "batch_std": 0.75, "batch_median": 0.625}
    of_layers = results.responses_of(plain, results.responses(19, 2.0, **numbers), bn_group=64)
    results.write(tmp_path / "r", **{first: of_layers, "m": without})
    (run,) = collect([tmp_path / "r"]).runs
    assert run.responses[0] == Response("layer0", 2.0, **numbers)
    (alone,) = collect([tmp_path / "r" / "m.json"]).runs
    assert alone.responses[0] == Response("layer0", 2.0)


@pytest.mark.parametrize("images", [{"data": "digits"}, {"images": 50}, {"digest": "of others"}, {"digest": DIGEST}])
def test_responses_to_other_images_are_not_drawn(images: dict[str, Any], tmp_path: Path) -> None:
    """Figure 7 is of all test images of the data that was trained on, which are known by their digest."""
    same = images == {"digest": DIGEST}
    run = results.result("resnet20", 9.0)
    of_layers = results.responses_of(run, results.responses(19, 2.0), **images)
    found = collect([results.write(tmp_path / "r", one=of_layers, two=run)])
    assert bool(found.runs[0].responses) == same
    assert any("not to all test images of its run" in problem for problem in found.problems) != same


def test_responses_without_a_run_are_no_result_and_no_problem(tmp_path: Path) -> None:
    """Damaged ones are a problem."""
    listed = results.responses_of(None, results.responses(19, 2.0))
    found = collect([results.write(tmp_path / "r", one=listed, two=results.result("resnet20", 9.0))])
    assert len(found.runs) == 1 and not found.problems
    results.write(tmp_path / "r", bad=base.as_json(listed) | {"networks": [{}]})
    assert "$.networks[0]" in collect([tmp_path / "r"]).problems[0]
