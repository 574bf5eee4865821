"""The page holds everything, alone, well-formed, and the same twice; the Markdown holds what was measured."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import made_up as results
import pytest

import resnets
from resnets import pages
from resnets.cli import run
from resnets.errors import UsageError
from resnets.paper.figures import FIGURES
from resnets.paper.tables import TABLES
from resnets.report import page, paper_figures
from resnets.report.collect import collect
from resnets.report.verdict import Status
from resnets.report.view import View

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and gathers what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.columns: list[list[int]] = []  # cells of the body's rows, table by table
        self.loads: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"] or "")
        if tag == "a" and (found.get("href") or "").startswith(("#", "data:")):
            self.links.append(found["href"] or "")
        elif found.get("href") and tag != "a" and not (found["href"] or "").startswith(("#", "data:")):
            self.loads.append(found["href"] or "")
        if "src" in found:
            self.loads.append(found["src"] or "")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.columns.append([])
        if tag == "tr" and "tbody" in self.open:
            self.columns[-1].append(0)
        if tag in ("td", "th") and "tbody" in self.open:
            self.columns[-1][-1] += 1

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:], self.getpos())
        self.open.pop()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    """What results of each kind come to."""
    folder = results.everything(tmp_path_factory.mktemp("made") / "results")
    (folder / "unknown.json").write_text('{"<b>": 1}')
    return View.of(collect([folder]))


@pytest.fixture(scope="module")
def text(view: View) -> str:
    return page.render(view)


def test_it_is_well_formed_and_complete(text: str) -> None:
    """Elements, ids, links, headings and table rows are consistent, and each table and figure is there."""
    parsed = Page(text)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {*TABLES, *FIGURES} <= set(parsed.ids)
    for link in parsed.links:
        assert link.startswith("data:") or link[1:] in parsed.ids, link
    assert parsed.headings[0] == 1 and parsed.headings.count(1) == 1
    for before, after in zip(parsed.headings, parsed.headings[1:], strict=False):
        assert after <= before + 1
    for rows in parsed.columns:
        assert len(set(rows)) == 1  # so that sorting finds a column


def test_it_stands_alone(view: View, text: str) -> None:
    """The page loads nothing, is under 2 MB, and is the same text each time."""
    assert Page(text).loads == []
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "@import" not in text and "url(http" not in text
    assert len(text.encode()) < 2_000_000
    assert page.render(view) == text


def test_every_status_is_a_word(view: View, text: str) -> None:
    """Each status that occurs is shown as a word, with its meaning."""
    assert {*Status} - view.counts.keys() <= {Status.NOT_JUDGED, Status.BETTER, Status.COUNTED}
    for status in view.counts:
        assert f"</span> {status}</span>" in text
        assert html.escape(status.meaning).replace("&#x27;", "&#39;") in text


def test_published_and_measured_are_side_by_side(text: str) -> None:
    """A row has the published number, ours, their difference and the verdict."""
    rows = [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL)]
    (twenty,) = (row for row in rows if "ResNet, 20 layers" in row)
    assert re.search(r"8\.75\s+9\.90", twenty) and "+1.15" in twenty and "differs" in twenty
    (many,) = (row for row in rows if "ResNet, 110 layers" in row)
    assert "6.61" in many and "6.70 ± 0.16" in many and "reproduced" in many
    assert "short: 4,000 of 64,000 iterations" in " ".join(rows)


def test_figure_7_warns_of_responses_that_a_few_images_dominate() -> None:
    """Only of networks whose median image is known to respond less than half as strongly."""
    runs = [
        results.reproduced(results.result(network, 9.0), responses=layers)
        for network, layers in (
            ("resnet20", results.responses(19, 3.0, median=0.5)),
            ("resnet56", results.responses(55, 3.0, median=2.0)),
            ("plain20", results.responses(19, 3.0)),
        )
    ]
    text = page.render(View.of(results.collected(*runs)))
    assert re.findall("A few images dominate the responses of ([^:]*):", text) == ["ResNet-20"]


def test_what_the_page_says_besides(text: str) -> None:
    """Findings, choices, provenance, benchmarks and unread files are on the page, with file contents escaped."""
    for words in (
        "this is degradation",
        "What the paper leaves open here",
        "mean image is of 10,000 training photos",
        "2f0858b1096ed838142781b4021238a3dfe6e0e1",
        "CIFAR baseline",
        "Files that are not shown",
        "results/unknown.json: not shown",
    ):
        assert words in text, words
    assert "<b>&" not in text and "'<b>'" not in text  # a file's content is escaped


def test_the_drawings_take_the_page_s_colours(view: View, text: str) -> None:
    """Each plot is a drawing without colours of its own."""
    drawings = re.findall(r"<svg aria-hidden.*?</svg>", text, re.DOTALL)
    plots = sum(len(row) for figure in view.figures for row in figure.drawings)
    assert len([one for one in drawings if "<defs>" in one]) == plots + 1  # and the depths
    for one in drawings:
        assert not re.search(r"(stroke|fill): #[0-9a-f]{6}", one)
    assert text.count("var(--series-1)") > 10


def test_the_downloads_hold_the_numbers(text: str) -> None:
    """The CSV and JSON files in the page have the numbers that it shows."""
    links = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', text))
    lines = list(csv.DictReader(io.StringIO(base64.b64decode(links["table6.csv"]).decode())))
    (error,) = (line for line in lines if (line["row"], line["column"]) == ("ResNet, 20 layers", "error"))
    assert (error["published"], error["measured"], error["status"]) == ("8.75", "9.9", "differs")
    curves = list(csv.DictReader(io.StringIO(base64.b64decode(links["figure6.csv"]).decode())))
    assert {line["source"] for line in curves} == {"paper", "ours"}
    everything = json.loads(base64.b64decode(links["resnets-report.json"]))
    assert set(everything["tables"]) == set(TABLES)


def test_nothing_measured_is_a_page_too(tmp_path: Path) -> None:
    """Costs alone: each figure says that nothing is measured, and draws nothing."""
    only = collect([results.write(tmp_path / "r", costs=results.COSTS)])
    text = page.render(View.of(only))
    assert Page(text).open == []
    assert text.count("Nothing of it is measured yet") == len(FIGURES)
    assert "<defs>" not in text
    assert "Degradation is not measured yet" in text and "No run is among the results" in text


def test_words_can_be_read_on_their_colours() -> None:
    """Contrast of 4.5 or more, light and dark: of statuses, of text and of links."""
    css = (Path(pages.__file__).parent / "templates" / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in blocks)
    pairs = [(name, f"{name}-wash") for name in ("good", "best", "bad", "part", "seen", "idle", "cite")]
    pairs += [(text, ground) for text in ("ink", "soft", "accent") for ground in ("page", "card")]
    for colours in (light, light | dark):
        for text, ground in pairs:
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for number in range(1, 7):
            assert _contrast(colours[f"series-{number}"], colours["card"]) >= 3, number  # of a line


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# ---------------------------------------------------------------- the command and the call


def test_the_command_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name it takes results/ of the current folder."""
    results.write(tmp_path / "results", one=results.result("resnet20", 8.8), odd=[])
    monkeypatch.chdir(tmp_path)
    assert run(["report"]) == 0
    captured = capsys.readouterr()
    assert "1 run; rows of the paper's tables: 1 reproduced" in captured.out
    assert captured.err.startswith("resnets: note: results/odd.json: not shown")
    assert (tmp_path / "site" / "index.html").read_text().startswith("<!doctype html>")


def test_the_markdown_is_compact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Markdown on standard output has what was measured, and no page is written."""
    folder = results.write(tmp_path / "results", one=results.result("resnet20", 16.7, iterations=4000))
    assert run(["report", str(folder), "--markdown", "--out", str(tmp_path / "site")]) == 0
    out = capsys.readouterr().out
    status = "◐ reduced (short: 4,000 of 64,000 iterations)"
    assert f"| ResNet, 20 layers | error | 8.75 | 16.70 | +7.95 | 1 | {status} |" in out
    assert "Table 6." in out and "Table 7." not in out
    assert not (tmp_path / "site").exists()


def test_counts_that_agree_have_no_line(tmp_path: Path) -> None:
    """Of costs the Markdown shows multiply-adds and what differs; the rest is one sentence."""
    folder = results.write(tmp_path / "results", costs=results.COSTS)
    text = resnets.write_report(folder, out=None).markdown
    assert "| 18-layer | FLOPs | 1.8e9 | 1.814e9 | +0.8 % |  | = counted |" in text
    assert "| 18-layer | conv5_x, 7x7 |" in text and "conv4_x" not in text
    assert "Layers and parameters are as the paper prints them in 1 row." in text
    assert "Table 6" not in text  # nothing of it is measured but layers and parameters


def test_nothing_found_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that does not exist and a folder without results are errors."""
    assert run(["report", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        resnets.write_report(tmp_path)


def test_the_call_returns_what_it_found(tmp_path: Path) -> None:
    """The call returns the page's path, the counts of verdicts and the Markdown."""
    folder = results.write(tmp_path / "results", one=results.result("resnet20", 8.8))
    made = resnets.write_report(folder, out=tmp_path / "out")
    assert made.page == tmp_path / "out" / "index.html" and made.page.exists()
    assert (made.counts["reproduced"], made.runs, made.problems) == (1, 1, ())
    assert "Table 6" in made.markdown
    assert resnets.write_report([folder / "one.json"], out=None).page is None


def test_the_figures_are_files_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each figure that has measurements is a PNG and a PDF file, one more for each other length of its runs."""
    folder = results.everything(tmp_path / "results")
    assert run(["report", str(folder), "--out", str(tmp_path / "site"), "--figures", str(tmp_path / "plots")]) == 0
    written = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert {"depth.png", "depth.pdf", "figure6.png", "figure6.pdf", "figure7.png", "figure7.pdf"} <= set(written)
    assert f"{len(written)} files in {tmp_path / 'plots'}" in capsys.readouterr().out
    assert (tmp_path / "plots" / "figure6.pdf").read_bytes().startswith(b"%PDF")


def test_a_figure_s_legend_names_what_is_drawn(view: View) -> None:
    """As a file a figure has a legend: its networks that have a run, each with its kind of line, and the readings."""
    figure = next(one for one in view.figures if one.figure.name == "figure6")
    drawn = {one.curve.label for drawing in figure.drawings[0] for one, _ in drawing.runs}
    (legend,) = paper_figures.draw_row(figure, figure.drawings[0]).legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert set(labels) - drawn == {"training error", "test error", "the paper's figure"} and drawn < set(labels)
    assert len(labels) == len(set(labels))
