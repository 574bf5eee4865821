"""Training error by depth: whether it rises for plain networks, and what shortcuts change (section 1)."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from resnets.quantities import plural
from resnets.records.counts import noise
from resnets.records.studies import DepthRow
from resnets.report.runs import Measured, by_seed, settings_of
from resnets.specs import default_shortcut

NOTABLE = 0.1  # points of training error; what is within chance does not count either
_DOES = {"rises": "train worse", "falls": "train better", "stays the same within noise": "train no better"}
_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}


@dataclass(frozen=True, kw_only=True)
class Depth:
    """The networks of one depth: their mean errors, in percent; `images` are those that the training error is of."""

    layers: int
    training: float
    images: int
    test: float | None = None  # where it may be shown
    seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class DepthStudy:
    """Plain and residual networks that were trained alike, by depth."""

    data: str
    scale: str
    iterations: int
    is_cifar: bool  # of the paper's, as declared
    has_free_shortcuts: bool  # without parameters: option A
    plain: tuple[Depth, ...]
    residual: tuple[Depth, ...]
    like: str = ""  # one of its runs, where another study has the same name and length

    @property
    def depths(self) -> int:
        """The number of depths, of the kind that has more."""
        return max(len(self.plain), len(self.residual))

    @property
    def findings(self) -> tuple[str, ...]:
        """What depth does, in sentences."""
        return tuple(findings(self.plain, self.residual, free_shortcuts=self.has_free_shortcuts))

    @property
    def name(self) -> str:
        """The data."""
        return _NAMES.get(self.data, self.data) + (f", as in {self.like}," if self.like else "")

    @property
    def length(self) -> str:
        """How long the networks were trained."""
        return plural(self.iterations, "iteration") + (f", {self.scale} scale" if self.scale != "full" else "")

    @property
    def sentence(self) -> str:
        """What was measured, and what depth does."""
        return " ".join((f"Measured on {self.name} ({self.length}).", *self.findings))


def summary(study: DepthStudy | None) -> str:
    """Return what the best study found, and what is missing in it."""
    if study is None or study.depths < 2:
        return (
            "Degradation is not measured yet: it takes runs of plain and of residual networks, at two depths or more."
        )
    kinds = (("plain", study.plain), ("residual", study.residual))
    missing = [kind for kind, depths in kinds if len(depths) < 2]
    return study.sentence + "".join(f" Of {kind} networks two depths are not measured yet." for kind in missing)


def headline(study: DepthStudy | None) -> str:
    """Return what the best study found, in a few words."""
    kinds = () if study is None else (("plain", study.plain), ("residual", study.residual))
    found = [f"deeper {kind} networks {_DOES[trend(depths)]}" for kind, depths in kinds if len(depths) > 1]
    return "; ".join(found).capitalize() + "." if found else "Degradation is not measured yet."


def lead(study: DepthStudy | None) -> str:
    """Return the numbers of a headline, in a sentence; empty where there are none."""
    kinds = () if study is None else (("without", study.plain), ("with", study.residual))
    found = [
        f"{how} shortcuts it {trend(depths)}{steps(depths[:: len(depths) - 1])}, {_span(depths).lower()}"
        for how, depths in kinds
        if len(depths) > 1
    ]
    return "" if study is None or not found else f"Training error on {study.name}: {'; '.join(found)}."


# ---------------------------------------------------------------- studies


def studies(runs: Iterable[Measured]) -> tuple[DepthStudy, ...]:
    """Return all studies that the runs hold, the best first: both kinds at several depths, as near to the declared as
    there is."""

    def alike(run: Measured) -> object:
        family = default_shortcut(f"resnet{run.depth}")
        return (family, run.data, run.recipe, run.iterations, run.rank, run.changes, run.precision, run.trained)

    groups = settings_of((run for run in runs if run.network in (f"plain{run.depth}", f"resnet{run.depth}")), alike)
    found = list(map(_study, groups))
    said = [(one.name, one.length) for one in found if one.findings]
    found = [
        dataclasses.replace(one, like=group[0].name) if said.count((one.name, one.length)) > 1 else one
        for one, group in zip(found, groups, strict=True)
    ]
    ranked = sorted(
        zip(found, groups, strict=True),
        key=lambda pair: (-min(len(pair[0].plain), 2) - min(len(pair[0].residual), 2), pair[1][0].rank, -len(pair[1])),
    )
    return tuple(study for study, _ in ranked)


def _study(runs: Sequence[Measured]) -> DepthStudy:
    first, residual = runs[0], [run for run in runs if run.is_residual]
    is_cifar_type = default_shortcut(f"resnet{first.depth}") == "A"
    return DepthStudy(
        data=first.data,
        scale=first.scale,
        iterations=first.iterations,
        is_cifar=first.declared.data == "cifar10" and is_cifar_type,
        has_free_shortcuts=bool(residual) and _option(residual) == "A",
        plain=_by_depth([run for run in runs if not run.is_residual]),
        residual=_by_depth(residual),
    )


def _by_depth(runs: Sequence[Measured]) -> tuple[Depth, ...]:
    depths: dict[int, list[Measured]] = {}
    for run in runs:
        depths.setdefault(run.depth or 0, []).append(run)
    return tuple(
        Depth(
            layers=layers,
            training=statistics.fmean(run.training_error for run in same),
            images=sum(run.training_images for run in same),
            test=statistics.fmean(run.test_error for run in same),
            seeds=len(same),
        )
        for layers, same in ((layers, _one_per_seed(found)) for layers, found in sorted(depths.items()))
    )


def _one_per_seed(runs: Sequence[Measured]) -> list[Measured]:
    """Return one run per seed, of one shortcut option: A where there are any, which adds no parameters."""
    return list(by_seed(run for run in runs if (run.shortcut or "") == _option(runs)).values())


def _option(runs: Sequence[Measured]) -> str:
    return min(run.shortcut or "" for run in runs)


# ---------------------------------------------------------------- findings


def findings_of_rows(rows: Sequence[DepthRow], *, tests: bool = True) -> tuple[str, ...]:
    """Return the findings of a demo or a study; without `tests` they name no test error."""
    plain, residual = (
        [
            Depth(
                layers=row.depth,
                training=row.training_error,
                images=row.training_images,
                test=row.test_error if tests else None,
            )
            for row in sorted(rows, key=lambda row: row.depth)
            if row.residual is has_shortcuts
        ]
        for has_shortcuts in (False, True)
    )
    shortcuts = {default_shortcut(row.network) for row in rows if row.residual}
    return tuple(findings(plain, residual, free_shortcuts=shortcuts == {"A"}))


def findings(plain: Sequence[Depth], residual: Sequence[Depth], *, free_shortcuts: bool) -> Iterator[str]:
    """Yield what depth does to the training error of plain and of residual networks, and what shortcuts change.

    A sentence each, where there is anything to compare. `plain` and `residual` are in the order of their depth.
    """
    if _differ(plain):
        change = trend(plain)
        verdict = (
            "this is degradation, not overfitting" if change == "rises" else "no degradation at this length of training"
        )
        yield f"{_span(plain)} the training error of plain networks {change}{steps(plain)}: {verdict}."
    if _differ(residual):
        change = trend(residual)
        start, end = f"{_span(residual)} the training error of residual networks", ""
        if _differ(plain):
            start = f"With shortcuts{', which add no parameters,' if free_shortcuts else ''} it"
            end = "" if _span(residual) == _span(plain) else f" {_span(residual).lower()}"
        better = ": more depth trains better" if change == "falls" else ""
        yield f"{start} {change}{steps(residual)}{end}{better}."
    counterparts = {one.layers: one for one in residual}
    pairs = [(one, counterparts[one.layers]) for one in plain if one.layers in counterparts]
    if pairs:
        one, other = pairs[-1]
        tests = (
            "" if one.test is None or other.test is None else f", the test error {one.test:.2f} and {other.test:.2f} %"
        )
        errors = f"{one.training:.1f} % plain and {other.training:.1f} % residual{tests}"
        yield f"At {one.layers} layers the training error is {errors}."


def _differ(depths: Sequence[Depth]) -> bool:
    return bool(depths) and depths[0].layers < depths[-1].layers


def _span(depths: Sequence[Depth]) -> str:
    return f"From {depths[0].layers} to {depths[-1].layers} layers"


def steps(depths: Sequence[Depth]) -> str:
    """Return the training errors by depth, in brackets."""
    return f" ({' -> '.join(f'{depth.training:.1f}' for depth in depths)} %)"


def trend(depths: Sequence[Depth]) -> str:
    """Return what the training error does from the least depth to the most; what may be chance does not count.

    Of plain networks a rise is degradation: a deeper network can compute all that a shallower one can.
    """
    first, last = depths[0], depths[-1]
    chance = noise(first.training, first.images, last.training, last.images)
    if abs(last.training - first.training) < max(NOTABLE, chance):
        return "stays the same within noise"
    return "rises" if last.training > first.training else "falls"
