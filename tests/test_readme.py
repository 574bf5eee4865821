"""What README.md and docs/ show is what a user gets: examples run, generated parts are fresh, names exist."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from resnets.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page: page.read_text() for page in PAGES}
README = TEXTS[PAGES[0]]
PENDING: set[str] = set()  # in docs/architecture.md, and not in the package yet


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples: the README's in their order and in one namespace, then each page's in one of its own."""
    examples = {page: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for page, text in TEXTS.items()}
    assert examples[PAGES[0]] and sum(map(len, examples.values())) >= 5
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "none")  # a reader waits for torch.compile; the test of the README need not
    for page, blocks in examples.items():
        names: dict[str, object] = {}
        for block in blocks:
            exec(compile(re.sub(r"iterations=\d+", "iterations=2", block), page.name, "exec"), names)
    assert (tmp_path / "runs" / "digits" / "result.json").exists()


def test_generated_parts_and_plots_are_fresh() -> None:
    """What `make docs` writes is what is committed, and no plot is larger than 100 kB."""
    outputs = runpy.run_path(str(ROOT / "tools" / "docs.py"))["outputs"]()
    stale = [path.name for path, is_stale, _ in outputs if is_stale]
    assert not stale, "`make docs` writes them"
    assert all(path.stat().st_size < 100_000 for path, _, _ in outputs if path.suffix == ".png")


def commands(text: str) -> Iterator[tuple[Any, list[str]]]:
    """Yield each command of `resnets` that a page names, in a block or in a sentence, with the options it is given."""
    text = re.sub(r"\\\n\s*", " ", text)
    lines = re.findall(r"^(?:\$ |  )?(?:torchrun .* -m )?resnets ([a-z].*)", text, re.MULTILINE)
    quoted = re.findall(r"`resnets ([a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    program: Any = get_command(app)
    for words in (found.split("  #")[0].split() for found in (*lines, *quoted)):
        command = program
        while subcommands := getattr(command, "commands", {}):
            assert words[0] in subcommands, f"resnets {words[0]}"
            command = subcommands[words.pop(0)]
        yield command, [word for word in words if re.fullmatch(r"-[a-z]|--[a-z-]+", word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_command_option_and_file_exists(page: Path) -> None:
    """Commands, options, modules, links and anchors of a page exist."""
    for command, options in commands(TEXTS[page]):
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert set(options) <= known | {"--help"}, command.name
    for module in re.findall(r"^python -m ([a-z]+)", TEXTS[page], re.MULTILINE):
        assert (ROOT / module / "__main__.py").exists()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXTS[page]):
        assert (page.parent / link).exists(), link
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", TEXTS[page]):
        assert anchor in anchors((page.parent / link if link else page).read_text()), anchor


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_modules_that_pages_name_exist() -> None:
    """`training/step.py` is below src/resnets/ or the root; `resnets.train(...)` is public."""
    import resnets

    for text in TEXTS.values():
        for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text):
            assert name in PENDING or any((base / name).exists() for base in (ROOT / "src/resnets", ROOT)), name
        for name in re.findall(r"\bresnets\.([a-z_]+)\(", text):
            assert name in resnets.__all__, name


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    """The README has at most 250 lines, and its links lead to every page of docs/, some by way of another page."""
    assert len(README.splitlines()) <= 250
    linked, todo = set[str](), re.findall(r"\]\(docs/([^)#:]+\.md)", README)
    while todo:
        if (name := todo.pop()) not in linked:
            linked.add(name)
            todo += re.findall(r"\]\(([^)#:/]+\.md)", TEXTS[ROOT / "docs" / name])
    assert linked == {page.name for page in PAGES[1:]}
