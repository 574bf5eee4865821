"""Does training error rise with depth? Measured over a set of runs: a few numbers and one sentence (section 1)."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from resnets.report.measured import Measured, default_shortcut
from resnets.report.noise import noise

NOTABLE = 0.1  # points of training error; what is within chance does not count either
_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}


@dataclass(frozen=True)
class Depth:
    """The runs of one depth: their mean errors, in percent; `images` are those that the training error is of."""

    layers: int
    training: float
    test: float
    seeds: int
    images: int


@dataclass(frozen=True, kw_only=True)
class DepthStudy:
    """Plain and residual networks that were trained alike, by depth."""

    data: str
    scale: str
    iterations: int
    is_cifar: bool  # of the paper's, as declared
    plain: tuple[Depth, ...]
    residual: tuple[Depth, ...]

    @property
    def is_complete(self) -> bool:
        """Whether both kinds have two depths."""
        return len(self.plain) > 1 and len(self.residual) > 1


def studies(runs: Iterable[Measured]) -> tuple[DepthStudy, ...]:
    """Return all studies that the runs hold, the best first: both kinds at several depths, as near to the declared as
    there is."""
    groups: dict[tuple[object, ...], list[Measured]] = {}
    for run in runs:
        if run.depth is not None and run.network in (f"plain{run.depth}", f"resnet{run.depth}"):
            family = default_shortcut(f"resnet{run.depth}")
            alike = (family, run.data, run.recipe, run.iterations, run.rank, run.changes, run.precision)
            groups.setdefault(alike, []).append(run)
    found = [_study(group) for group in groups.values()]
    ranked = sorted(
        zip(found, groups.values(), strict=True),
        key=lambda pair: (-min(len(pair[0].plain), 2) - min(len(pair[0].residual), 2), pair[1][0].rank, -len(pair[1])),
    )
    return tuple(study for study, _ in ranked)


def _study(runs: Sequence[Measured]) -> DepthStudy:
    first = runs[0]
    return DepthStudy(
        data=first.data,
        scale=first.scale,
        iterations=first.iterations,
        is_cifar=first.declared.data == "cifar10" and default_shortcut(f"resnet{first.depth}") == "A",
        plain=_by_depth([run for run in runs if not run.is_residual]),
        residual=_by_depth([run for run in runs if run.is_residual]),
    )


def _by_depth(runs: Sequence[Measured]) -> tuple[Depth, ...]:
    depths: dict[int, list[Measured]] = {}
    for run in runs:
        depths.setdefault(run.depth or 0, []).append(run)
    return tuple(
        Depth(
            layers,
            statistics.fmean(run.training_error for run in same),
            statistics.fmean(next(iter(run.errors.values())).top1 for run in same),
            len(same),
            sum(run.training_images for run in same),
        )
        for layers, same in ((layers, _one_a_seed(found)) for layers, found in sorted(depths.items()))
    )


def _one_a_seed(runs: Sequence[Measured]) -> list[Measured]:
    """Return a run a seed, of one shortcut option, A where there are any: its networks have their twins' parameters."""
    option = min(run.shortcut or "" for run in runs)
    seeds: dict[int, Measured] = {}
    for run in runs:
        if (run.shortcut or "") == option:
            seeds.setdefault(run.seed, run)
    return list(seeds.values())


def sentence(found: DepthStudy | None) -> str:
    """Return what depth does to the training error of plain and of residual networks, in one sentence."""
    if found is None or not (len(found.plain) > 1 or len(found.residual) > 1):
        return (
            "Degradation is not measured yet: it takes runs of plain and of residual networks, "
            "each at two depths or more."
        )
    plain, residual = (_change(depths) for depths in (found.plain, found.residual))
    if plain is None:
        parts = [f"{_span(found.residual)} the training error of residual networks {residual}", _missing("plain")]
    else:
        rises = plain.startswith("rises")
        verdict = ", which is degradation" if rises else ", and no degradation shows"
        parts = [f"{_span(found.plain)} the training error of plain networks {plain}{verdict}"]
        if residual is None:
            parts.append(_missing("residual"))
        else:
            better = ": more depth trains better" if residual.startswith("falls") else ""
            parts.append(f"that of residual networks, {_span(found.residual)}, {residual}{better}")
            if twins := _twins(found):
                without, with_shortcuts = twins
                errors = f"{with_shortcuts.training:.1f} %, and {without.training:.1f} % plain"
                parts.append(f"at {without.layers} layers it is {errors}")
    return f"{_begin(found)} {'; '.join(parts)}."


def twins_sentence(found: DepthStudy) -> str | None:
    """Return what the errors of a plain network and of its residual twin are, None where there are no such two."""
    twins = _twins(found)
    if twins is None:
        return None
    plain, residual = twins
    return (
        f"{_begin(found)} at {plain.layers} layers the training error is {plain.training:.1f} % plain and "
        f"{residual.training:.1f} % residual, the test error {plain.test:.2f} and {residual.test:.2f} %."
    )


def table(found: DepthStudy | None) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the titles of the columns and the cells of each depth; no rows where nothing can be compared."""
    titles = ("kind", "layers", "training error", "test error", "runs")
    if found is None or not (len(found.plain) > 1 or len(found.residual) > 1):
        return titles, ()
    return titles, [
        (kind, f"{depth.layers}", f"{depth.training:.2f} %", f"{depth.test:.2f} %", f"{depth.seeds}")
        for kind, depths in (("plain", found.plain), ("residual", found.residual))
        for depth in depths
    ]


def _span(depths: Sequence[Depth]) -> str:
    return f"from {depths[0].layers} to {depths[-1].layers} layers"


def _begin(found: DepthStudy) -> str:
    length = f"{found.iterations:,} iterations" + (f", {found.scale} scale" if found.scale != "full" else "")
    return f"Measured on {_NAMES.get(found.data, found.data)} ({length}):"


def _twins(found: DepthStudy) -> tuple[Depth, Depth] | None:
    """Return the deepest plain and residual networks of as many layers."""
    residual = {depth.layers: depth for depth in found.residual}
    both = [(depth, residual[depth.layers]) for depth in found.plain if depth.layers in residual]
    return both[-1] if both else None


def _missing(kind: str) -> str:
    return f"{kind} networks are not measured at two depths yet"


def _change(depths: Sequence[Depth]) -> str | None:
    """Return what the training error does between the least depth and the most, None for a single depth."""
    if len(depths) < 2:
        return None
    first, last = depths[0], depths[-1]
    chance = noise(first.training, first.images, last.training, last.images)
    does = trend(first.training, last.training, max(NOTABLE, chance))
    end = f"{last.training:.1f} %"
    return f"stays at {end}" if does == "stays" else f"{does} from {first.training:.1f} to {end}"


def trend(first: float, last: float, notable: float = NOTABLE) -> Literal["rises", "falls", "stays"]:
    """Return what the training error does from the least depth to the most; less than `notable` points do not count.

    Of plain networks a rise is degradation: a deeper network can compute all that a shallower one can.
    """
    if abs(last - first) < notable:
        return "stays"
    return "rises" if last > first else "falls"
