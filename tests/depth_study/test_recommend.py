"""What is recommended follows from the numbers, noise and the length of training taken into account."""

from __future__ import annotations

from resnets.depth_study.recommend import alike, has_converged, recommend
from resnets.records.counts import wilson
from resnets.records.studies import StudyRow

Curve = tuple[tuple[int, float, float], ...]


def row(
    network: str,
    validation: float,
    training: float = 1.0,
    *,
    images: int = 1000,
    seconds: float = 10.0,
    curve: Curve | None = None,
) -> StudyRow:
    residual = network.startswith("resnet")
    return StudyRow(
        network=network,
        depth=int("".join(filter(str.isdigit, network))),
        residual=residual,
        training_error=training,
        training_images=2560,
        validation_error=validation,
        validation_images=images,
        interval=wilson(validation, images),
        test_error=99.0,  # must never matter
        seconds=seconds,
        parameters=1,
        macs=1,
        memory=1,
        curve=curve or tuple((i, training, validation) for i in range(10, 110, 10)),
    )


def advice(rows: list[StudyRow], majority_class_error: float = 90.0):  # type: ignore[no-untyped-def]
    return recommend(rows, majority_class_error=majority_class_error, first_drop=50, longer="8m")


def test_errors_are_alike_where_the_difference_may_be_chance() -> None:
    """The same two errors are alike on 100 images and not on 1,000."""
    assert alike(row("resnet20", 5, images=100), row("resnet56", 8, images=100))
    assert not alike(row("resnet20", 5, images=1000), row("resnet56", 8, images=1000))


# ---------------------------------------------------------------- the choice


def test_the_shallowest_within_noise_of_the_best() -> None:
    """Of networks whose errors may differ by chance the shallowest is recommended, with both errors."""
    found = advice([row("resnet20", 5.5), row("resnet56", 5.0, seconds=25), row("resnet110", 9.0)])
    assert found.network == "resnet20" and found.headline == "Recommended: resnet20."
    assert found.reasons[0].startswith("Its validation error is 5.50 % (95 % interval 4.2 to 7.1 %, 1,000 images).")
    assert "5.00 %, of resnet56, which takes 2.5 times as long" in found.reasons[0]
    assert (
        "5.50 -> 5.00 -> 9.00 %: beyond 20 layers the gain is within noise, and 110 layers are worse"
        in found.reasons[1]
    )


def test_depth_that_pays() -> None:
    """Where the deepest is better by more than noise, it is recommended, and shortcuts are said to help."""
    found = advice([row("plain20", 12), row("plain56", 20), row("resnet20", 11), row("resnet56", 5)])
    assert found.network == "resnet56"
    assert "every shallower network is higher by more than noise" in found.reasons[0]
    assert "56 layers are better than 20 by more than noise, so depth is worth it here" in found.reasons[1]
    assert "at 56 layers is 5.00 % against 20.00 % without them: they help here" in found.reasons[2]


def test_depth_that_does_not() -> None:
    """Where nothing is better by more than noise, the network with the fewest layers is recommended."""
    found = advice([row("plain20", 5), row("plain56", 5.2), row("resnet20", 5.1), row("resnet56", 5.3)])
    assert found.network == "plain20"
    assert "lowest of all, with the fewest layers" in found.reasons[0]
    assert "within noise, so more depth is not worth its time here" in found.reasons[1]
    assert "a difference within noise" in found.reasons[2]


def test_of_one_depth_the_lower_error_and_else_the_residual_one() -> None:
    """Between kinds of one depth the error decides, and between equals the residual network is taken."""
    assert advice([row("plain20", 5), row("resnet20", 5)]).network == "resnet20"
    found = advice([row("plain20", 5.2), row("resnet20", 5)])
    assert found.network == "resnet20" and "lowest of all" in found.reasons[0]


def test_the_test_error_has_no_part() -> None:
    """No test error is in the recommendation."""
    rows = [row("resnet20", 5), row("resnet56", 20)]
    text = str(advice(rows))
    assert "99" not in text


def test_one_network_is_enough() -> None:
    """A study of one network recommends it, with one reason."""
    found = advice([row("resnet20", 5)])
    assert found.network == "resnet20" and len(found.reasons) == 1


# ---------------------------------------------------------------- what to beware of


def test_too_early_to_say() -> None:
    """Where no network is better than the majority class, none is recommended, and a longer budget is named."""
    found = advice([row("resnet20", 88, 87), row("resnet56", 89, 88)])
    assert found.network is None and not found.reasons
    assert found.headline.startswith("Too early to recommend a network: the best, resnet20,")
    assert "the majority-class error is 90 %" in found.headline and "--budget 8m" in found.headline
    assert any("all of the networks hardly learnt" in caution for caution in found.cautions)


def test_naming_the_commonest_class_is_no_learning() -> None:
    """Of two classes, one with 95 % of the images, an error of 5 % is that of knowing nothing."""
    found = advice([row("resnet20", 5, 5), row("resnet56", 5.1, 5)], majority_class_error=5.0)
    assert found.network is None and "the majority-class error is 5.0 %" in found.headline
    assert advice([row("resnet20", 1, 1), row("resnet56", 2, 1)], majority_class_error=5.0).network == "resnet20"


def test_a_budget_too_short_to_settle() -> None:
    """A network whose error still fell before the learning rate dropped is named."""
    falling = tuple((i, 90.0 - i, 50.0) for i in range(10, 110, 10))  # 65 -> 40 % until the rate is lowered at 50
    rows = [row("resnet20", 30, 20, curve=falling), row("resnet56", 40, 30)]
    assert not has_converged(rows[0], 50) and has_converged(rows[1], 50)
    (first, *_) = advice(rows).cautions
    assert first.startswith("The budget was too short for resnet20 to converge") and "--budget 8m" in first


def test_what_hardly_learnt_is_named() -> None:
    """Networks near the majority-class error are named together."""
    cautions = advice([row("plain20", 9, 5), row("plain56", 85, 86), row("plain110", 89, 89)]).cautions
    assert any(caution.startswith("plain56 and plain110 hardly learnt") for caution in cautions)


def test_what_happens_after_the_drop_does_not_count_and_short_curves_tell_nothing() -> None:
    """Convergence is judged by the curve before the learning rate drops."""
    flat_then_drop = tuple((i, 30.0 if i <= 50 else 5.0, 30.0) for i in range(10, 110, 10))
    assert has_converged(row("resnet20", 5, curve=flat_then_drop), 50)
    assert not has_converged(row("resnet20", 5, curve=((40, 30.0, 30.0), (80, 5.0, 5.0))), 50)


def test_overfitting_and_seeds_are_named() -> None:
    """A large gap to the training error is a caution, and so is a single seed."""
    cautions = advice([row("resnet20", 25, 2.0)]).cautions
    assert any("23 points above its training error: more images" in caution for caution in cautions)
    assert "the 1,000 validation images alone: errors also vary with --seed" in cautions[-1]
    assert len(advice([row("resnet20", 5, 2.0)]).cautions) == 1


def test_data_of_one_class_gets_a_caution() -> None:
    """Its majority-class error is 0: whatever is trained is right."""
    rows = [row("resnet20", 0.0, 0.0), row("resnet56", 0.0, 0.0)]
    assert any("one class" in caution for caution in advice(rows, majority_class_error=0.0).cautions)
    assert not any("one class" in caution for caution in advice(rows).cautions)
