"""The sentence on degradation says what the runs show, whatever that is."""

from __future__ import annotations

import dataclasses

import made_up as results
import pytest

from resnets.report import depth
from resnets.report.measured import Measured


def runs(plain: tuple[float, ...], residual: tuple[float, ...], **options: int) -> list[Measured]:
    """Runs of 20, 56, ... layers with these training errors."""
    return [
        results.run(f"{kind}{layers}", error + 5, error, **options)
        for kind, errors in (("plain", plain), ("resnet", residual))
        for layers, error in zip((20, 56, 110), errors, strict=False)
    ]


def best(runs: list[Measured]) -> depth.DepthStudy:
    """The study that tells best what depth does."""
    return depth.studies(runs)[0]


@pytest.mark.parametrize(
    ("plain", "residual", "parts"),
    [
        (
            (1.3, 5.9),
            (0.5, 0.1),
            (
                "plain networks rises from 1.3 to 5.9 %, which is degradation",
                "that of residual networks, from 20 to 56 layers, falls from 0.5 to 0.1 %: more depth",
                "; at 56 layers it is 0.1 %, and 5.9 % plain.",
            ),
        ),
        (
            (5.0, 4.0),
            (5.0, 6.0),
            (
                "falls from 5.0 to 4.0 %, and no degradation shows",
                "rises from 5.0 to 6.0 %; at 56 layers it is 6.0 %, and 4.0 % plain.",
            ),
        ),
        ((5.0, 5.05), (5.0,), ("stays at 5.0 %", "residual networks are not measured at two depths yet")),
        ((5.0,), (5.0, 4.0), ("falls from 5.0 to 4.0 %; plain networks are not measured at two depths yet.",)),
    ],
)
def test_the_sentence(plain: tuple[float, ...], residual: tuple[float, ...], parts: tuple[str, ...]) -> None:
    text = depth.sentence(best(runs(plain, residual)))
    assert text.startswith("Measured on CIFAR-10 (64,000 iterations): from 20 to 56 layers the training error of ")
    for part in parts:
        assert part in text


def test_nothing_to_compare() -> None:
    assert "not measured yet" in depth.sentence(None)
    assert "not measured yet" in depth.sentence(best(runs((1.0,), (1.0,))))


def test_the_complete_study_wins_and_the_full_one_among_such() -> None:
    short, full = runs((1, 2), (2, 1), iterations=4000), runs((1, 2), (2, 1))
    one = runs((1, 2, 3), ())
    found = best([*one[2:], *short])
    assert (found.iterations, found.scale) == (4000, "short")
    found = best([*short, *full])
    assert found.scale == "full" and found.is_cifar and found.is_complete


def test_seeds_are_averaged_and_options_not_mixed() -> None:
    both = [results.run("resnet20", 9, 1.0), results.run("resnet20", 9, 2.0, seed=1)]
    other = results.run("resnet20", 9, 9.0, shortcut="B")
    found = best([other, *both])
    assert (found.residual[0].training, found.residual[0].seeds) == (1.5, 2)


def test_a_seed_counts_once_and_precisions_are_kept_apart() -> None:
    first = results.run("resnet20", 9, 1.0)
    found = best(
        [first, results.run("resnet20", 9, 5.0), dataclasses.replace(first, seed=1, precision="fp32", training_error=9)]
    )
    assert (found.residual[0].training, found.residual[0].seeds) == (1.0, 1)


def test_what_may_be_chance_is_no_degradation() -> None:
    """After 20 iterations the training error is of the 384 images of the last three."""
    text = depth.sentence(best(runs((60.0, 61.0), (60.0, 70.0), iterations=20)))
    assert "plain networks stays at 61.0 %, and no degradation shows" in text
    assert "rises from 60.0 to 70.0 %" in text


def test_the_table_has_each_depth_of_both_kinds() -> None:
    titles, rows = depth.table(best(runs((1.3, 5.9), (0.5, 0.1))))
    assert len(titles) == 5
    assert rows == [
        ("plain", "20", "1.30 %", "6.30 %", "1"),
        ("plain", "56", "5.90 %", "10.90 %", "1"),
        ("residual", "20", "0.50 %", "5.50 %", "1"),
        ("residual", "56", "0.10 %", "5.10 %", "1"),
    ]
    assert depth.table(best(runs((1.0,), (1.0,))))[1] == depth.table(None)[1] == ()


def test_twins_of_another_length_are_told_too() -> None:
    """Two networks of one depth say nothing of depth, and what shortcuts do they say."""
    complete, full = runs((20, 30), (19, 18), iterations=4000), runs((2.0,), (1.0,))
    first, second = depth.studies([*full, *complete])
    assert (first.iterations, second.iterations) == (4000, 64_000)
    assert depth.twins_sentence(second) == (
        "Measured on CIFAR-10 (64,000 iterations): at 20 layers the training error is 2.0 % plain and 1.0 % residual, "
        "the test error 7.00 and 6.00 %."
    )
    assert depth.twins_sentence(best(runs((2.0,), ()))) is None
