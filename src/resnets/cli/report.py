"""`resnets report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from resnets.cli.output import note


def report(
    results: Annotated[
        list[Path] | None,
        Argument(
            help="Result files of train, reproduce or the benchmarks, or folders of them.", show_default="results/"
        ),
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="Folder for index.html.")] = Path("site"),
    figures: Annotated[
        Path | None, Option(help="Folder for the figures as PNG and PDF files.", show_default="not written")
    ] = None,
    markdown: Annotated[bool, Option("--markdown", help="Print Markdown instead of writing a page.")] = False,
) -> None:
    """Compare your results with the paper's: every table and figure, on one self-contained page."""
    from resnets.quantities import plural
    from resnets.report import write as reporting

    made = reporting.write_report(results or (), out=None if markdown else out, figures=figures)
    for problem in made.problems:
        note(problem)
    if markdown:
        print(made.markdown, end="")
        return
    rows = ", ".join(f"{number} {status}" for status, number in made.counts.items())
    print(f"{plural(made.runs, 'run')}; rows of the paper's tables: {rows}")
    print(made.sentence)
    for kind, layers, training, test, _ in made.depths:
        print(f"  {kind:<8} {layers:>4} layers  training error {training:>7}  test error {test:>7}")
    print(f"The page: {made.page}")
    if figures is not None:
        print(f"The figures: {plural(len(made.figures), 'file')} in {figures}")
