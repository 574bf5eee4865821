"""`evaluate` by every protocol: of one network or an ensemble, in Python and as a command, into a file and a report."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.cli import run
from resnets.data.decoding import single_views
from resnets.data.normalization import normalize
from resnets.errors import UsageError
from resnets.evaluation.responses import write_json
from resnets.records import base
from resnets.records.runs import ClassifierResult, result_next_to
from resnets.report.collect import collect
from resnets.specs import InputSpec
from resnets.weights import weights_file

CLASSES = ("cat", "dog", "emu")
WAYS = (None, "exact", "reduced")  # to decode JPEGs


@pytest.fixture
def digits_runs(digits_run: Path, plain_run: Path) -> list[Path]:
    """Runs of two depths on the digits, with different inputs."""
    return [digits_run, plain_run]


@pytest.fixture(scope="module")
def photo_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained ResNet-8 that takes 64x64 crops out of a shorter side of 72."""
    return _photo_weights(tmp_path_factory.mktemp("weights") / "resnet8.safetensors")


def _photo_weights(path: Path, classes: Sequence[str] = CLASSES, name: str = "resnet8", size: int = 64) -> Path:
    torch.manual_seed(0)
    network = resnets.create(name, num_classes=3)
    input_spec = InputSpec(size=size, resize=size * 9 // 8, mean=(0.4, 0.5, 0.5))
    weights_file.save(path, network, classes=tuple(classes), input_spec=input_spec)
    return path


# ---------------------------------------------------------------- small images


def test_an_ensemble_of_different_depths_and_inputs(digits_runs: list[Path]) -> None:
    """Its members' own errors are those of each alone; together they are the mean of their probabilities."""
    found = resnets.evaluate(digits_runs, "digits")
    alone = [resnets.evaluate(folder, "digits") for folder in digits_runs]
    assert found.network == "ensemble of 2" and found.protocol == "single-view"
    assert [member.top1_wrong for member in found.members] == [each.top1_wrong for each in alone]
    assert [member.network for member in found.members] == ["resnet8", "plain8"]
    assert [member.loss for member in found.members] == pytest.approx([each.loss for each in alone], rel=1e-5)
    # the mean of probabilities is a convex sum, and the logarithm is concave
    assert found.loss <= np.mean([each.loss for each in alone])

    probabilities, labels = [], None
    for folder in digits_runs:
        model = resnets.load(folder)
        images, labels = next(resnets.load_data("digits").test.test_batches(model.input_spec, batch_size=999))
        with torch.inference_mode():
            probabilities.append(model.network(images).softmax(1))
    assert found.top1_wrong == int((torch.stack(probabilities).mean(0).argmax(1) != labels).sum())
    assert found.samples == 360 and len(found.confusion) == 10


def test_intervals_and_flips(digits_runs: list[Path]) -> None:
    """The error is inside its 95 % interval; horizontal flips are another protocol with another loss."""
    found, flipped = (resnets.evaluate(digits_runs[0], "digits", flips=flips) for flips in (None, True))
    low, high = found.top1_interval
    assert low < found.top1_error == 100 * found.top1_wrong / 360 < high
    assert flipped.protocol == "single-view with flips" and flipped.flips
    assert flipped.loss != found.loss


def test_classes_in_another_order_are_matched_by_name(digits_runs: list[Path]) -> None:
    """The same images with their classes numbered otherwise have the same error, alone and in an ensemble."""
    digits = resnets.load_data("digits")
    assert isinstance(digits.test, resnets.ImageArrays)
    order = np.random.default_rng(0).permutation(10)
    test = resnets.ImageArrays(digits.test.images, np.argsort(order)[digits.test.labels])
    other = resnets.DataSplits(name="x", train=test, test=test, classes=tuple(str(i) for i in order))
    expected = resnets.evaluate(digits_runs, "digits")
    with pytest.warns(UserWarning, match="the classes of x in another order; they are matched by their names"):
        found = resnets.evaluate(digits_runs, other)
    assert found.top1_wrong == expected.top1_wrong
    assert [member.top1_wrong for member in found.members] == [member.top1_wrong for member in expected.members]
    assert found.class_errors == {name: expected.class_errors[name] for name in other.classes}
    with pytest.warns(UserWarning, match="another order"):
        assert resnets.evaluate(digits_runs[0], other).top1_wrong == expected.members[0].top1_wrong


def test_an_engine_in_an_ensemble(digits_runs: list[Path]) -> None:
    """An optimised model is run by its engine, also with others."""
    model = resnets.optimize(resnets.load(digits_runs[0]), batch_size=64, engine="eager", precision="fp32")
    assert isinstance(model, resnets.Model)
    found = resnets.evaluate([model, digits_runs[1]], "digits")
    assert found.top1_wrong == resnets.evaluate(digits_runs, "digits").top1_wrong


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"protocol": "twelve-crop"}, "'twelve-crop'"),
        ({"protocol": ""}, "''"),
        ({"protocol": "center-crop"}, "single-view"),
        ({"protocol": "ten"}, "single-view"),
        ({"protocol": "dense"}, "single-view"),
        ({"scales": (64,)}, "dense-multi-scale"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"decode": "reduced"}, "no photos"),
    ],
)
def test_wrong_options_for_small_images(digits_run: Path, options: dict[str, Any], named: str) -> None:
    """Small images have one protocol without crops or scales; an error names the wrong value or the right protocol."""
    with pytest.raises(UsageError, match=named):
        resnets.evaluate(digits_run, "digits", **options)


def test_an_evaluation_of_nothing_is_refused() -> None:
    """A list of weights has at least one."""
    with pytest.raises(UsageError, match="weights are"):
        resnets.evaluate([], "digits")


# ---------------------------------------------------------------- photos


@pytest.mark.parametrize(
    ("protocol", "name", "flips", "scales"),
    [
        (None, "center-crop", False, ()),
        ("center", "center-crop", False, ()),
        ("ten-crop", "ten-crop", True, ()),
        ("dense", "dense-multi-scale", True, (64, 73, 110, 137, 183)),  # the paper's, in proportion to 64 of 224
    ],
)
def test_photos_by_every_protocol(
    photo_folder: Path, photo_weights: Path, protocol: str | None, name: str, flips: bool, scales: tuple[int, ...]
) -> None:
    """Each protocol has its flips and scales, in proportion to the paper's, and sees each image once."""
    found = resnets.evaluate(photo_weights, f"folder:{photo_folder}", protocol=protocol, workers=0)
    assert (found.protocol, found.flips, found.scales, found.samples) == (name, flips, scales, 6)
    assert sum(map(sum, found.confusion)) == 6


def test_another_decoding_is_another_protocol(photo_folder: Path, photo_weights: Path) -> None:
    """Large JPEGs decoded otherwise than in training give other numbers, which the protocol's name says."""
    for path in photo_folder.rglob("*.jpg"):
        with Image.open(path) as image:
            image.resize((600, 500), Image.Resampling.BICUBIC).save(path, quality=90)
    tested = {way: resnets.evaluate(photo_weights, f"folder:{photo_folder}", decode=way, workers=0) for way in WAYS}
    assert [found.protocol for found in tested.values()] == ["center-crop", "center-crop", "center-crop, JPEGs reduced"]
    assert tested[None].loss == tested["exact"].loss != tested["reduced"].loss
    assert tested["reduced"].loss == pytest.approx(tested["exact"].loss, rel=0.1)
    paths = sorted((photo_folder / "val").rglob("*.jpg"))
    none, exact, reduced = (resnets.predict(photo_weights, paths, decode=way)[0].probabilities for way in WAYS)
    assert none == exact != reduced


def test_dense_at_one_scale_is_the_forward_pass_on_square_photos(
    make_photos: Callable[..., Path], photo_weights: Path
) -> None:
    """At the network's own size a square photo is its whole input, as the centre crop out of just that size."""
    source = f"folder:{make_photos(size=(72, 72))}"
    model = resnets.load(photo_weights)
    assert model.input_spec is not None
    whole = dataclasses.replace(model, input_spec=model.input_spec.with_changes(resize=65))
    dense = resnets.evaluate(whole, source, protocol="dense", scales=[64], flips=False, workers=0)
    assert dense.protocol == "dense-multi-scale at 64 without flips"
    test = resnets.load_data(source).test
    assert isinstance(test, resnets.ImageFiles)
    input_spec = model.input_spec.with_changes(resize=64)
    pixels = normalize(single_views(test.paths, input_spec), input_spec)
    with torch.inference_mode():
        logits = model.network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(test.labels))
    assert dense.loss == pytest.approx(float(loss), rel=1e-4)


def test_members_of_other_sizes(photo_folder: Path, photo_weights: Path, tmp_path: Path) -> None:
    """Each takes its own crops and scales, and has its classes in its own order."""
    other = _photo_weights(tmp_path / "other.safetensors", classes=CLASSES[::-1], name="plain18", size=48)
    with pytest.warns(UserWarning, match="other.safetensors"):
        found = resnets.evaluate([photo_weights, other], f"folder:{photo_folder}", protocol="dense", workers=0)
    assert [member.scales[0] for member in found.members] == [64, 48]
    with pytest.warns(UserWarning, match="another order"):
        alone = resnets.evaluate(other, f"folder:{photo_folder}", protocol="dense", workers=0)
    assert alone.top1_wrong == found.members[1].top1_wrong


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"protocol": "single-view"}, "center-crop, ten-crop, 144-crop, dense-multi-scale"),
        ({"protocol": "ten-crop", "flips": False}, "ten-crop"),
        ({"protocol": "144-crop", "scales": (64, 73)}, "144-crop"),
        ({"protocol": "dense", "scales": (48, 64)}, "scale 48"),
        ({"protocol": "dense", "scales": ()}, "none"),
        ({"protocol": "dense", "scales": (64, 64)}, "each once"),
        ({"decode": "fast"}, "'fast'"),
    ],
)
def test_wrong_options_for_photos(photo_folder: Path, photo_weights: Path, options: dict[str, Any], named: str) -> None:
    """Photos have four protocols, of which dense testing takes distinct scales of at least the crop's size."""
    with pytest.raises(UsageError, match=named):
        resnets.evaluate(photo_weights, f"folder:{photo_folder}", **options)


# ---------------------------------------------------------------- the command, its file, the report


def test_the_command_shows_members_and_intervals(
    digits_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the ensemble, then each member; its file has the members' runs and the provenance."""
    file = tmp_path / "results" / "ensemble.json"
    arguments = ["evaluate", *map(str, digits_runs), "--data", "digits", "--out", str(file)]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ensemble of 2 on 360 test images of digits, single-view: top-1 error ")
    assert lines[0].endswith(")") and " % (" in lines[0] and " to " in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["  resnet8 alone", "  plain8 alone"]
    found = base.read(file, resnets.Evaluation)
    assert found is not None and "confusion" not in base.as_json(found)
    assert found.provenance.versions and found.provenance.hardware and found.provenance.commit
    first = found.members[0]
    assert first.result is not None and first.result.run.network.name == "resnet8"
    assert first.sha256 is not None and len(first.sha256) == 64
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1_wrong"] == found.top1_wrong


def test_the_command_takes_scales_as_a_list(
    photo_folder: Path, photo_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list with commas is the scales; another separator is refused."""
    arguments = ["evaluate", str(photo_weights), "--data", f"folder:{photo_folder}", "--protocol", "dense"]
    assert run([*arguments, "--scales", "64,80", "--no-flips", "--workers", "0"]) == 0
    assert "dense-multi-scale at 64, 80 without flips: top-1 error" in capsys.readouterr().out
    assert run([*arguments, "--scales", "64;80"]) == 2
    assert "is not a list of pixels" in capsys.readouterr().err


def test_the_report_reads_the_file_beside_the_run(digits_runs: list[Path], tmp_path: Path) -> None:
    """A test by another protocol becomes one of the run's errors, whether the run's own file is there or not."""
    file = tmp_path / "flipped.json"
    found = resnets.evaluate(digits_runs, "digits", flips=True, out=file)
    alone = collect([file]).runs
    assert [one.network for one in alone] == ["resnet8", "plain8"]
    for places in ([file, *digits_runs], [*digits_runs, file]):
        runs = collect(places).runs
        assert len(runs) == 2
        for one, member in zip(sorted(runs, key=lambda each: each.seed), found.members, strict=True):
            assert set(one.errors) == {"single-view", "single-view with flips"}
            assert one.errors["single-view with flips"].top1 == member.top1_error


def test_a_test_of_photos_that_were_decoded_for_training_is_the_runs(photo_folder: Path, tmp_path: Path) -> None:
    """A small network's run knows their pixels and their files; other photos in a folder of one name are not its."""
    data, run, file = f"folder:{photo_folder}", tmp_path / "run", tmp_path / "flipped.json"
    resnets.train("resnet8", data, iterations=2, batch_size=4, out=run, workers=0)
    resnets.evaluate(run, data, flips=True, workers=0, out=file)
    (of_run,) = collect([run, file]).runs
    assert set(of_run.errors) == {"single-view", "center-crop with flips"}
    other = Path(shutil.copytree(photo_folder, tmp_path / "other" / photo_folder.name))
    for photo in (other / "val").rglob("*.jpg"):
        Image.new("RGB", (40, 40)).save(photo)
    resnets.evaluate(run, f"folder:{other}", flips=True, workers=0, out=file)
    write_json(resnets.responses(run, f"folder:{other}", workers=0), tmp_path / "responses.json")
    found = collect([run, file, tmp_path / "responses.json"])
    assert set(found.runs[0].errors) == {"single-view"} and not found.runs[0].responses
    assert len(found.problems) == 2


def test_an_ensemble_on_other_photos_is_not_of_its_runs(photo_folder: Path, tmp_path: Path) -> None:
    """Also where the folder has their name, and small networks were trained on the pixels of theirs."""
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, out in enumerate(runs):
        resnets.train("resnet8", f"folder:{photo_folder}", seed=seed, iterations=1, batch_size=4, out=out, workers=0)
    other = Path(shutil.copytree(photo_folder, tmp_path / "other" / photo_folder.name))
    Image.new("RGB", (40, 40)).save(next((other / "val").rglob("*.jpg")))
    for folder, known in ((photo_folder, 2), (other, 0)):
        resnets.evaluate(runs, f"folder:{folder}", workers=0, out=tmp_path / "both.json")
        (both,) = collect([*runs, tmp_path / "both.json"]).ensembles
        assert len(both.runs) == known


def test_a_test_without_its_run_is_shown_as_one(photo_folder: Path, photo_weights: Path, tmp_path: Path) -> None:
    """Also where the result.json next to the weights is of something else; and a file that is none is named."""
    weights = Path(shutil.copy(photo_weights, tmp_path))
    (tmp_path / "result.json").write_text('{"accuracy": 0.9}')
    resnets.evaluate(weights, f"folder:{photo_folder}", workers=0, out=tmp_path / "a" / "one.json")
    (tmp_path / "a" / "two.json").write_text((tmp_path / "a" / "one.json").read_text().replace("members", "x"))
    found = collect([tmp_path / "a"])
    (shown,), (problem,) = found.weights, found.problems
    assert not found.runs and (shown.file, shown.weights) == ("a/one.json", (weights.name,))
    assert problem.startswith("a/two.json") and "unknown field `x`" in problem


@pytest.mark.parametrize(("network", "options"), [("resnet14", {}), ("resnet8", {"shortcut": "B"})])
def test_a_result_of_another_network_is_not_that_of_the_weights(
    network: str, options: dict[str, Any], digits_run: Path, tmp_path: Path
) -> None:
    """Where a run's weights were replaced, neither by a deeper network nor by another variant is its result theirs."""
    copy = shutil.copytree(digits_run, tmp_path / "run")
    weights = weights_file.load(copy / "weights.safetensors")
    assert result_next_to(weights.path, ClassifierResult, weights.spec) is not None
    other = resnets.create(network, num_classes=10, in_channels=1, **options)
    weights_file.save(weights.path, other, classes=weights.classes, input_spec=weights.input_spec)
    assert resnets.evaluate(copy, "digits").members[0].result is None


def test_weights_of_the_package_are_of_a_run(tmp_path: Path) -> None:
    """Its result comes with them, so that a test on other images is refused by a report, and not taken for its own."""
    classes = resnets.load("resnet20-cifar10", device="cpu").classes
    few = resnets.ImageArrays(np.zeros((10, 32, 32, 3), np.uint8), np.arange(10))
    assert classes is not None
    few_splits = resnets.DataSplits(name="few", train=few, test=few, classes=classes)
    found = resnets.evaluate("resnet20-cifar10", few_splits, device="cpu", out=tmp_path / "one.json")
    result = found.members[0].result
    assert result is not None and (result.run.network.name, result.test_samples) == ("resnet20", 10_000)
    with pytest.raises(UsageError, match="10 of few"):
        collect([tmp_path])
