"""Record the package's observable behaviour, to show that a change of its layout changed nothing.

    python tools/golden.py before.json
    ... change the layout ...
    python tools/golden.py after.json --compare before.json

Only the public names of `resnets`, `resnets.cli.app` and the command line are used. All data are made here from seeds,
in a temporary folder. Two files are to be compared only if the same machine made them: weights are compared bit by bit.
What changes from call to call is left out: seconds, rates, provenance, and the addresses of objects.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import inspect
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors
import torch
import torchvision
import typer
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

import resnets
import resnets.cli

Json = Any
"""What a JSON file holds."""

ROOT = Path(__file__).resolve().parents[1]
VOLATILE = frozenset({"seconds", "images_per_second", "seconds_per_image", "provenance", "free_bytes"})
WORDS = frozenset({"departures", "source"})  # of recipes in runs: a section of their own has them
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
MODULES = re.compile(r"(\w+\.)+")  # before the name of a class
LONG = 300  # characters
CLASSES = ("cat", "dog", "emu")
ITERATIONS = 8
ON_CPU: dict[str, Any] = {"device": "cpu", "precision": "fp32", "workers": 0}
DIGITS: dict[str, Any] = {"batch_size": 32, "iterations": ITERATIONS, "evaluate_every": 4, **ON_CPU}
PHOTOS: dict[str, Any] = {"batch_size": 6, "iterations": ITERATIONS, "evaluate_every": 8, "lr": 0.003, **ON_CPU}
PHOTOS["size"] = 32


# ---------------------------------------------------------------- plain values


def plain(value: Any, leave_out: frozenset[str] = VOLATILE) -> Json:
    """Return a value as JSON holds it: objects by their fields, arrays by their bytes, without what `leave_out` names.

    Floats stay exact; long texts, such as a mean image, are given by their SHA-256. The keys of mappings become texts.
    """
    if isinstance(value, str):
        return value if len(value) <= LONG else f"{len(value)} characters {digest(value)}"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {digest(np.ascontiguousarray(value).tobytes())}"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry, leave_out) for key, entry in value.items() if key not in leave_out}
    if isinstance(value, list | tuple):
        return [plain(entry, leave_out) for entry in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value) if isinstance(value, Path) else type(value).__name__


def digest(content: bytes | str) -> str:
    """Return the SHA-256 of bytes or of a text in UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors, in the order of their names: name, type, shape and bytes of each."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of the tensors in a safetensors file."""
    return digest_of_tensors(load_file(path))


def rounded(values: Sequence[float]) -> list[float]:
    """Return numbers to six digits after the point."""
    return [round(value, 6) for value in values]


def digest_of_folder(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file under a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest(path.read_bytes()) for path in files}


# ---------------------------------------------------------------- made-up data


def write_photos(folder: Path) -> Path:
    """Write a folder data set of 24 JPEGs of noise, each class of its own colour, and return it."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                noise = generator.integers(0, 90, (40 + 4 * number, 56, 3), np.uint8)
                noise[..., label] += 140
                Image.fromarray(noise).save(folder / split / name / f"{number:03}.jpg", quality=95)
    return folder


def write_cifar100(folder: Path) -> Path:
    """Write noise as CIFAR-100's official binary files, in the published number of images, and return the folder."""
    generator = np.random.default_rng(1)
    folder.mkdir()
    for name, count in (("train.bin", 50_000), ("test.bin", 10_000)):
        records = generator.integers(0, 256, (count, 2 + 3 * 32 * 32), np.uint8)
        records[:, 0] %= 20
        records[:, 1] = np.arange(count) % 100
        records.tofile(folder / name)
    return folder


def write_voc(folder: Path) -> Path:
    """Write eight images of one or two coloured rectangles in VOC's layout, and return the folder."""
    generator = np.random.default_rng(2)
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for number in range(8):
        pixels = generator.integers(90, 130, (96, 96, 3)).astype(np.uint8)
        objects = ""
        for place in range(1 + number % 2):
            width, height = generator.integers(24, 40, 2)
            x, y, label = 4 + 48 * place, int(generator.integers(4, 50)), (number + place) % 2
            pixels[y : y + height, x : x + width, label] = 250
            objects += (
                f"<object><name>{('red', 'green')[label]}</name><difficult>0</difficult><bndbox><xmin>{x + 1}</xmin>"
                f"<ymin>{y + 1}</ymin><xmax>{x + width}</xmax><ymax>{y + height}</ymax></bndbox></object>"
            )
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{number:06}.jpg", quality=95)
        size = "<size><width>96</width><height>96</height><depth>3</depth></size>"
        (folder / "Annotations" / f"{number:06}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    for name, numbers in (("train", range(5)), ("val", range(5, 6)), ("test", range(6, 8))):
        text = "".join(f"{number:06}\n" for number in numbers)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
    return folder


def small_cifar() -> resnets.DataSplits:
    """Return 256 training and 64 test images of 32x32 in ten classes, in memory."""

    def images(count: int, seed: int) -> resnets.ImageArrays:
        generator = np.random.default_rng(seed)
        labels = np.arange(count, dtype=np.int64) % 10
        pixels = generator.integers(0, 100, (count, 32, 32, 3), np.uint8)
        pixels += (labels * 15).astype(np.uint8)[:, None, None, None]
        return resnets.ImageArrays(pixels, labels)

    train, test = images(256, 3), images(64, 4)
    return resnets.DataSplits(
        name="made up",
        train=train,
        test=test,
        classes=tuple(f"class {number}" for number in range(10)),
        digest=f"{train.digest()}:{test.digest()}",
    )


class Tensors(Dataset[tuple[Tensor, int]]):
    """A map-style dataset of one's own: images of noise, brighter by class."""

    classes = ("dark", "bright")

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = [number % 2 for number in range(count)]
        self.images = torch.rand(count, 3, 12, 12, generator=generator)
        self.images += torch.tensor(self.labels)[:, None, None, None]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.labels[index]


def module(classes: int) -> nn.Module:
    """Return a small network that is none of the package's."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


# ---------------------------------------------------------------- the command line


def command(*arguments: str) -> dict[str, Json]:
    """Do in this process what `python -m resnets` does; return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    code: str | int | None = 0
    before = sys.argv
    sys.argv = ["resnets", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            runpy.run_module("resnets", run_name="__main__")
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = before
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def new_process(*arguments: str, several: int = 1) -> dict[str, Json]:
    """Run `python -m resnets` in a new process, or in several by torchrun, and return as `command` does."""
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(several), "-m")
    done = subprocess.run(
        [sys.executable, "-m", *(torchrun if several > 1 else ()), "resnets", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


# ---------------------------------------------------------------- names and commands


def public_names() -> Json:
    """Return the public names, and of each its kind and its signature or members."""
    return {
        "all": sorted(resnets.__all__),
        "dir": dir(resnets),
        "names": {name: describe_name(getattr(resnets, name)) for name in sorted(resnets.__all__)},
    }


def describe_name(value: Any) -> Json:
    """Return what a public name stands for."""
    if inspect.isclass(value):
        members = [name for name in dir(value) if not name.startswith("_") and not hasattr(Exception, name)]
        return {
            "kind": "class",
            "ancestors": [base.__name__ for base in value.__mro__[1:]],
            "signature": parameters(value),
            "fields": [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else None,
            "members": {name: describe_member(inspect.getattr_static(value, name)) for name in members},
        }
    if callable(value):
        return {"kind": "function", "signature": parameters(value)}
    return {"kind": type(value).__name__, "value": plain(value)}


def describe_member(value: Any) -> Json:
    """Return what a public member of a class is."""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if inspect.isfunction(value):
        return parameters(value)
    return "property" if isinstance(value, property) else plain(value)


def parameters(function: Callable[..., Any]) -> list[str] | None:
    """Return the parameters of a call, each with its kind and default; None where they cannot be known."""
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    return [f"{one.name} ({one.kind.description}){default_of(one)}" for one in found]


def default_of(parameter: inspect.Parameter) -> str:
    """Return a parameter's default as it is shown, without an object's address; "" where it has none."""
    if parameter.default is inspect.Parameter.empty:
        return ""
    value = parameter.default
    return f" = {getattr(value, '__name__', None) or ADDRESS.sub('', repr(value))}"


def commands() -> Json:
    """Return the parameters of every command, without the texts of their help."""
    found: dict[str, Json] = {}

    def walk(one: Any, path: str) -> None:
        found[path] = [describe_parameter(parameter) for parameter in one.params]
        for name, inner in getattr(one, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(typer.main.get_command(resnets.cli.app), "resnets")
    return found


def describe_parameter(parameter: Any) -> Json:
    """Return a command's parameter: its name, flags, type and default."""
    default = parameter.default
    kind = parameter.type_descriptor
    return {
        "name": parameter.name,
        "kind": parameter.param_type_name,
        "flags": [*parameter.opts, *parameter.secondary_opts],
        "default": default.__name__ if callable(default) else plain(default),
        "type": MODULES.sub("", f"{kind.annotation} {kind.file_annotation}"),
        "limits": [parameter.min, parameter.max],
        "hidden": parameter.hidden,
        "required": parameter.required,
        "multiple": getattr(parameter, "multiple", False),
        "is_flag": getattr(parameter, "is_flag", False),
        "values": parameter.nargs,
    }


def command_outputs() -> Json:
    """Return what some commands print, and what they say of wrong usage."""
    return {
        "list": new_process("list"),
        "info resnet50": command("info", "resnet50"),
        "unknown network": command("train", "resnet21", "--data", "digits"),
        "unknown command": command("trian"),
    }


def plans() -> Json:
    """Return the runs that a reproduction of everything is made of: as printed, and as planned."""
    printed = command(
        *("reproduce", "all", "--plan", "--no-measure", "--scale", "smoke", "--data", "digits", "--out", "all")
    )
    cells = [line.split("│")[1].strip() for line in printed["out"].splitlines() if line.startswith("│")]
    plan = resnets.plan_reproduction("all", scale="smoke", data="digits", measure=False, out="all", device="cpu")
    return {
        "printed": [cell for cell in cells if cell],
        "runs": [[run.name, run.short_name, run.identity, str(run.folder), str(run.file)] for run in plan.runs],
        "tests": {run.name: plain(run.tests) for run in plan.runs},
        "recipes": {run.name: plain(run.recipe, VOLATILE | WORDS) for run in plan.runs},
        "left out": plain(plan.left_out),
        "notes": plain(plan.notes),
        "training": expected("resnet20", "digits") | expected("resnet56", "cifar10", accumulate=2),
    }


def expected(network: str, data: str, **options: Any) -> dict[str, Json]:
    """Return what `plan` expects of a training on a device of its table, without what is measured here."""
    plan = resnets.plan(network, data, device_kind="h100", **options)
    measured = {"hours", "testing_seconds", "saving_seconds", "loader_cores", "assumptions", "available_bytes"}
    return {network: plain(plan, VOLATILE | measured)}


# ---------------------------------------------------------------- networks


def networks() -> Json:
    """Return what each network is made of, and of some small ones the fresh weights and the logits."""
    options: dict[str, dict[str, Any]] = {
        "resnet20": {},
        "resnet20 C": {"shortcut": "C", "bn_group": 4},
        "resnet20 spanning 3": {"residual_layers": 3},
        "plain20": {"in_channels": 1, "num_classes": 7},
        "resnet56": {"initialization": "he_fan_out"},
        "resnet18": {"shortcut": "A", "num_classes": 5},
        "plain18": {"num_classes": 5},
        "resnet50": {"shortcut": "C", "num_classes": 5},
        "resnet50_v1_5": {"num_classes": 5},
    }
    made = {}
    for name, given in options.items():
        torch.manual_seed(0)
        network = resnets.create(name.split()[0], **given)
        channels = given.get("in_channels", 3)
        images = torch.rand(4, channels, 32, 32, generator=torch.Generator().manual_seed(1))
        made[name] = {"weights": digest_of_tensors(network.state_dict())}
        made[name]["training"] = plain(network.train()(images))
        made[name]["running statistics"] = digest_of_tensors(network.state_dict())
        made[name]["logits"] = plain(network.eval()(images))
    torch.manual_seed(0)
    deeper = {
        name: digest_of_tensors(resnets.deepen(resnets.create(name), depth).state_dict())
        for name, depth in (("resnet20", 32), ("plain20", 26))
    }
    summaries = resnets.list_networks()
    described = ("resnet20", "plain110", "resnet50", "resnet152_v1_5", "vgg16")
    return {
        "list": plain(summaries),
        "described": {name: plain(resnets.describe(name)) for name in described},
        "made": made,
        "deepened": deeper,
    }


def recipes() -> Json:
    """Return every recipe of a classifier by its name."""
    photos = ("imagenet", "imagenet-plateau", "imagenet-90", "imagenet-fast", "finetune")
    return {name: plain(resnets.find_recipe(name)) for name in ("cifar", "cifar-200", "fast", "digits", *photos)}


# ---------------------------------------------------------------- trained networks


class Stopping:
    """An observer that interrupts a run, once it has logged so many lines."""

    def __init__(self, lines: int) -> None:
        self.lines = lines

    def started(self, description: dict[str, Any], iteration: int, notes: list[str]) -> None:
        pass

    def logged(self, line: dict[str, Any]) -> None:
        self.lines -= 1
        if self.lines == 0:
            raise KeyboardInterrupt

    def finished(self, result: dict[str, Any]) -> None:
        pass

    def closed(self) -> None:
        pass


def describe_run(folder: Path) -> dict[str, Json]:
    """Return what is in a finished run's folder: weights, what they tell of themselves, log, description, result."""
    file = folder / "weights.safetensors"
    with safetensors.safe_open(file, "pt") as content:
        metadata = content.metadata()
    log = (folder / "metrics.jsonl").read_text().splitlines()
    result = json.loads((folder / "result.json").read_text())
    leave_out = VOLATILE | WORDS
    return {
        "weights": digest_of_file(file),
        "metadata": {key: parsed(value) for key, value in metadata.items()},
        "log": [plain(json.loads(line)) for line in log],
        "description": plain(json.loads((folder / "run.json").read_text()), leave_out),
        "result": plain(result, leave_out | {"run"}),
        "keys": {"run": sorted(result["run"]), "provenance": sorted(result["run"]["provenance"][0])},
        "files": sorted(path.name for path in folder.iterdir()),
        "checkpoints": sorted(path.name for path in (folder / "checkpoints").iterdir()),
    }


def parsed(text: str) -> Json:
    """Return what a text holds as JSON, or the text where it is none."""
    try:
        return plain(json.loads(text))
    except ValueError:
        return plain(text)


def trained(name: str, network: str | nn.Module, data: Any, **options: Any) -> Json:
    """Train a network in runs/NAME and return what its folder holds and the call returned."""
    result = resnets.train(network, data, out=Path("runs") / name, **options)
    return describe_run(result.folder) | {"returned": plain(result)}


def runs_on_digits() -> Json:
    """Return runs on digits: the switches of training, an interruption, bf16, and the command."""
    grouped = resnets.find_recipe("digits").with_changes(bn_group=16)
    found = {
        "resnet20": trained("resnet20", "resnet20", "digits", **DIGITS),
        "plain20": trained("plain20", "plain20", "digits", **DIGITS),
        "shortcuts C spanning 3": trained(
            "shortcuts", "resnet20", "digits", shortcut="C", residual_layers=3, initialization="he_fan_out", **DIGITS
        ),
        "ema": trained("ema", "resnet20", "digits", ema=0.9, **DIGITS),
        "accumulate": trained("accumulate", "resnet20", "digits", recipe=grouped, accumulate=2, **DIGITS),
        "bn_images": trained("bn_images", "resnet20", "digits", bn_images=100, **DIGITS),
        "split": trained("split", "resnet20", "digits", split="10%", seed=3, **DIGITS),
        "weights": trained("weights", "resnet20", "digits", weights="runs/resnet20", lr=0.01, **DIGITS),
        "bf16": trained("bf16", "resnet20", "digits", **DIGITS | {"precision": "bf16", "iterations": 2}),
    }
    interrupted = False
    try:
        trained("resumed", "resnet20", "digits", save_every=2, observers=[Stopping(5)], **DIGITS)
    except KeyboardInterrupt:
        interrupted = True
    found["resumed"] = trained("resumed", "resnet20", "digits", save_every=2, resume=True, **DIGITS)
    found["resumed"]["interrupted"] = interrupted
    again = resnets.train("resnet20", "digits", out="runs/resumed", save_every=2, resume=True, **DIGITS)
    found["resumed"]["again"] = plain(again)
    train: tuple[str, ...] = (
        "train",
        "resnet20",
        "-d",
        "digits",
        "--iterations",
        str(ITERATIONS),
        "--batch-size",
        "32",
    )
    train += ("--evaluate-every", "4", "--device", "cpu", "--precision", "fp32", "--workers", "0")
    codes = {
        "command": command(*train, "--out", "runs/command")["code"],
        "two processes": new_process(*train, "--out", "runs/two processes", several=2)["code"],
    }
    found |= {name: describe_run(Path("runs") / name) | {"code": code} for name, code in codes.items()}
    return found


def runs_on_small_images() -> Json:
    """Return runs on images of CIFAR's size, and of networks and datasets of one's own."""
    images = small_cifar()
    short: dict[str, Any] = {"evaluate_every": 8, **ON_CPU}
    cifar = {"batch_size": 16, "iterations": ITERATIONS} | short
    write_cifar100(Path("cifar-100-binary"))
    official = resnets.load_data("cifar100:.")
    assert isinstance(official.test, resnets.ImageArrays)
    fewer = dataclasses.replace(official, test=official.test.select(np.arange(200)))
    pair = (Tensors(64, 6), Tensors(20, 7))
    return {
        "digest": images.digest,
        "resnet20": trained("cifar", "resnet20", images, recipe="cifar", **cifar),
        "groups": trained("groups", "resnet20", images, recipe="cifar", **cifar | {"batch_size": 128, "iterations": 2}),
        "resnet110": trained("resnet110", "resnet110", images, recipe="cifar", **cifar | {"iterations": 2}),
        "fast": trained("fast", "resnet20", images, recipe="fast", **cifar),
        "cifar-200": trained("cifar-200", "plain20", images, recipe="cifar-200", **cifar),
        "official": plain([official.name, official.classes, official.digest]),
        "45k5k": trained("45k5k", module(100), fewer, split="45k5k", batch_size=64, iterations=8, **short),
        "module": trained("module", module(2), pair, recipe="digits", batch_size=8, epochs=1.0, **short),
    }


def runs_on_photos() -> Json:
    """Return runs on a folder of photos and the same photos in shards, by each recipe for photos."""
    write_photos(Path("photos"))
    sharded = command("data", "shard", "folder:photos", "shards", "--size", "1")
    photos = "folder:photos"
    found = {
        "audit": plain(resnets.check_data(photos, workers=1)),
        "sharded": sharded,
        "shards": digest_of_folder(Path("shards")),
        "resnet18": trained("photos", "resnet18", photos, recipe="imagenet", bn_images=18, **PHOTOS),
        "webdataset": trained("webdataset", "resnet18", "webdataset:shards", recipe="imagenet", bn_images=18, **PHOTOS),
        "worker": trained("worker", "resnet18", photos, recipe="imagenet-90", **PHOTOS | {"workers": 1}),
        "imagenet-plateau": trained("plateau", "plain18", photos, recipe="imagenet-plateau", **PHOTOS),
        "imagenet-fast": trained("growing", "resnet18", photos, recipe="imagenet-fast", **PHOTOS | {"size": 64}),
        "finetune": trained("finetune", "resnet18", photos, recipe="finetune", weights="runs/photos", **PHOTOS),
        "resnet50": trained("resnet50", "resnet50", photos, stride="3x3", **PHOTOS | {"iterations": 2}),
        "vgg16": trained("vgg16", "vgg16", photos, **PHOTOS | {"iterations": 2, "batch_size": 2}),
        "in memory": trained("memory", "resnet20", photos, batch_size=6, iterations=4, evaluate_every=4, **ON_CPU),
    }
    for large in ("vgg16", "resnet50"):
        shutil.rmtree(Path("runs") / large)
    return found


# ---------------------------------------------------------------- tests and uses of trained networks


def evaluations() -> Json:
    """Return tests of trained networks by each protocol, alone and together, and by the command."""
    fixed: dict[str, Any] = {"device": "cpu", "workers": 0}

    def tested(runs: Any, data: Any, **options: Any) -> Json:
        return plain(resnets.evaluate(runs, data, **fixed, **options))

    out = Path("evaluation.json")
    found = {
        "digits": tested("runs/resnet20", "digits", out=out),
        "digits flipped": tested("runs/resnet20", "digits", flips=True, batch_size=100),
        "digits in bf16": tested("runs/resnet20", "digits", precision="bf16"),
        "ensemble": tested(["runs/resnet20", "runs/plain20"], "digits"),
        "photos": tested("runs/photos", "folder:photos"),
        "photos in shards": tested("runs/webdataset", "webdataset:shards"),
        "ten-crop": tested("runs/photos", "folder:photos", protocol="ten-crop"),
        "dense": tested("runs/photos", "folder:photos", protocol="dense-multi-scale"),
        "dense of two scales": tested("runs/photos", "folder:photos", protocol="dense", scales=(32, 48), flips=False),
        "ensemble of photos": tested(["runs/photos", "runs/finetune"], "folder:photos", protocol="ten-crop"),
        "module": plain(resnets.evaluate("runs/module", (Tensors(64, 6), Tensors(20, 7)), network=module(2), **fixed)),
    }
    found["file"] = plain(json.loads(out.read_text()), VOLATILE | WORDS)
    found["command"] = command(
        *("evaluate", "runs/photos", "--data", "folder:photos", "--protocol", "ten-crop"),
        *("--device", "cpu", "--workers", "0"),
    )
    return found


def predictions() -> Json:
    """Return predictions of single files, of several, of an engine and by the command."""
    model = resnets.load("runs/photos", device="cpu")
    files = sorted(Path("photos/val").rglob("*.jpg"))
    one = model.predict(files[0])
    several = resnets.predict("runs/photos", files, top=2, device="cpu")
    engine = resnets.optimize(model, engine="eager", precision="fp32", device="cpu")
    grey = resnets.load("runs/resnet20", device="cpu").predict(files[0], top=3)
    return {
        "one": [one.classes, rounded(one.probabilities)],
        "several": [[str(each.image), each.classes, rounded(each.probabilities)] for each in several],
        "engine": [rounded(engine.predict(file).probabilities) for file in files],
        "digits": [grey.classes, rounded(grey.probabilities)],
        "command": command("predict", "runs/photos", *map(str, files[:2]), "--device", "cpu"),
    }


def layer_responses() -> Json:
    """Return how strongly the layers of two networks respond."""
    found = resnets.responses(
        ["runs/resnet20", "runs/plain20"], "digits", images=100, device="cpu", workers=0, batch_size=50
    )
    return plain(found, VOLATILE | {"result"})


def conversions() -> Json:
    """Return weights that were converted from and to torchvision's layout and a folder for the Hub."""
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), "theirs.pth")
    there = resnets.convert("theirs.pth", "ours.safetensors", classes=("a", "b", "c", "d", "e"))
    back = resnets.convert("runs/photos", "back.pth")
    hub = resnets.convert("runs/resnet20", "hub", to="hub")
    fetched = resnets.from_pretrained("hub", device="cpu")
    loaded = resnets.create("resnet18", num_classes=5, weights="theirs.pth")
    return {
        "there": plain(there),
        "ours": digest_of_file(there.out),
        "back": plain(back),
        "theirs": digest_of_tensors(torch.load(back.out, weights_only=True)),
        "hub": plain(hub),
        "files": digest_of_folder(hub.out),
        "fetched": [digest_of_tensors(fetched.network.state_dict()), plain(fetched.classes), plain(fetched.input_spec)],
        "created": digest_of_tensors(loaded.state_dict()),
    }


def detectors() -> Json:
    """Return a detector that was trained for some iterations, its tests and what it finds."""
    write_voc(Path("boxes"))
    data = resnets.load_detection_data("voc:boxes")
    options: dict[str, Any] = {"recipe": "small", "size": 96, "anchors": (16, 32, 64), "regions": 16, **ON_CPU}
    result = resnets.train_detector(
        "resnet18",
        "voc:boxes",
        weights=None,
        out="runs/detector",
        iterations=6,
        lr=0.001,
        save_every=3,
        **options,
    )
    other = resnets.train_detector(
        "resnet18",
        "voc:boxes@train/test",
        weights="runs/photos",
        out="runs/context",
        iterations=2,
        lr=0.00001,
        context=True,
        roi_pooling="align",
        frozen_stages=2,
        **options,
    )
    again = resnets.train_detector(
        "resnet18", "voc:boxes", weights="runs/detector", out="runs/again", iterations=2, lr=0.0001, **options
    )
    image = "boxes/JPEGImages/000006.jpg"

    def tested(**options: Any) -> Json:
        return plain(resnets.evaluate_detector("runs/detector", data, device="cpu", workers=0, **options))

    def seen(**options: Any) -> Json:
        found = resnets.detect("runs/detector", image, threshold=0.0, device="cpu", **options)
        return plain([(path, objects) for path, objects in found])

    return {
        "data": plain([data.name, data.classes, data.digest, data.train, data.test]),
        "run": describe_run(result.folder) | {"returned": plain(result)},
        "with context": describe_run(other.folder) | {"returned": plain(other)},
        "again": describe_run(again.folder) | {"returned": plain(again)},
        "test": tested(out="detections"),
        "detections": digest_of_detections(Path("detections")),
        "by COCO's rules": tested(protocol="coco"),
        "refined": tested(box_refinement=True),
        "seen": seen(out="seen"),
        "seen in several scales": seen(multi_scale=True),
        "drawn": digest_of_folder(Path("seen")),
        "scored": scores(data),
        "command": command("detect", "evaluate", "runs/detector", "-d", "voc:boxes", "--device", "cpu")["code"],
    }


def scores(data: resnets.DetectionSplits) -> Json:
    """Return the scores, by each protocol, of detections in files: the objects to find, moved by some pixels."""
    generator = np.random.default_rng(8)
    folder = Path("moved")
    folder.mkdir()
    images: list[Json] = []
    annotations: list[Json] = []
    results: list[Json] = []
    lines = dict.fromkeys(data.classes, "")
    for number, image in enumerate(data.test, 1):
        images.append({"id": number, "file_name": image.path.name, "width": 96, "height": 96})
        for box, label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
            x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
            entry = {"image_id": number, "category_id": label, "bbox": [x, y, width, height]}
            annotations.append(entry | {"id": len(annotations) + 1, "iscrowd": 0, "area": width * height})
            for reach in (3, 12):
                dx, dy = generator.integers(-reach, reach, 2).tolist()
                score = round(float(generator.random()), 3)
                results.append(entry | {"bbox": [x + dx, y + dy, width, height], "score": score})
                corners = (x + dx, y + dy, x + dx + width, y + dy + height)
                lines[data.classes[label]] += f"{image.id} {score} {' '.join(map(str, corners))}\n"
    for name, text in lines.items():
        (folder / f"comp4_det_test_{name}.txt").write_text(text)
    categories = [{"id": label, "name": name} for label, name in enumerate(data.classes)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    Path("truth.json").write_text(json.dumps(truth))
    Path("results.json").write_text(json.dumps(results))
    return {
        "voc07": plain(resnets.score_detections("boxes", folder, "voc07")),
        "voc": plain(resnets.score_detections("boxes", folder, "voc")),
        "coco": plain(resnets.score_detections("truth.json", "results.json", "coco")),
    }


def digest_of_detections(folder: Path) -> Json:
    """Return the SHA-256 of each file of detections but the evaluation, whose times change."""
    return {name: value for name, value in digest_of_folder(folder).items() if not name.endswith("evaluation.json")}


# ---------------------------------------------------------------- reproductions and reports


def reproduction() -> Json:
    """Return a row of Table 6 that was reproduced on digits in a few iterations, and the demo in one."""
    made = resnets.reproduce(
        "table6", only="resnet20", scale="smoke", data="digits", out="table6", measure=False, device="cpu", workers=0
    )
    demo = resnets.demo("demo", iterations=1)
    (file,) = (path for path in Path("table6/results").glob("*.json") if path.name != "costs.json")
    return {
        "made": plain([made.made, made.done_before, made.failed, made.report.counts, made.report.sentence]),
        "markdown": digest(made.report.markdown),
        "tables": plain(made.tables),
        "weights": [digest_of_file(path) for path in sorted(Path("table6/runs").rglob("weights.safetensors"))],
        "file": [file.name, plain(json.loads(file.read_text()), VOLATILE | WORDS)],
        "files": sorted(str(path) for path in Path("table6").rglob("*.json")),
        "demo": plain([demo.rows, demo.findings]),
        "demo's weights": {
            path.parent.name: digest_of_file(path) for path in sorted(Path("demo").rglob("weights.safetensors"))
        },
    }


def report() -> Json:
    """Return the report of the checkout's results: the page, the Markdown and what the call returns.

    A page differs if the results do: `inputs` tells.
    """
    shutil.copytree(ROOT / "results", "results")
    page = command("report", "results", "--out", "site")
    markdown = command("report", "results", "--markdown")
    made = resnets.write_report("results", out=None)
    return {
        "inputs": digest(json.dumps(digest_of_folder(Path("results")))),
        "page": digest(Path("site/index.html").read_bytes()),
        "printed": page,
        "markdown": digest(markdown["out"]),
        "notes": markdown["err"],
        "returned": plain(made) | {"markdown": digest(made.markdown)},
    }


# ---------------------------------------------------------------- all of it

SECTIONS: dict[str, Callable[[], Json]] = {
    "public names": public_names,
    "commands": commands,
    "command outputs": command_outputs,
    "plans": plans,
    "networks": networks,
    "recipes": recipes,
    "runs on digits": runs_on_digits,
    "runs on small images": runs_on_small_images,
    "runs on photos": runs_on_photos,
    "evaluations": evaluations,
    "predictions": predictions,
    "layer responses": layer_responses,
    "conversions": conversions,
    "detectors": detectors,
    "reproduction": reproduction,
    "report": report,
}
"""What is recorded, in this order: later sections use the runs of earlier ones."""


@contextlib.contextmanager
def temporary_folder() -> Iterator[None]:
    """Work in a new folder that is deleted at the end, so that no path tells where it was."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def record() -> tuple[dict[str, Json], list[str]]:
    """Return what the sections record, and the names of those that failed, whose errors take their place."""
    recorded: dict[str, Json] = {}
    failed = []
    with temporary_folder():
        for name, section in SECTIONS.items():
            start = time.perf_counter()
            try:
                with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    recorded[name] = section()
            except Exception as error:
                traceback.print_exc()
                recorded[name] = {"failed": f"{type(error).__name__}: {error}"}
                failed.append(name)
            print(f"{time.perf_counter() - start:6.1f} s  {name}", flush=True)
    return json.loads(json.dumps(recorded)), failed


def leaves(value: Json, path: str = "") -> dict[str, Json]:
    """Return the values at the ends of nested mappings and lists, by their paths."""
    if isinstance(value, dict) and value:
        return {end: leaf for key, inner in value.items() for end, leaf in leaves(inner, f"{path} / {key}").items()}
    if isinstance(value, list) and value:
        return {end: leaf for key, inner in enumerate(value) for end, leaf in leaves(inner, f"{path}[{key}]").items()}
    return {path.removeprefix(" / "): value}


def differences(old: Json, new: Json) -> list[str]:
    """Return a line for each entry that is in one alone, or has another value."""
    there, here = leaves(old), leaves(new)
    lines = []
    for path in [*there, *(path for path in here if path not in there)]:
        was, now = (repr(side[path]) if path in side else "absent" for side in (there, here))
        if was != now:
            lines.append(f"{path}: {was} -> {now}")
    return lines


def main() -> int:
    """Record everything, compare it where that is asked for, and return the exit code: 1 where anything differs."""
    parser = argparse.ArgumentParser(description="Record the package's observable behaviour in a JSON file.")
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="print what differs, and exit with 1 if any")
    arguments = parser.parse_args()
    if not Path(resnets.__file__).is_relative_to(ROOT):
        parser.error(f"resnets is imported from {resnets.__file__}, not from this checkout: set PYTHONPATH={ROOT}/src")
    old = None if arguments.compare is None else json.loads(arguments.compare.read_text())
    torch.set_num_threads(1)
    os.environ.update({"COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"})  # for commands, too
    recorded, failed = record()
    arguments.out.write_text(json.dumps(recorded, indent=1) + "\n")
    entries = len(leaves(recorded))
    print(f"{entries:,} entries in {arguments.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    if old is None:
        return 1 if failed else 0
    found = differences(old, recorded)
    print("\n".join(found) or "nothing differs")
    return 1 if found or failed else 0


if __name__ == "__main__":
    sys.exit(main())
