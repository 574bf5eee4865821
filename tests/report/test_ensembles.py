"""Ensembles that `evaluate` tested are shown beside their members, whose own runs may be unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up as results
import pytest

from resnets.report import content, ensembles, markdown, page
from resnets.specs import PUBLISHED_IMAGES


def evaluated(*members: tuple[str, float, dict[str, Any] | None], **changes: Any) -> dict[str, Any]:
    """Return a result file of `evaluate`: of each member the network, its error, and its run's result."""
    return {
        "kind": "evaluation",
        "network": f"ensemble of {len(members)}",
        "data": "cifar10",
        "protocol": "single-view",
        "samples": 10_000,
        "top1_error": 7.5,
        "top1_interval": [7.0, 8.04],
        "top5_error": 0.25,
        "digest": ":".join(PUBLISHED_IMAGES["cifar10"].digests),
        "class_errors": dict.fromkeys("abcdefghij", 7.5),
        "members": [
            {"network": name, "top1_error": error, "top5_error": error / 4, "result": result}
            for name, error, result in members
        ],
        **changes,
    }


def test_an_ensemble_stands_beside_its_members(tmp_path: Path) -> None:
    """One member's run is known, and is a run of the report; the other came as weights alone."""
    run = results.result("resnet20", 8.75)
    found = results.read(results.write(tmp_path, both=evaluated(("resnet20", 8.75, run), ("resnet32", 8.25, None))))
    assert [one.network for one in found.runs] == ["resnet20"] and not found.problems
    row = ("resnet20, resnet32", "cifar10", "single-view", "10,000", "7.50 (7.0 to 8.0)", "0.25", "8.75, 8.25")
    assert ensembles.table(found.ensembles) == [row]
    said = content.assemble(found)
    assert f"| {' | '.join(row)} |" in markdown.render(said)
    assert "7.50 (7.0 to 8.0)" in page.render(said)


def test_an_ensemble_alone_is_a_result(tmp_path: Path) -> None:
    found = results.read(results.write(tmp_path, both=evaluated(("a", 9.0, None), ("b", 8.0, None))))
    assert len(found.ensembles) == 1 and not found.runs
    assert "Ensembles" in markdown.render(content.assemble(found))


def test_what_is_called_cifar10_is_not_cifar10(tmp_path: Path) -> None:
    other = evaluated(("a", 9.0, None), ("b", 8.0, None), digest="of others")
    assert results.read(results.write(tmp_path, both=other)).ensembles[0].data == "what is called cifar10"


@pytest.mark.parametrize(
    "changes", [{"top1_error": None}, {"top1_interval": 3}, {"members": [1, 2]}, {"members": 5}, {"samples": "many"}]
)
def test_what_cannot_be_read_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    broken = evaluated(("a", 9.0, None), ("b", 8.0, None), **changes)
    found = results.read(results.write(tmp_path, one=results.result("resnet20", 9.0), broken=broken))
    assert not found.ensembles and len(found.runs) == 1
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path.name}/broken.json: not shown") and "cannot be read" in problem
