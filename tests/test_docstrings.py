"""The tests themselves: each says what it proves."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_each_test_says_what_it_proves() -> None:
    """Every test of the package and of the benchmarks has a docstring."""
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "benchmarks" / "tests").rglob("test_*.py")]
    tests = [
        (file.name, node)
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [f"{name}: {node.name}" for name, node in tests if not ast.get_docstring(node)] == []
