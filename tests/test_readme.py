"""What README.md and docs/ show is what a user gets: Python examples run, tables are those of the commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resnets.cli import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples: the README's in their order and in one namespace, then each page's in one of its own."""
    examples = {page: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) for page in PAGES}
    assert len(examples[PAGES[0]]) >= 3 and sum(map(len, examples.values())) >= 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "none")  # a reader waits for torch.compile; the test of the README need not
    for page, blocks in examples.items():
        names: dict[str, object] = {}
        for block in blocks:
            exec(compile(block, page.name, "exec"), names)
    assert (tmp_path / "runs" / "digits" / "result.json").exists()


def test_the_table_of_networks_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`resnets list --markdown` prints what stands between the two marks."""
    table = re.search(r"<!-- resnets list --markdown -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert table is not None
    assert run(["list", "--markdown"]) == 0
    assert capsys.readouterr().out == table[1]


def test_the_results_are_those_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """`resnets report --markdown` prints what stands between the two marks, from the committed results."""
    shown = re.search(r"<!-- resnets report --markdown -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert shown is not None
    assert run(["report", str(ROOT / "results"), "--markdown"]) == 0
    assert capsys.readouterr().out == shown[1]


def test_the_shown_network_is_that_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = re.search(r"```\n\$ resnets info resnet34\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert run(["info", "resnet34"]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown[1].splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_command_and_file_exists(page: Path) -> None:
    from resnets.cli import app

    known = {command.name for command in (*app.registered_commands, *app.registered_groups)}
    text = page.read_text()
    named = set(re.findall(r"^\$? ?(?:torchrun .* -m )?resnets ([a-z]+)", text, re.MULTILINE))
    modules = set(re.findall(r"^python -m ([a-z]+)", text, re.MULTILINE))
    assert named or modules or "```python" in text
    assert named <= known
    assert all((ROOT / module / "__main__.py").exists() for module in modules)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(docs/([^)#:]+\.md)\)", README))
    assert linked == {page.name for page in PAGES[1:]}
