"""Build the wheel and the sdist into dist/, verify them, and try the wheel as those who install it: `make dist`.

    python tools/dist.py            # some minutes
    python tools/dist.py --no-try   # what is in the files alone, in seconds

The wheel has the files that git tracks below src/resnets, and no others; the sdist has all that git tracks, and builds
the same wheel. The metadata is valid, and the README is its description. The wheel is then installed, with the versions
of requirements.lock and without extras, into a new environment outside of the checkout, where `try_wheel.py` runs. The
first failure ends this with exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SOURCES = "src/"


class Failed(Exception):
    """A step that failed; the message says what was found."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-try", action="store_true", help="verify the files, and install nothing")
    options = parser.parse_args(arguments)
    try:
        with step("wheel and sdist are built"):
            wheel, sdist = build()
        with step("the wheel has the files of the package"):
            verify_wheel(wheel)
        with step("the sdist has the files of the repository, and builds the same wheel"):
            verify_sdist(sdist, wheel)
        with step("metadata and README are valid"):
            verify_metadata(wheel)
        if not options.no_try:
            install_and_try(wheel)
    except Failed as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 1
    for file in (wheel, sdist):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1e6:.1f} MB")
    return 0


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Print what was done, with its time."""
    start = time.monotonic()
    yield
    print(f"ok: {what} ({time.monotonic() - start:.1f} s)", flush=True)


def build() -> tuple[Path, Path]:
    """Return the wheel, which is built from the sdist, and the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(tool("uv"), "build", "--quiet", "--out-dir", DIST, ROOT)
    return next(DIST.glob("*.whl")), next(DIST.glob("*.tar.gz"))


def verify_wheel(wheel: Path) -> None:
    expected = {name.removeprefix(SOURCES): (ROOT / name).read_bytes() for name in tracked(f"{SOURCES}resnets")}
    require_same(f"{wheel.name}, compared with what git tracks", contents(wheel, "resnets/"), expected)
    run(tool("check-wheel-contents"), wheel)


def verify_sdist(sdist: Path, wheel: Path) -> None:
    """Compare the sdist with git, and the wheel, which was built from it, with one that is built from the checkout."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    require_same(
        f"{sdist.name}, compared with what git tracks", dict.fromkeys(names - {"PKG-INFO"}), dict.fromkeys(tracked("."))
    )
    with tempfile.TemporaryDirectory() as folder:
        run(tool("uv"), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
        direct = contents(next(Path(folder).glob("*.whl")))
    require_same("the wheel from the sdist, compared with that from the checkout", contents(wheel), direct)


def verify_metadata(wheel: Path) -> None:
    metadata = next(text for name, text in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    try:
        declared = Metadata.from_email(metadata, validate=True)
    except ExceptionGroup as errors:
        raise Failed("; ".join(map(str, errors.exceptions))) from None
    if declared.description_content_type != "text/markdown" or declared.description != (ROOT / "README.md").read_text():
        raise Failed("the description is not README.md, as text/markdown")


def install_and_try(wheel: Path) -> None:
    """Run `try_wheel.py` with the Python of a new environment, where this checkout is not on any path."""
    with tempfile.TemporaryDirectory(prefix="resnets-") as folder:
        python = Path(folder, "venv", "bin", "python")
        with step("the wheel is installed without extras"):
            run(tool("uv"), "venv", "--quiet", "--python", sys.executable, python.parents[1])
            lock = ROOT / "requirements.lock"
            run(tool("uv"), "pip", "install", "--quiet", "--python", python, "--constraint", lock, wheel)
        tried = Path(folder, "tried")
        tried.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RESNETS"))}
        environment |= {"RESNETS_CACHE": f"{folder}/cache", "PATH": f"{python.parent}:{os.environ['PATH']}"}
        program = [python, "-I", ROOT / "tools" / "try_wheel.py"]  # isolated: neither PYTHONPATH nor a user's packages
        if subprocess.run(program, cwd=tried, env=environment).returncode != 0:
            raise Failed("the installed wheel does not do what is above")


def tracked(path: str) -> list[str]:
    """Return the files that git tracks below a path of the repository."""
    return run("git", "-C", ROOT, "ls-files", "-z", path).rstrip("\0").split("\0")


def contents(wheel: Path, prefix: str = "") -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.startswith(prefix)}


def require_same(what: str, found: Mapping[str, bytes | None], expected: Mapping[str, bytes | None]) -> None:
    """Raises: Failed, naming the first file that is in one alone, or differs."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in found or name not in expected:
            raise Failed(f"{name} is {'missing in' if name in expected else 'only in'} {what}")
        if found[name] != expected[name]:
            raise Failed(f"{name} is another one in {what}")


def tool(name: str) -> Path:
    """Return a command of the environment that runs this."""
    return Path(sys.executable).parent / name


def run(*command: str | Path) -> str:
    """Run a command and return what it prints. Raises: Failed, with what it printed, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
