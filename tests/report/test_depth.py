"""What is said of depth is what the runs show, whatever that is."""

from __future__ import annotations

import dataclasses

import made_up as results
import pytest

from resnets.records.studies import DepthRow
from resnets.report import depth
from resnets.report.depth import Depth, findings, findings_of_rows
from resnets.report.runs import Measured

LAYERS = (20, 56, 110)


def runs(plain: tuple[float, ...], residual: tuple[float, ...], **options: int) -> list[Measured]:
    """Runs of 20, 56, ... layers with these training errors."""
    return [
        results.run(f"{kind}{layers}", error + 5, error, **options)
        for kind, errors in (("plain", plain), ("resnet", residual))
        for layers, error in zip(LAYERS, errors, strict=False)
    ]


def best(runs: list[Measured]) -> depth.DepthStudy:
    return depth.studies(runs)[0]


def of(*errors: float, images: int = 100_000) -> list[Depth]:
    """Networks of 20, 56 and 110 layers with these training errors."""
    return [Depth(layers=layers, training=error, images=images) for layers, error in zip(LAYERS, errors, strict=False)]


# ---------------------------------------------------------------- the sentences


def test_the_wording() -> None:
    """Each kind's errors in the order of depth, what they do, and the deepest pair of one depth."""
    assert tuple(findings(of(1.3, 5.9), of(0.5, 0.3, 0.1), free_shortcuts=True)) == (
        "From 20 to 56 layers the training error of plain networks rises (1.3 -> 5.9 %): this is degradation, not "
        "overfitting.",
        "With shortcuts, which add no parameters, it falls (0.5 -> 0.3 -> 0.1 %) from 20 to 110 layers: more depth "
        "trains better.",
        "At 56 layers the training error is 5.9 % plain and 0.3 % residual.",
    )


def test_rows_in_any_order() -> None:
    """As the networks of a study were named; two of one depth say nothing of depth."""
    errors = {"plain56": 70.0, "plain20": 7.0, "resnet56": 3.0, "resnet20": 5.0}
    rows = [
        DepthRow(
            network=name,
            depth=int(name[-2:]),
            residual=name.startswith("resnet"),
            training_error=error,
            training_images=100_000,
            test_error=error,
            seconds=1.0,
            curve=((1, error, error),),
        )
        for name, error in errors.items()
    ]
    found = findings_of_rows(rows)
    assert "rises (7.0 -> 70.0 %): this is degradation" in found[0] and "At 56 layers" in found[-1]
    assert findings_of_rows([row for row in rows if row.depth == 20 and row.residual] * 2) == ()


@pytest.mark.parametrize(
    ("plain", "residual", "words"),
    [
        ((5.0, 80.0), (2.0, 3.0), ("rises", "rises")),
        ((5.0, 4.0), (5.0, 1.0), ("falls", "falls")),
        ((5.0, 5.05), (5.0, 5.0), ("stays", "stays")),
    ],
)
def test_the_trend_of_each_kind(plain: tuple[float, ...], residual: tuple[float, ...], words: tuple[str, str]) -> None:
    """Only a rise of the plain networks' training error is called degradation."""
    first, second, _ = findings(of(*plain), of(*residual), free_shortcuts=False)
    assert f" {words[0]} " in first and f" {words[1]} " in second
    assert ("this is degradation" in first) == (words[0] == "rises")


def test_what_may_be_chance_is_no_degradation() -> None:
    """The same rise of 1 point is one over 100,000 images and none over 100."""
    many, few = (tuple(findings(of(60.0, 61.0, images=images), [], free_shortcuts=False)) for images in (100_000, 100))
    assert " rises " in many[0] and " stays " in few[0]


def test_what_is_not_there_is_not_mentioned() -> None:
    """A kind of a single depth has no sentence on depth, and networks without a counterpart are in no pair."""
    assert len(list(findings(of(5.0, 80.0), [], free_shortcuts=True))) == 1
    (alone,) = findings([], of(2.0, 3.0), free_shortcuts=True)
    assert "residual networks" in alone and "parameters" not in alone
    assert not list(findings(of(5.0, 6.0)[1:], of(2.0), free_shortcuts=True))
    (pair,) = findings(of(5.0), of(2.0), free_shortcuts=True)
    assert "5.0 % plain and 2.0 % residual" in pair


def test_only_shortcuts_of_option_a_are_free() -> None:
    """Networks of the ImageNet type have option B, which has parameters."""

    def said(depths: tuple[int, int]) -> str:
        rows = [
            DepthRow(
                network=f"{kind}{layers}",
                depth=layers,
                residual=kind == "resnet",
                training_error=5.0,
                training_images=1000,
                test_error=77.0,
                seconds=1.0,
                curve=((1, 5.0, 77.0),),
            )
            for kind in ("plain", "resnet")
            for layers in depths
        ]
        assert "77.00" in findings_of_rows(rows)[2] and "77" not in str(findings_of_rows(rows, tests=False))
        return findings_of_rows(rows)[1]

    assert "add no parameters" in said((20, 110))
    assert "parameters" not in said((18, 34))


# ---------------------------------------------------------------- studies


def test_nothing_to_compare_is_said() -> None:
    """Without runs, or with one depth of each kind, the summary says that nothing is measured."""
    assert depth.summary(None) == depth.summary(best(runs((1.0,), (1.0,))))
    assert "not measured yet" in depth.summary(None)


def test_a_kind_that_is_missing_is_named() -> None:
    """A study of plain networks in two depths and residual ones in one names what is missing."""
    one_depth, both = best(runs((5.0, 5.5), (5.0,))), best(runs((5.0, 5.5), (5.0, 4.0)))
    assert "residual" in depth.summary(one_depth).removeprefix(one_depth.sentence)
    assert depth.summary(both) == both.sentence


def test_the_complete_study_wins_and_the_full_one_among_such() -> None:
    """More pairs of depths count before more iterations, which decide between equals."""
    short, full = runs((1, 2), (2, 1), iterations=4000), runs((1, 2), (2, 1))
    one = runs((1, 2, 3), ())
    found = best([*one[2:], *short])
    assert (found.iterations, found.scale) == (4000, "short")
    found = best([*short, *full])
    assert found.scale == "full" and found.is_cifar and found.depths == 2
    assert found.sentence.startswith("Measured on CIFAR-10 (64,000 iterations). From 20 ")


def test_seeds_are_averaged_and_options_not_mixed() -> None:
    """Option A counts where there are runs of it."""
    both = [results.run("resnet20", 9, 1.0), results.run("resnet20", 9, 2.0, seed=1)]
    other = results.run("resnet20", 9, 9.0, shortcut="B")
    found = best([other, *both])
    assert (found.residual[0].training, found.residual[0].seeds) == (1.5, 2)
    assert found.has_free_shortcuts and not best([other]).has_free_shortcuts


def test_a_seed_counts_once_and_precisions_are_kept_apart() -> None:
    """The first of two runs of one seed counts, and no mean is over two precisions."""
    first = results.run("resnet20", 9, 1.0)
    again = results.run("resnet20", 9, 5.0)
    other = dataclasses.replace(first, seed=1, precision="fp32", training_error=9)
    found = best([first, again, other])
    assert (found.residual[0].training, found.residual[0].seeds) == (1.0, 1)
