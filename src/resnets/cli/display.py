"""Progress of runs, a live line in a terminal and plain lines elsewhere, and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape as rich_escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from resnets.cli.output import require_output
from resnets.durations import in_words
from resnets.errors import printable, warn
from resnets.quantities import plural, rate, training_length
from resnets.records.runs import DetectorResult, LocaliserResult, LogLine, Result, RunRecord
from resnets.specs import DetectionRecipe, LocalisationRecipe
from resnets.training.finished_run import FinishedRun
from resnets.training.observers import Observer

if TYPE_CHECKING:
    from resnets.report.single_page import Files
    from resnets.report.wording import Grid

FOLDED = 12  # characters, from which words of a table are folded in a narrow terminal
WIDE = 140  # characters, from which a bar fits next to the numbers
TESTED = {
    "test_error": "test error",
    "validation_error": "validation error",
    "test_map": "test mAP",
    "validation_map": "validation mAP",
}
DAY = 86_400.0  # seconds
PLAIN_SECONDS = 60.0  # between two plain lines, unless there is a test


def escape(text: str) -> str:
    """Return a text as rich shows it literally: its markup, and what would command a terminal, escaped."""
    return rich_escape(printable(text))


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar on standard error if that is a terminal; it is given what is done, of how many if known."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable, redirect_stdout=False) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress_until_done(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar from the first call until all is done; a line a minute where there is no terminal."""
    with ExitStack() as shown:
        bar: Callable[[int, int | None], None] | None = None
        printed_at = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal bar, printed_at
            if bar is None:
                bar = shown.enter_context(progress_of(what))
            bar(done, total)
            if done == total:
                shown.close()  # what comes next has a display of its own
            elif not sys.stderr.isatty() and time.monotonic() - printed_at > PLAIN_SECONDS:
                printed_at = time.monotonic()
                print(f"{what}: {done:,}/{total:,} images", file=sys.stderr, flush=True)

        yield progress


def print_table(
    header: Sequence[str],
    *sections: Iterable[Sequence[str]],
    words: Collection[str] = (),
    title: str = "",
    **options: Any,
) -> None:
    """Print a table of sections of rows; titled columns after the first hold numbers, but for `words`.

    A table may be wider than the terminal: a number is never cut. `options` are those of Rich's `Table`: caption, box.
    """
    table = Table(title=escape(title) or None, title_justify="left", **options)
    for index, name in enumerate(header):
        is_number = bool(index and name and name not in words)
        table.add_column(escape(name), justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for rows in sections:
        for row in rows:
            table.add_row(*map(escape, row))
        table.add_section()
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 1 + sum(3 + _least(column) for column in table.columns))  # lines and spaces
    console.print(table)


def _least(column: Column) -> int:
    """Return the width that a column of a table needs: numbers that of the longest one, words that of a folded one."""
    width = max(Text.from_markup(str(cell)).cell_len for cell in (column.header, *column.cells))
    return width if column.no_wrap else min(width, FOLDED)


def print_lines(what: str, lines: Sequence[str], *, every: bool) -> None:
    """Print how many things an audit found, and a line for each, or for the first ten."""
    print(plural(len(lines), what))
    shown = lines if every else lines[:10]
    for line in shown:
        print(printable(f"  {line}"))
    if len(shown) < len(lines):
        print(f"  and {len(lines) - len(shown):,} more; --all lists them")


def print_grid(grid: Grid) -> None:
    """Print a table of a report."""
    print_table(grid.titles, grid.rows, words=grid.words, title=grid.caption)


def print_analysis(tables: Iterable[Grid], findings: Iterable[str], files: Files, record: str) -> None:
    """Print the tables of an analysis, its findings, and where its files are; `record` is what the JSON file holds."""
    for table in tables:
        print_grid(table)
    for sentence in findings:
        print(sentence)
    print(f"The page: {files.page}; the figure: {files.plot}; {record}: {files.record}")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # for the run, which goes on; else the process would end here


class Display(Observer):
    """An observer that shows iteration, loss, errors, learning rate, images/s and the time left.

    Raises: OSError, when the output is lost.
    """

    def __init__(self) -> None:
        self.output = sys.stdout
        self.console = _Console(highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        self.task: TaskID | None = None
        self.tested: dict[str, float] = {}
        self.printed_at = time.monotonic()

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        recipe, data = run.recipe, run.data
        self.total = recipe.iterations
        self.console.print(
            f"[bold]{run.network.name}[/bold] on {escape(data.name)} ({plural(data.training_images, 'image')}, "
            f"{plural(len(data.classes), 'class')}), recipe {recipe.name}: "
            f"{training_length(self.total, recipe.images, data.training_images)}, seed {run.seed}, "
            f"{run.precision} on {_where(run.provenance[-1].hardware)}"
        )
        for note in notes:
            print(printable(note), file=sys.stderr)
        if self.console.is_terminal:
            text = TextColumn("{task.description}", table_column=Column(no_wrap=True))
            columns = [text, BarColumn()] if self.console.width >= WIDE else [text]
            self.progress = Progress(*columns, console=self.console, transient=True)
            self.task = self.progress.add_task("starting", total=self.total, completed=iteration)
            self.progress.start()
        require_output(self.output)

    def logged(self, line: LogLine) -> None:
        tested = {name: value for name in TESTED if (value := getattr(line, name)) is not None}
        if self.progress is not None and self.task is not None:
            self.tested = tested or self.tested  # the live line keeps showing the last test
            self.progress.update(self.task, completed=line.iteration, description=self._text(line, self.tested))
            if line.iteration == self.total:
                self.console.print(self._text(line, self.tested))
        elif tested or time.monotonic() - self.printed_at > PLAIN_SECONDS:
            self.console.print(self._text(line, tested))
            self.printed_at = time.monotonic()
        require_output(self.output)

    def _text(self, line: LogLine, tested: dict[str, float]) -> str:
        left = (self.total - line.iteration) / line.iteration * line.seconds
        errors = "".join(f"  {TESTED[name]} {value:5.2f} %" for name, value in tested.items())
        return (
            f"{line.iteration:>7,}/{self.total:,}  {in_words(left)} left  loss {line.loss:.4f}  "
            f"training error {line.training_error:5.2f} %{errors}  lr {line.lr:g}  "
            f"{rate(line.images_per_second)} images/s"
        )

    def closed(self) -> None:
        if self.progress is not None:
            self.progress.stop()


def _where(hardware: dict[str, Any]) -> str:
    """Return the device, or the number of processes and the kind of their devices."""
    if "processes" not in hardware:
        return str(hardware["device"])
    return f"{hardware['processes']} processes, each with {hardware['device'].partition(':')[0]}"


class _TimeNeeded(Observer):
    """An observer that prints the estimated time of a run before it starts, and warns of a default over a day.

    Of a detector or a localiser it only warns, since its estimate is a rough one.
    """

    def __init__(self, *, default_length: bool) -> None:
        self.default_length = default_length

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        from resnets.planning.defaults import estimated_seconds

        is_rough = isinstance(run.recipe, DetectionRecipe | LocalisationRecipe)
        if iteration > 0 or (is_rough and not self.default_length):
            return
        if (seconds := estimated_seconds(run)) is None:
            return
        if not is_rough:
            print(f"estimated time: {in_words(seconds)}", flush=True)
        if self.default_length and seconds > DAY:
            warn(
                f"recipe {run.recipe.name}'s {plural(run.recipe.iterations, 'iteration')} take about "
                f"{in_words(seconds)} here; --iterations sets another length"
            )


def displays(*, default_length: bool) -> list[Observer]:
    """Return the observers of a command that trains; a length that was chosen is not commented on."""
    return [Display(), _TimeNeeded(default_length=default_length)]


def print_trained(result: FinishedRun, scores: str) -> None:
    """Print what a command that trains came to: the scores in words, how long it took, and where it is."""
    if result.already_finished:
        print(f"{result.folder} is finished; nothing to do")
    print(
        f"{result.network}: {scores}, after {plural(result.iterations, 'iteration')} in {in_words(result.seconds)} "
        f"({rate(result.images_per_second)} images/s)\n{result.folder}/ holds the weights, the log and result.json"
    )


class ShortDisplay(Observer):
    """An observer for one of several runs: one live line, then one line that stays.

    Where others run at the same time (`at_once`), a line each minute instead of the live one.

    Raises: OSError, when the output is lost.
    """

    def __init__(self, name: str, console: Console, *, at_once: bool = False) -> None:
        self.output = sys.stdout
        self.name, self.console = name, console
        live = console.is_terminal and not at_once
        self.status = console.status(f"{name:<10} starting") if live else None
        self.printed_at = time.monotonic()

    def started(self, run: RunRecord, iteration: int, notes: list[str]) -> None:
        self.total: int = run.recipe.iterations
        for note in notes:
            print(printable(note), file=sys.stderr)
        if self.status is not None:
            self.status.start()
        require_output(self.output)

    def logged(self, line: LogLine) -> None:
        left = (self.total - line.iteration) / line.iteration * line.seconds
        text = (
            f"{self.name:<10} {line.iteration:>5,}/{self.total:,}  training error {line.training_error:5.2f} %  "
            f"{in_words(left)} left"
        )
        if self.status is not None:
            self.status.update(text)
        elif time.monotonic() - self.printed_at > PLAIN_SECONDS:
            self.console.print(text)
            self.printed_at = time.monotonic()
        require_output(self.output)

    def finished(self, result: Result) -> None:
        shown = "the test images are not annotated"
        if isinstance(result, DetectorResult):
            if result.scores.mean_ap is not None:
                shown = f"test mAP {100 * result.scores.mean_ap:5.2f} %"
        elif isinstance(result, LocaliserResult):
            if result.scores.true_class_error is not None:
                shown = f"test localisation error {result.scores.true_class_error:5.2f} %"
        else:
            tested, error = "validation", result.validation_error  # the error that selects is shown
            if error is None:
                tested, error = "test", result.test_error
            shown = f"training error {result.training_error:5.2f} %  {tested} error {error:5.2f} %"
        self.console.print(f"{self.name:<10} {shown}  {in_words(result.seconds)}")

    def closed(self) -> None:
        if self.status is not None:
            self.status.stop()
