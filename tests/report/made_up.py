"""Synthetic result files for the tests of reports, as the commands and the benchmarks write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets.networks import registry
from resnets.records import base
from resnets.records.base import Record
from resnets.records.benchmarks import Benchmark, BenchmarkRow, Claim, Machine, Quantity
from resnets.records.costs import Cost, Costs, StageCost
from resnets.records.counts import wilson
from resnets.records.evaluations import (
    Errors,
    Evaluation,
    LayerResponses,
    Member,
    ReproducedRun,
    Response,
    Responses,
)
from resnets.records.runs import (
    ClassifierResult,
    CurvePoint,
    DataRecord,
    DetectorResult,
    NetworkRecord,
    Provenance,
    RunRecord,
)
from resnets.records.studies import DepthRow
from resnets.report.collect import collect
from resnets.report.measured import measured
from resnets.report.runs import Measured, Results
from resnets.specs import PUBLISHED_IMAGES, PublishedImages, Setting, Shortcut
from resnets.training import recipes

PROVENANCE = Provenance(
    versions={"resnets": "0.1.0", "python": "3.11.7", "torch": "2.15.0"},
    hardware={"processor": "AMD EPYC", "cores": 2, "threads": 2, "device": "cpu"},
    system="Linux",
    commit="2f0858b1096ed838142781b4021238a3dfe6e0e1",
)


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
    shortcut: Shortcut | None = None,
    recipe_changes: Mapping[str, Any] | None = None,
    network_changes: Mapping[str, Any] | None = None,
    data_changes: Mapping[str, Any] | None = None,
    run_changes: Mapping[str, Any] | None = None,
) -> ClassifierResult:
    """Return the result of a run; None for `iterations` is the recipe's full length.

    The data is a published data set where it has its name; with a `split` the curve is of its validation images.
    """
    full = recipes.RECIPES.find(recipe)
    scaled = full.scaled(iterations or full.iterations).with_changes(**recipe_changes or {})
    known = PUBLISHED_IMAGES.get(data, PublishedImages(data, 50_000, 10_000, 2))
    spec: Any = registry.declare(network, num_classes=known.classes, shortcut=shortcut)
    spec = spec.with_changes(**network_changes or {})
    steps, curve_on = min(8, scaled.iterations), "test_error" if split == "all" else "validation_error"
    curve = tuple(
        CurvePoint(
            iteration=scaled.iterations * step // steps,
            training_error=training_error + 60 / step - 60 / steps,
            **{curve_on: test_error + 50 / step - 50 / steps},
        )
        for step in range(1, steps + 1)
    )
    images = DataRecord(
        name=data,
        split=split,
        digest=":".join(known.digests) or None,
        classes=tuple(map(str, range(known.classes))),
        training_images=known.train,
        test_images=known.test,
    )
    run = RunRecord(
        network=NetworkRecord(name=network, spec=spec, parameters=270_000),
        recipe=scaled,
        data=images.with_changes(**data_changes or {}),
        seed=seed,
        precision="bf16",
        workers=2,
        provenance=(PROVENANCE,),
    ).with_changes(**run_changes or {})
    return ClassifierResult(
        test_error=test_error,
        test_top5_error=test_error / 4,
        test_samples=known.test,
        training_error=training_error,
        validation_error=None if split == "all" else test_error,
        seconds=500.0 + spec.depth + seed,
        images_per_second=1000.0,
        curve=curve,
        run=run,
    )


def reproduced(
    of: ClassifierResult | DetectorResult,
    *,
    declared: Mapping[str, Any] | None = None,
    data: str | None = None,
    scale: Any = "full",
    **tests: Any,
) -> ReproducedRun:
    """Return what `reproduce` makes of a run: what it is declared to be, by default itself, and its further tests."""
    run = of.run
    own: dict[str, Any] = {"network": run.network.name, "shortcut": getattr(run.network.spec, "shortcut", None)}
    own |= {"recipe": run.recipe.name, "data": run.data.name}
    return ReproducedRun(
        result=of,
        declared=Setting(**own | dict(declared or {})),
        data=data or run.data.name,
        scale=scale,
        identity="0" * 64,
        **tests,
    )


def shown(record: ClassifierResult | ReproducedRun, file: str = "results/one.json") -> Measured:
    """Return the run that a file of this record describes."""
    if isinstance(record, ClassifierResult):
        return measured(file, record)
    assert isinstance(record.result, ClassifierResult)
    return measured(file, record.result, record)


def run(*arguments: Any, **options: Any) -> Measured:
    """Return the run that the file of such a result describes."""
    return shown(result(*arguments, **options))


def evaluated(
    *members: tuple[str, float, ClassifierResult | None],
    data: str = "cifar10",
    digest: str | None = ":".join(PUBLISHED_IMAGES["cifar10"].digests),
    protocol: str = "single-view",
) -> Evaluation:
    """Return the record of a test on 10,000 images: of each member the network, its error, and its run's result."""
    samples, classes = 10_000, "abcdefghij"

    def counts(network: str, error: float, top5: float) -> dict[str, Any]:
        return {
            "network": network,
            "samples": samples,
            "top1_wrong": round(error * samples / 100),
            "top1_error": error,
            "top1_interval": wilson(error, samples),
            "top5_wrong": round(top5 * samples / 100),
            "top5_error": top5,
            "top5_interval": wilson(top5, samples),
            "loss": 0.25,
            "class_errors": dict.fromkeys(classes, error),
        }

    return Evaluation(
        **counts(f"ensemble of {len(members)}", 7.5, 0.25),
        data=data,
        digest=digest,
        protocol=protocol,
        flips=False,
        scales=(),
        precision="fp32",
        members=tuple(
            Member(**counts(name, error, error / 4), weights="w", sha256=None, scales=(), digest=digest, result=of_run)
            for name, error, of_run in members
        ),
        provenance=PROVENANCE,
    )


def responses(layers: int, first: float, **more: float) -> tuple[Response, ...]:
    """Return responses of so many layers that fall from the first."""
    return tuple(Response(f"layer{index}", first / (1 + 0.05 * index), **more) for index in range(layers))


def responses_of(
    of_run: ClassifierResult | None, layers: tuple[Response, ...], *, images: int = 10_000, **changes: Any
) -> Responses:
    """Return the record of a network's responses to the test images of CIFAR-10."""
    network = "resnet20" if of_run is None else of_run.run.network.name
    of_network = LayerResponses(
        network=network, source="runs/x", data="cifar10", images=images, layers=layers, result=of_run
    )
    one = of_network.with_changes(**changes)
    return Responses(protocol="center", networks=(one,), provenance=PROVENANCE)


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


def study(iterations: int | None = 4000) -> list[ReproducedRun]:
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
    found = [result(name, *pair, iterations=iterations) for name, pair in errors.items()]
    return [reproduced(one, scale="short", responses=responses((one.run.network.depth or 0) - 1, 2.5)) for one in found]


COSTS = Costs(
    networks=(
        Cost(
            network="resnet18",
            shortcut="A",
            depth=18,
            parameters=11_511_784,
            macs=1_814_073_344,
            stages=tuple(
                StageCost(name=name, output_size=(side, side), layers=layers, parameters=1, macs=1)
                for name, side, layers in (
                    ("conv1", 112, "7x7, 64, stride 2"),
                    ("conv2_x", 56, "3x3 max pool, stride 2; [3x3, 64; 3x3, 64] x 2"),
                    ("conv3_x", 28, "[3x3, 128; 3x3, 128] x 2"),
                    ("conv4_x", 14, "[3x3, 256; 3x3, 256] x 2"),
                    ("conv5_x", 7, "[3x3, 512; 3x3, 512] x 9"),
                    ("fc", 1, "average pool; 1000-d fc"),
                )
            ),
        ),
        Cost(network="resnet20", shortcut="A", depth=20, parameters=269_722, macs=40_551_040),
    ),
    provenance=PROVENANCE,
)


def _claim(quantity: Quantity, ours: float, theirs: float | None, median: float) -> Claim:
    return Claim(
        quantity=quantity,
        over=None if theirs is None else "CIFAR baseline",
        role=None if theirs is None else "reference",
        ours=ours,
        theirs=theirs,
        values=(median,),
        median=median,
        lowest=1.9,
        highest=2.2,
        at_least=1.8,
        aim=2.5,
        verdict="reached",
    )


BENCHMARK = Benchmark(
    rows=(
        BenchmarkRow(
            row="resnet20-cifar",
            what="ResNet-20 training, CIFAR-10 end to end, batch 128",
            kind="training",
            sides=(),
            claims=(
                _claim("speed", 2000.0, 1000.0, 2.0),
                _claim("images/s", 2000.0, None, 2000.0),
                _claim("peak memory", 2.0**30, 2.0**31, 0.5),
            ),
            load=(0.1,),
        ),
    ),
    rounds=7,
    round_seconds=3.0,
    matrix_rates={},
    data={"small images": "CIFAR-10"},
    left_out=(),
    seconds=100.0,
    machine=Machine(**PROVENANCE.fields(), environment={}, allocator="glibc"),
)


def write(folder: Path, **files: Any) -> Path:
    """Write result files by their names, without the ending, and return the folder: of records, or of any JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / f"{name}.json"
        if isinstance(content, Record | Evaluation):
            base.write(path, content)
        else:
            path.write_text(json.dumps(content))
    return folder


def everything(folder: Path) -> Path:
    """Write results of each kind, and return their folder."""
    files: dict[str, Any] = {f"{one.result.run.network.name}-short": one for one in study()}
    files |= {f"resnet110-full-{seed}": result("resnet110", 6.5 + 0.1 * seed, 0.1, seed=seed) for seed in range(5)}
    files |= {"resnet20-full": result("resnet20", 9.9, 0.9), "plain20-full": result("plain20", 9.6, 1.4)}
    plain18 = result("plain18", 30.0, recipe="imagenet", data="imagenet")
    files["plain18"] = reproduced(plain18, errors={"ten-crop": Errors(27.9, 9.6)})
    return write(folder, costs=COSTS, speed=BENCHMARK, **files)


def collected(*records: ClassifierResult | ReproducedRun) -> Results:
    """Return results of these records."""
    return Results(runs=tuple(shown(record, f"results/{i}.json") for i, record in enumerate(records)))


def read(folder: Path) -> Results:
    """Return the results in a folder."""
    return collect([folder])
