"""`compare`: runs side by side on one page: their curves, their errors with intervals, and the settings that differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.durations import in_words
from resnets.errors import RunError, UsageError, public
from resnets.quantities import plural
from resnets.records import base
from resnets.records.counts import Interval, noise, wilson
from resnets.records.evaluations import ReproducedRun
from resnets.records.runs import ClassifierResult
from resnets.report import plots, single_page
from resnets.report.single_page import Files, PageText, Panel
from resnets.report.wording import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "comparison"
LONGEST = 24  # characters of a setting that are shown whole
DERIVED = ("kind", "name", "type", "depth", "block", "blocks")  # of a network's spec, which its name says
CAUTIONS = (
    "An interval is of the test images alone, with 95 % confidence. Errors also vary with the seed: compare several.",
    "Training error is of the augmented images since the last but one test.",
)


@dataclass(frozen=True)
class Compared:
    """A finished run, its label, and the interval of its test error."""

    label: str
    result: ClassifierResult

    @property
    def interval(self) -> Interval:
        return wilson(self.result.test_error, self.result.test_samples)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The runs in their order, a sentence for each but the best, and the settings that differ: by name, of each run."""

    runs: tuple[Compared, ...]
    sentences: tuple[str, ...]
    differences: dict[str, tuple[str, ...]]
    page: Path
    plot: Path

    @property
    def errors(self) -> Grid:
        """The errors of the runs, their length and their time."""
        return _errors(self.runs)


@public
def compare(runs: Iterable[str | Path], *, out: str | Path = NAME) -> Comparison:
    """Compare finished runs, and write `out`/comparison.html and comparison.png.

    Args:
        runs: two or more folders of runs, or result files of `train` or `reproduce`.
        out: folder for the page and its figure.

    Raises: UsageError, if there are fewer than two; RunError, if one is not a finished run of a classifier, or the page
        cannot be written.
    """
    paths = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    if len(paths) < 2:
        raise UsageError(f"{plural(len(paths), 'run')} given; name two or more to compare")
    results = [_read(path) for path in paths]
    compared = tuple(Compared(*pair) for pair in zip(_labels(paths), results, strict=True))
    sentences, differences = tuple(_sentences(compared)), _differences(results)
    files = Files.of(Path(out), NAME)
    settings = Grid(
        titles=("setting", *(run.label for run in compared)),
        rows=[(name, *values) for name, values in differences.items()],
        caption="Settings that differ" if differences else "No setting differs",
    )
    text = PageText(
        title="Runs compared",
        headline=sentences[0],
        sentences=sentences[1:],
        cautions=CAUTIONS,
        note=f"On {', '.join(dict.fromkeys(run.result.run.data.in_words() for run in compared))}; "
        f"{single_page.origin(results[0].run.provenance[-1])}.",
    )
    panels = [
        Panel(
            partial(_draw, compared, split),
            f"{split.capitalize()} error over the iterations; the table below has the last ones.",
        )
        for split in ("training", "tested")
    ]
    single_page.draw(files.plot, files.page, text, panels, [_errors(compared), settings])
    return Comparison(runs=compared, sentences=sentences, differences=differences, page=files.page, plot=files.plot)


def _read(path: Path) -> ClassifierResult:
    file = path / "result.json" if path.is_dir() else path
    record = base.read(file, ClassifierResult | ReproducedRun)  # type: ignore[arg-type]
    result = record.result if isinstance(record, ReproducedRun) else record
    if not isinstance(result, ClassifierResult):
        raise RunError(f"{path}: no finished run of a classifier; name a folder with result.json, or such a file")
    return result


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths by which they differ: the names of the folders, where those do."""
    paths = [path.with_suffix("") if path.suffix == ".json" else path for path in paths]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        labels = [str(Path(*path.parts[-parts:])) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{path} ({number})" for number, path in enumerate(paths, 1)]  # one was named twice


# ---------------------------------------------------------------- what differs


def _sentences(runs: Sequence[Compared]) -> Iterator[str]:
    """Yield which run has the lowest test error, and for each other one whether it differs by more than chance."""
    best = min(runs, key=lambda run: run.result.test_error)
    yield f"The lowest test error is {best.result.test_error:.2f} %, of {best.label}."
    for run in runs:
        if run is best:
            continue
        gap = run.result.test_error - best.result.test_error
        same = _same_images(run.result, best.result)
        if not same:
            error = f"{run.result.test_error:.2f} %"
            yield (
                f"It is not known whether {run.label} is on the same images, so its {error} may be no comparison."
                if same is None
                else f"{run.label} is on other images, so its {error} is no comparison."
            )
            continue
        chance = noise(best.result.test_error, best.result.test_samples, run.result.test_error, run.result.test_samples)
        verdict = f"{'more than' if gap > chance else 'within'} chance on this number of images"
        yield f"{run.label} is {gap:.2f} points above it: {verdict} ({chance:.2f} points)."


def _differences(results: Sequence[ClassifierResult]) -> dict[str, tuple[str, ...]]:
    """Return the settings in which the runs differ, by name, with their values."""
    settings = [dict(_settings(result)) for result in results]
    names = dict.fromkeys(name for one in settings for name in one)
    found = {name: [one.get(name) for one in settings] for name in names}
    return {name: _shown(values) for name, values in found.items() if any(value != values[0] for value in values)}


def _same_images(one: ClassifierResult, other: ClassifierResult) -> bool | None:
    """Return whether two runs were tested on the same images, None where that is not known.

    Networks may read the same photos at other sizes, or in grey. Of dataset objects it is by what is known of them.
    """
    first, second = one.run.data, other.run.data
    if (len(first.classes), one.test_samples) != (len(second.classes), other.test_samples):
        return False
    if first.digest is None and second.digest is None:
        return (first.name, first.classes) == (second.name, second.classes)
    if first.digest == second.digest:
        return True
    sources = (first.source_digest, second.source_digest)
    return None if None in sources else sources[0] == sources[1]


def _settings(result: ClassifierResult) -> Iterator[tuple[str, Any]]:
    """Yield all that makes a run what it is, and the versions and the hardware of its last session."""
    identity, last = result.run.identity(), result.run.provenance[-1]
    network = identity["network"]
    network["spec"] = {name: value for name, value in (network["spec"] or {}).items() if name not in DERIVED}
    yield from _flat(identity)
    yield from _flat({"versions": last.versions, "hardware": last.hardware})


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}".replace("network.spec.", "network."), value


def _shown(values: Sequence[object]) -> tuple[str, ...]:
    """Return values as texts, long ones cut so that what differs is seen."""
    texts = [_text(value) for value in values]
    same = next((place for place, characters in enumerate(zip(*texts, strict=False)) if len({*characters}) > 1), 0)
    start = same - 8 if same >= LONGEST - 4 else 0
    return tuple(_cut(text, start) if len(text) > LONGEST else text for text in texts)


def _text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _cut(text: str, start: int) -> str:
    shown = text[start : start + LONGEST - 4]
    return f"{'...' if start else ''}{shown}{'...' if start + len(shown) < len(text) else ''}"


# ---------------------------------------------------------------- numbers and curves


def _errors(runs: Sequence[Compared]) -> Grid:
    return Grid(
        titles=("run", "network", "test error", "95 % interval", "training error", "iterations", "time"),
        rows=[
            (
                run.label,
                run.result.run.network.name,
                f"{run.result.test_error:.2f} %",
                f"{run.interval[0]:.2f} to {run.interval[1]:.2f} %",
                f"{run.result.training_error:.2f} %",
                f"{run.result.run.recipe.iterations:,}",
                in_words(run.result.seconds),
            )
            for run in runs
        ],
        caption="Errors at the last iteration",
    )


def _draw(runs: Sequence[Compared], split: str, axes: Axes) -> None:
    kinds = set()
    for number, run in enumerate(runs):
        colour, style = plots.SERIES[number % len(plots.SERIES)], ("-", "--", ":")[number // len(plots.SERIES) % 3]
        points = []
        for point in run.result.curve:
            tested = point.test_error if point.validation_error is None else point.validation_error
            kinds.add("test" if point.validation_error is None else "validation")
            value = point.training_error if split == "training" else tested
            if value is not None:
                points.append((point.iteration, value))
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.6, label=run.label)
    kind = " and ".join(sorted(kinds)) if split == "tested" else split
    axes.set(title=f"{kind} error", xlabel="iterations", ylabel="error (%)")
    axes.set_ylim(bottom=0)
    if split == "training":
        plots.legend(axes)
