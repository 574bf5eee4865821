"""Build the documentation site into build/site: `make docs`.

    python tools/website/build.py            # build/site
    python tools/website/build.py FOLDER     # FOLDER/site

Sphinx reads FOLDER/site-source, which this writes: README.md as the start page, the pages of docs/, the notebooks as
pages, a page for each command (`commands.py`) and for the calls of each subject (`calls.py`). A link or an anchor that
leads nowhere is an error. No network is used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import calls
import commands
from sphinx.cmd.build import build_main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
PROJECT = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0]) if arguments else ROOT / "build"
    source, site = folder / "site-source", folder / "site"
    for earlier in (source, site):
        shutil.rmtree(earlier, ignore_errors=True)
    write_sources(source)
    options = ["--fail-on-warning", "--quiet", "-c", str(HERE), "-d", str(source / ".doctrees")]
    code = build_main([*options, str(source), str(site)])
    if code == 0:
        print(f"{site}/index.html")
    return code


def write_sources(source: Path) -> None:
    """Write all pages of the site, and copy the images and other files that they lead to."""
    for name, text in {**commands.pages(), **calls.pages()}.items():
        _write(source / name, text)
    guide, notebooks = _guide(), _linked(ROOT / "notebooks" / "README.md")
    pages = ["README.md", *(f"docs/{name}" for name in guide), "notebooks/README.md", *PROJECT]
    for path in (ROOT / name for name in pages):
        _write(source / _page(path), _with_links(path, path.read_text(), source))
    for path in (ROOT / "notebooks" / name for name in notebooks):
        _write(source / _page(path), _with_links(path, _notebook(path), source))
        shutil.copy(path, source / "notebooks")
    with (source / "index.md").open("a") as index:
        for caption, names in (
            ("Guide", [f"docs/{name}" for name in guide if name != "architecture.md"]),
            ("Notebooks", ["notebooks/index", *(f"notebooks/{Path(name).stem}" for name in notebooks)]),
            ("Reference", [f"{folder}/index" for folder in (commands.FOLDER, calls.FOLDER)]),
            ("Project", ["docs/architecture", *PROJECT]),
        ):
            index.write(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n")


def _guide() -> list[str]:
    """Return the pages of docs/ in the order in which the README's list of pages names them."""
    listed = (ROOT / "README.md").read_text().partition("\n## More\n")[2]
    names = list(dict.fromkeys(re.findall(r"\(docs/([\w-]+\.md)", listed)))
    return names + sorted({path.name for path in (ROOT / "docs").glob("*.md")} - set(names))


def _linked(page: Path) -> list[str]:
    """Return the notebooks in the order in which a page links to them."""
    return re.findall(r"\((\w[\w-]*\.ipynb)\)", page.read_text())


def _page(path: Path) -> Path:
    """Return the file that a file of the repository has as a page of the site."""
    name = path.relative_to(ROOT)
    return name.with_name("index.md") if name.name == "README.md" else name.with_suffix(".md")


def _with_links(path: Path, text: str, source: Path) -> str:
    """Return a page's text with its links as the site has them: pages there, copied files, and none to a folder."""

    def on_the_site(link: re.Match[str]) -> str:
        words, name, anchor = link[1], link[2], link[3] or ""
        target = Path(os.path.normpath(path.parent / name))
        if target.is_dir():
            return words
        if target.suffix in (".md", ".ipynb"):
            return f"[{words}]({os.path.relpath(_page(target), _page(path).parent)}{anchor})"
        if target.is_file():
            copy = source / target.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, copy)
        return link[0]

    return LINK.sub(on_the_site, text)


def _notebook(path: Path) -> str:
    """Return a notebook as a page: its text and its code, without outputs, and the notebook to download."""
    cells = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        cells.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, _, rest = cells[0].partition("\n")
    return "\n\n".join([title, f"{{download}}`{path.name}`", rest.strip(), *cells[1:]]) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
