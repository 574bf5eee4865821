"""The report as Markdown, for a README: what was measured, and nothing that was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnets.report import depth, ensembles, seeds, wording
from resnets.report.comparison import EXACT, Cell, ComparedRow, ComparedTable
from resnets.report.content import Content, count


def render(content: Content) -> str:
    """Return what depth did, each measured table, seeds, ensembles, speed, and where the numbers come from."""
    blocks = [content.sentence, "\n".join(_depths(content)), *content.more_sentences]
    blocks += ["\n".join(_table(table)) for table in content.tables if any(map(shown, table.rows))]
    blocks += ["\n".join(_seeds(content)), "\n".join(_ensembles(content))]
    if content.results.benchmarks:
        blocks.append("\n".join(_speed(content)))
    blocks.append(_machines(content))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _depths(content: Content) -> Iterator[str]:
    titles, rows = depth.table(content.study)
    yield from _grid(titles, "|---|--:|--:|--:|--:|", rows)


def _grid(titles: Sequence[str], alignment: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table's lines, none where it has no rows."""
    if rows:
        yield f"| {' | '.join(titles)} |"
        yield alignment
    for cells in rows:
        yield f"| {' | '.join(map(_escape, cells))} |"


def _table(table: ComparedTable) -> Iterator[str]:
    declared = table.table
    yield f"**Table {declared.name.removeprefix('table')}. {declared.title}**"
    yield ""
    yield "| | | published | measured | difference | runs | status |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for row in table.rows:
        for cell in shown(row):
            yield f"| {' | '.join(map(_escape, _cells(row, cell)))} |"
    rest = [row for row in table.rows if not shown(row)]
    built = sum(any(map(_is_as_printed, row.cells)) for row in table.rows)
    notes = []
    if built:
        notes.append(f"Layers and parameters are as the paper prints them in {built} row{'s' if built > 1 else ''}.")
    if rest:
        counts = count(row.verdict.status for row in rest)
        notes.append(f"The other rows: {', '.join(f'{number} {status}' for status, number in counts.items())}.")
    if notes:
        yield ""
        yield " ".join(notes)


def shown(row: ComparedRow) -> list[Cell]:
    """Return the cells that have a line: what is measured beside a published number, but for counts that agree."""
    return [
        cell
        for cell in row.cells
        if cell.is_measured and (cell.published or cell.published_text) and not _is_as_printed(cell)
    ]


def _is_as_printed(cell: Cell) -> bool:
    return cell.column.measure in ("layers", "depth", "parameters") and cell.verdict.status == "reproduced"


def _cells(row: ComparedRow, cell: Cell) -> tuple[str, ...]:
    verdict = cell.verdict
    status = f"{wording.MARKS[verdict.status]} {verdict.status}"
    exact = cell.column.measure in EXACT
    return (
        row.row.label,
        cell.column.name,
        wording.paper(cell),
        wording.ours(cell),
        wording.difference(cell),
        "" if exact else str(len(cell.values)),
        f"{status} ({verdict.why})" if verdict.status in ("reduced", "differs") else status,
    )


def _seeds(content: Content) -> Iterator[str]:
    rows = seeds.table(content.results.runs)
    if rows:
        yield "**Several seeds: means and deviations, errors in percent**"
        yield ""
    yield from _grid(seeds.TITLES, "|---|---|---|--:|---|--:|--:|--:|", rows)


def _ensembles(content: Content) -> Iterator[str]:
    rows = ensembles.table(content.results.ensembles)
    if rows:
        yield "**Ensembles, errors in percent, with 95 % intervals**"
        yield ""
    yield from _grid(ensembles.TITLES, "|---|---|---|--:|--:|--:|--:|", rows)


def _speed(content: Content) -> Iterator[str]:
    yield "**Speed, ours beside the peers'**"
    yield ""
    yield "| | over | ours | theirs | ratio (range) | target |"
    yield "|---|---|--:|--:|--:|---|"
    for benchmark in content.results.benchmarks:
        for one in benchmark.comparisons:
            if one.theirs is not None and one.ratio is not None:
                unit = "" if one.is_memory else " images/s"
                ours, theirs = (wording.quantity(value, one.quantity) + unit for value in (one.ours, one.theirs))
                spread = f"{one.ratio:.2f} ({one.lowest:.2f} to {one.highest:.2f})"
                what = f"{one.what}{', peak memory' if one.is_memory else ''}"
                target = "" if one.at_least is None else f"{one.at_least:g}: {(one.verdict or '').lower()}"
                yield f"| {' | '.join(map(_escape, (what, one.over or '', ours, theirs, spread, target)))} |"


def _machines(content: Content) -> str:
    runs = (*content.results.runs, *content.results.detectors)
    if not runs:
        return ""
    hardware = [one.get("hardware", {}) for run in runs for one in run.provenance]
    machines = dict.fromkeys(str(one.get("gpu") or one.get("processor", "an unknown machine")) for one in hardware)
    seconds = wording.duration(sum(run.seconds for run in runs))
    count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    return f"{count}, {seconds} in all, on {' and '.join(machines)}; `resnets report` makes a page of them."


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
