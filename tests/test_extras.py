"""Optional dependencies: what is reported where one is missing."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

import resnets
from resnets.errors import import_extra

ROOT = Path(__file__).parents[1]
TEXTS = {path: path.read_text() for path in sorted((ROOT / "src" / "resnets").rglob("*.py"))}


def test_a_missing_package_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a module of the package is imported."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "onnx.checker", raising=False)
    for module in ("onnx", "onnx.checker"):
        with pytest.raises(resnets.UsageError, match=r"onnx.* pip install 'resnets\[export\]'"):
            import_extra(module, "export")


def test_the_report_has_one_form() -> None:
    """The command that installs an extra is written once, and no module words it in its own way."""
    assert [path.name for path, text in TEXTS.items() if "pip install 'resnets[" in text] == ["errors.py"]


def test_each_extra_that_is_named_is_declared() -> None:
    """What the package asks for is an extra of pyproject.toml."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    calls = (re.findall(r"(?:import|missing)_extra\([^()]*, \"(\w+)\"\)", text) for text in TEXTS.values())
    named = {extra for found in calls for extra in found}
    assert {"export", "inference", "detection"} <= named <= set(extras)
