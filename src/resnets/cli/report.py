"""`resnets report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def report(
    results: Annotated[
        list[Path] | None,
        Argument(
            help="Files that train, reproduce or the benchmarks wrote, or folders of them.", show_default="results/"
        ),
    ] = None,
    out: Annotated[Path, Option("--out", "-o", help="The folder that index.html goes to.")] = Path("site"),
    markdown: Annotated[bool, Option("--markdown", help="Print Markdown instead; no page is written.")] = False,
) -> None:
    """Show what was measured beside what the paper printed: every table and figure, on one page that stands alone."""
    import sys

    from resnets.report import write as reporting

    made = reporting.write_report(results or (), out=None if markdown else out)
    for problem in made.problems:
        print(f"resnets: note: {problem}", file=sys.stderr)
    if markdown:
        print(made.markdown, end="")
        return
    rows = ", ".join(f"{number} {status}" for status, number in made.counts.items())
    print(f"{made.runs} run{'' if made.runs == 1 else 's'}; rows of the paper's tables: {rows}")
    print(made.sentence)
    for kind, layers, training, test, _ in made.depths:
        print(f"  {kind:<8} {layers:>4} layers  training error {training:>7}  test error {test:>7}")
    print(f"The page: {made.page}")
