"""Try an installed wheel without extras, in an empty folder: tools/dist.py runs this with its Python."""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import resnets
from resnets.runtime.cluster import Cluster

NEED_SERVE = "resnets.serving."
"""Modules below this import the packages of the extra `serve`; all others are imported without any extra."""

NEED_EXTRA: dict[str, Callable[[], Any]] = {
    "inference": lambda: resnets.optimize(resnets.load("resnet20-digits"), engine="openvino"),
    "export": lambda: resnets.export("resnet20-digits", "network.onnx"),
    "hub": lambda: resnets.load("hf:owner/name"),
    "datasets": lambda: resnets.load_data("hf:owner/name"),
    "shards": lambda: resnets.load_data("webdataset:train-{0..1}.tar,val.tar"),
    "caffe": lambda: resnets.convert("weights.h5", "weights.safetensors"),
    "detection": lambda: resnets.load_detection_data("voc:."),
    "heif": lambda: next(iter(resnets.predict("resnet20-digits", ["photo.heic"]))),
    "remote": lambda: resnets.predict("resnet20-digits", "s3://bucket/photo.jpg"),
    "serve": lambda: resnets.serve("resnet20-digits"),
    "cluster": lambda: Cluster(kind="local"),
}
"""A call for each extra that fails without it."""


def main() -> int:
    if not Path(resnets.__file__).is_relative_to(sys.prefix):
        return fail(f"{resnets.__file__} is imported, which is not in {sys.prefix}")
    for what, do in STEPS.items():
        start = time.monotonic()
        try:
            found = do()
        except Exception as error:
            return fail(f"{what}: {type(error).__name__}: {error}")
        print(f"ok: {what}: {found} ({time.monotonic() - start:.1f} s)", flush=True)
    return 0


def fail(message: str) -> int:
    print(f"failed: {message}", file=sys.stderr)
    return 1


def helps() -> str:
    """Show the help of the command and of each of its commands, in this process, which imports no torch for it."""
    from typer.main import get_command

    from resnets.cli import app, run

    def paths(command: Any) -> Iterator[list[str]]:
        yield []
        for name, part in getattr(command, "commands", {}).items():
            yield from ([name, *path] for path in paths(part))

    commands = list(paths(get_command(app)))
    for path in commands:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = run([*path, "--help"])
        if code != 0 or "Usage: resnets" not in out.getvalue():
            raise AssertionError(f"resnets {' '.join(path)} --help ends with {code}")
    return f"{len(commands)} commands"


def modules() -> str:
    names = [module.name for module in pkgutil.walk_packages(resnets.__path__, "resnets.", onerror=raise_it)]
    imported = [name for name in names if not name.startswith(NEED_SERVE) and not name.endswith("__main__")]
    for name in imported:
        importlib.import_module(name)
    for name in resnets.__all__:
        getattr(resnets, name)
    return f"{len(imported)} modules, {len(resnets.__all__)} public names"


def raise_it(module: str) -> None:
    raise


def extras() -> str:
    """Compare what is reported where an extra is missing with the one form that it has."""
    from PIL import Image

    Path("photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        Path(folder).mkdir(parents=True)
    for name in ("train", "val"):
        Path(f"ImageSets/Main/{name}.txt").write_text(f"{name}\n")
        Path(f"Annotations/{name}.xml").write_text("<annotation/>")
        Image.new("RGB", (8, 8)).save(f"JPEGImages/{name}.jpg")
    Path("weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    declared = [name for name in metadata.metadata("resnets").get_all("Provides-Extra") or [] if name != "dev"]
    for extra, call in NEED_EXTRA.items():
        try:
            call()
        except resnets.ResnetsError as error:
            if not re.search(rf"\w+ is not installed: pip install 'resnets\[{extra}\]'", str(error)):
                raise AssertionError(f"without the extra {extra}: {error}") from None
        else:
            raise AssertionError(f"the call for the extra {extra} works without it")
    untried = ", ".join(name for name in declared if name not in NEED_EXTRA)
    return f"{len(NEED_EXTRA)} of them" + (f"; nothing needs {untried}" if untried else "")


def command(*arguments: str) -> str:
    """Run the command `resnets` and return the last line that it prints. Raises: AssertionError, if it fails."""
    done = subprocess.run([Path(sys.prefix, "bin", "resnets"), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"ends with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def predict() -> str:
    from PIL import Image

    Image.linear_gradient("L").save("image.png")
    return command("predict", "resnet20-cifar10", "image.png")


STEPS: dict[str, Callable[[], str]] = {
    "resnets --version": lambda: command("--version"),
    "resnets COMMAND --help": helps,
    "import": modules,
    "missing extras": extras,
    "resnets doctor": lambda: command("doctor"),
    "resnets predict": predict,
    "resnets demo --iterations 5": lambda: command("demo", "--iterations", "5"),
}

if __name__ == "__main__":
    sys.exit(main())
