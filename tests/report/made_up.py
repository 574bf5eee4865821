"""Synthetic result files for the tests of reports, as `train`, `reproduce` and the benchmarks write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from resnets.records.studies import DepthRow
from resnets.report import measured
from resnets.report.collect import collect
from resnets.report.runs import Measured, Results
from resnets.specs import PUBLISHED_IMAGES, PublishedImages
from resnets.training import recipes

PROVENANCE = {
    "versions": {"resnets": "0.1.0", "python": "3.11.7", "torch": "2.15.0"},
    "hardware": {"processor": "AMD EPYC", "cores": 2, "threads": 2, "device": "cpu"},
    "system": "Linux",
    "commit": "2f0858b1096ed838142781b4021238a3dfe6e0e1",
}


def result(
    network: str,
    test_error: float,
    training_error: float = 1.0,
    *,
    seed: int = 0,
    recipe: str = "cifar",
    iterations: int | None = None,
    data: str = "cifar10",
    split: str = "all",
    shortcut: str | None = None,
    recipe_changes: Mapping[str, Any] | None = None,
    network_changes: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the content of a result file; None for `iterations` is the recipe's full length."""
    full = recipes.find_recipe(recipe)
    scaled = full.scaled(iterations or full.iterations)
    depth = int("".join(filter(str.isdigit, network)))
    kind = "imagenet" if depth in (18, 34, 50, 101, 152) else "cifar"
    if shortcut is None and network.startswith("resnet"):
        shortcut = "A" if kind == "cifar" else "B"
    steps = 8
    curve = [
        {
            "iteration": scaled.iterations * step // steps,
            "training_error": training_error + 60 / step - 60 / steps,
            "test_error": test_error + 50 / step - 50 / steps,
        }
        for step in range(1, steps + 1)
    ]
    content = {
        "network": network,
        "data": data,
        "recipe": recipe,
        "iterations": scaled.iterations,
        "seed": seed,
        "test_error": test_error,
        "test_top5_error": test_error / 4,
        "test_samples": 50_000 if data == "imagenet" else 10_000,
        "training_error": training_error,
        "warmed_up_at": None,
        "seconds": 500.0 + depth + seed,
        "images_per_second": 1000.0,
        "curve": curve,
        "run": {
            "network": {
                "kind": "resnet",
                "name": network,
                "type": kind,
                "depth": depth,
                "residual": network.startswith("resnet"),
                "shortcut": shortcut,
                "stride": None,
                "residual_layers": 2,
                "initialization": "he_fan_in",
                **(network_changes or {}),
            },
            "recipe": msgspec.to_builtins(scaled) | dict(recipe_changes or {}),
            "data": _images(data, split),
            "seed": seed,
            "precision": "bf16",
            "provenance": [PROVENANCE],
        },
        **more,
    }
    return json.loads(json.dumps(content))


def _images(data: str, split: str) -> dict[str, Any]:
    """Return what a result tells of its data, that of a published data set where it has its name."""
    known = PUBLISHED_IMAGES.get(data, PublishedImages(data, 50_000, 10_000, 2))
    return {
        "name": data,
        "split": split,
        "digest": ":".join(known.digests) or None,
        "classes": [str(label) for label in range(known.classes)],
        "training_images": known.train,
    }


def run(*arguments: Any, **options: Any) -> Measured:
    """Return the run that such a file describes."""
    return measured.parse("results/one.json", result(*arguments, **options))


def responses(layers: int, first: float, **more: float) -> list[dict[str, Any]]:
    """Return responses of so many layers that fall from the first; without `more` as files had them before medians."""
    return [{"layer": f"layer{index}", "std": first / (1 + 0.05 * index)} | more for index in range(layers)]


def depth_rows(plain: tuple[float, float], residual: tuple[float, float]) -> list[DepthRow]:
    """Return networks of 20 and 110 layers with these errors."""
    return [
        DepthRow(
            network=f"{kind}{depth}",
            depth=depth,
            residual=kind == "resnet",
            training_error=error,
            training_images=1000,
            test_error=error,
            seconds=1.0,
            curve=((1, error, error),),
        )
        for kind, errors in (("plain", plain), ("resnet", residual))
        for depth, error in zip((20, 110), errors, strict=True)
    ]


def study(iterations: int | None = 4000) -> list[dict[str, Any]]:
    """Return runs of CIFAR-10's networks that show degradation, and its cure."""
    errors = {
        "plain20": (17.0, 16.1),
        "plain32": (18.5, 18.0),
        "plain44": (21.5, 21.7),
        "plain56": (26.0, 26.9),
        "resnet20": (16.7, 15.8),
        "resnet32": (15.4, 14.1),
        "resnet44": (14.8, 13.2),
        "resnet56": (14.5, 12.7),
        "resnet110": (14.0, 11.9),
    }
    found = [result(name, *pair, iterations=iterations, scale="short") for name, pair in errors.items()]
    for content, layers in zip(found, (19, 31, 43, 55, 19, 31, 43, 55, 109), strict=True):
        content["responses"] = responses(layers, 2.5)
    return found


COMPLEXITY = {
    "kind": "complexity",
    "networks": [
        {
            "network": "resnet18",
            "shortcut": "A",
            "depth": 18,
            "parameters": 11_511_784,
            "macs": 1_814_073_344,
            "stages": [
                {"name": name, "output_size": [side, side], "layers": layers, "parameters": 1, "macs": 1}
                for name, side, layers in (
                    ("conv1", 112, "7x7, 64, stride 2"),
                    ("conv2_x", 56, "3x3 max pool, stride 2; [3x3, 64; 3x3, 64] x 2"),
                    ("conv3_x", 28, "[3x3, 128; 3x3, 128] x 2"),
                    ("conv4_x", 14, "[3x3, 256; 3x3, 256] x 2"),
                    ("conv5_x", 7, "[3x3, 512; 3x3, 512] x 9"),
                    ("fc", 1, "average pool; 1000-d fc"),
                )
            ],
        },
        {"network": "resnet20", "shortcut": "A", "depth": 20, "parameters": 269_722, "macs": 40_551_040},
    ],
    "provenance": PROVENANCE,
}

_CLAIM = {"values": [2.0], "lowest": 1.9, "highest": 2.2, "at_least": 1.8, "aim": 2.5, "verdict": "reached"}
BENCHMARK = {
    "rows": [
        {
            "row": "resnet20-cifar",
            "what": "ResNet-20 training, CIFAR-10 end to end, batch 128",
            "kind": "training",
            "sides": [],
            "claims": [
                {"quantity": "speed", "over": "usual repository", "role": "reference", "ours": 2000.0}
                | {"theirs": 1000.0, "median": 2.0}
                | _CLAIM,
                {"quantity": "images/s", "over": None, "role": None, "ours": 2000.0, "theirs": None, "median": 2000.0}
                | _CLAIM,
                {"quantity": "peak memory", "over": "usual repository", "role": "reference", "ours": 2.0**30}
                | {"theirs": 2.0**31, "median": 0.5}
                | _CLAIM,
            ],
            "load": [0.1],
        }
    ],
    "rounds": 7,
    "round_seconds": 3.0,
    "matrix_rates": {},
    "data": {"small images": "CIFAR-10"},
    "left_out": [],
    "seconds": 100.0,
    "machine": PROVENANCE | {"allocator": "glibc"},
}


def write(folder: Path, **files: Any) -> Path:
    """Write result files by their names, without the ending, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def everything(folder: Path) -> Path:
    """Write results of each kind, and return their folder."""
    files = {f"{content['network']}-short": content for content in study()}
    files |= {f"resnet110-full-{seed}": result("resnet110", 6.5 + 0.1 * seed, 0.1, seed=seed) for seed in range(5)}
    files |= {"resnet20-full": result("resnet20", 9.9, 0.9), "plain20-full": result("plain20", 9.6, 1.4)}
    photos = {"ten-crop": {"top1": 27.9, "top5": 9.6}}
    files["plain18"] = result("plain18", 30.0, recipe="imagenet", data="imagenet", errors=photos)
    return write(folder, complexity=COMPLEXITY, speed=BENCHMARK, **files)


def collected(*contents: dict[str, Any]) -> Results:
    """Return results of these contents."""
    return Results(runs=tuple(measured.parse(f"results/{i}.json", content) for i, content in enumerate(contents)))


def read(folder: Path) -> Results:
    """Return the results in a folder."""
    return collect([folder])
