"""Tests of `resnets doctor` and of shell completion."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import resnets
from resnets.cli import run


def test_names_versions_devices_extras_and_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each section has its facts; the cache is the one that $RESNETS_CACHE names, with its size."""
    (tmp_path / "weights").write_bytes(bytes(3_000_000))
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path))
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == resnets.doctor()
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["cpu"]["bf16"].startswith(("native", "not native"))
    assert found["gpus"]
    assert found["cache"]["folder"] == str(tmp_path)
    assert found["cache"]["size"].startswith("3")  # and the compiled kernels
    assert found["environment"]["RESNETS_CACHE"] == str(tmp_path)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the variable is of x86 processors")
def test_a_processor_whose_bf16_onednn_may_not_use_has_none() -> None:
    """So that one can see what `auto` does, and how fast, on a processor without bf16."""
    program = [sys.executable, "-m", "resnets", "doctor", "--json"]
    found = subprocess.run(program, env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}, capture_output=True, check=True)
    assert json.loads(found.stdout)["cpu"]["bf16"].startswith("not native")


def test_a_missing_package_comes_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra lists its packages' versions, or which is missing; that of developers is not one for users."""
    version = metadata.version

    def without_openvino(package: str) -> str:
        if package == "openvino":
            raise metadata.PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(metadata, "version", without_openvino)
    extras = resnets.doctor()["extras"]
    assert extras["inference"] == "openvino is not installed: pip install 'resnets[inference]'"
    assert extras["detection"] == f"defusedxml {version('defusedxml')}, pycocotools {version('pycocotools')}"
    assert "dev" not in extras


def test_text_is_one_line_for_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    """To be pasted into an issue: no tables, no colours."""
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("versions\n  resnets ")
    assert "\x1b" not in out


def test_a_cache_that_is_not_there_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is made by looking."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "a" / "b"))
    assert "not made yet" in resnets.doctor()["cache"]["folder"]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("typed", "completed"), [("resnets tr", "train"), ("resnets train --rec", "--recipe")])
def test_shells_complete_commands_and_options(
    typed: str, completed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As bash asks for it."""
    asking = {"_RESNETS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    for name, value in asking.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        run([])
    assert completed in capsys.readouterr().out.split()
