"""Runs that differ in their seed alone are averaged; others are kept apart."""

from __future__ import annotations

import dataclasses

import made_up as results

from resnets.report import markdown, seeds
from resnets.report.content import assemble


def test_mean_and_deviation() -> None:
    """The sample deviation, over the seeds."""
    runs = [results.run("resnet20", error, 4.0, seed=seed) for seed, error in enumerate((8.0, 9.0, 10.0))]
    (cells,) = seeds.table(runs)
    assert dict(zip(seeds.TITLES, cells, strict=True)) == {
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
    assert seeds.table([first, *others]) == []


def test_what_differs_from_the_recipe_is_said() -> None:
    """A change of the recipe stands beside its name, an option of the network beside its."""
    changed = [results.run("resnet20", 9.0, seed=seed, recipe_changes={"lr": 0.2}, shortcut="B") for seed in (0, 1)]
    (cells,) = seeds.table(changed)
    assert "resnet20, option B" in cells
    assert "lr 0.2 instead of 0.1" in cells[2]


def test_in_the_markdown() -> None:
    """The table is in the report where there is anything to tell."""
    runs = [results.result("resnet20", 8.5 + seed, seed=seed, recipe="fast") for seed in (0, 1)]
    report = markdown.render(assemble(results.collected(*runs)))
    assert "| resnet20 | cifar10 | fast | 14,063 | " in report
    assert "Several seeds" not in markdown.render(assemble(results.collected(*runs[:1])))
