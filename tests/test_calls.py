"""The Python calls: the same defaults and errors as the commands, on names and on objects of one's own."""

from __future__ import annotations

import base64
import dataclasses
import inspect
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from observing import Recorder
from torch import nn

import resnets
from resnets.errors import DataError, UsageError, WeightsError
from resnets.records.runs import ClassifierResult
from resnets.specs import InputSpec, Recipe, ScaleCropFlip
from resnets.training.run_folder import RunFolder


def test_every_public_name_is_there() -> None:
    """Each name in `__all__` is importable, and any other is an AttributeError."""
    for name in resnets.__all__:
        assert getattr(resnets, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = resnets.nope


def test_arguments_are_documented() -> None:
    """Each argument of a public call with more than four has a line under Args."""
    for name in resnets.__all__:
        call = getattr(resnets, name)
        if inspect.isfunction(call) and len(names := list(inspect.signature(call).parameters)) > 4:
            text = (inspect.getdoc(call) or "").partition("Args:\n")[2].partition("\n\n")[0]
            listed = {one for line in re.findall(r"^    (\w[\w, ]*):", text, re.MULTILINE) for one in line.split(", ")}
            assert set(names) - {"options"} <= listed, name


@pytest.fixture(scope="module")
def result(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> resnets.TrainResult:
    """The result of a finished run, as the call returns it again. Its folder is only read."""
    copy = shutil.copytree(digits_run, tmp_path_factory.mktemp("runs") / "copy")  # which no other process locks
    found = resnets.train("resnet8", "digits", iterations=30, out=copy, resume=True)
    assert found.already_finished
    return found


def test_train_learns(result: resnets.TrainResult) -> None:
    """30 iterations bring ResNet-8 well below chance, 90 %."""
    assert result.test_error < 60
    assert result.iterations == 30
    assert result.curve[-1].iteration == 30


def test_load_gives_the_trained_network(result: resnets.TrainResult) -> None:
    """A loaded run is in evaluation mode with its classes and input, and has the run's error."""
    model = resnets.load(result.folder)
    assert not model.network.training
    assert model.classes == tuple("0123456789")
    assert model.input_spec is not None
    assert model.input_spec.mean_image is not None  # the per-pixel mean travels with the weights
    evaluation = resnets.evaluate(model, "digits")
    assert evaluation.top1_error == result.test_error
    assert resnets.evaluate(result.folder, "digits", batch_size=7).top1_error == result.test_error


def test_repr_of_a_model_is_a_few_lines(result: resnets.TrainResult) -> None:
    """It has the network, the classes, the input size and the device, and stays short with ImageNet's mean image."""
    model = resnets.load(result.folder)
    text = repr(model)
    assert len(text) < 1000 and len(text.splitlines()) < 10
    for part in ("resnet8", "10 (0, 1, 2, ...)", "8 x 8 grey", str(model.device)):
        assert part in text
    mean_image = base64.b64encode(bytes(4 * 3 * 224 * 224)).decode()
    input_spec = InputSpec(size=224, resize=256, mean_image=mean_image)
    classes = tuple(f"class {number}" for number in range(1000))
    large = dataclasses.replace(model, input_spec=input_spec, classes=classes)
    assert len(repr(large)) < 1000 and "224 x 224 RGB" in repr(large)
    assert len(repr(input_spec)) < 1000 and "224 x 224 x 3" in repr(input_spec)
    bare = dataclasses.replace(model, network=nn.Flatten(), input_spec=None, classes=None)
    assert "Flatten" in repr(bare)


def test_what_a_call_returns_is_shown_in_short(result: resnets.TrainResult) -> None:
    """A notebook shows a few lines of a run, a test and a data set, whatever the number of classes and images."""
    evaluation = resnets.evaluate(result.folder, "digits")
    errors = {f"class {number}": 0.0 for number in range(1000)}
    large = evaluation.with_changes(class_errors=errors, confusion=((1,) * 1000,) * 1000)
    data = resnets.load_data("digits")
    for shown in (result, evaluation, large, data):
        assert len(repr(shown)) < 2000
    assert f"top1_error={evaluation.top1_error}" in repr(large)
    assert "1437 x 8 x 8 x 1" in repr(data)


def test_a_device_may_be_torchs(result: resnets.TrainResult) -> None:
    """Where its name is asked for."""
    found = resnets.evaluate(result.folder, "digits", device=torch.device("cpu"), workers=0)  # type: ignore[arg-type]
    assert found.members[0].network == "resnet8"


def test_create_with_weights(result: resnets.TrainResult) -> None:
    """`create` with a run's weights gives its network."""
    network = resnets.create("resnet8", num_classes=10, in_channels=1, weights=result.folder)
    expected = resnets.load(result.folder).network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_weights_evaluated_on_other_data_are_refused(result: resnets.TrainResult) -> None:
    """Classes shifted by one, as by one that is missing, would otherwise give a silent, wrong error."""
    digits = resnets.load_data("digits")
    assert isinstance(digits.test, resnets.ImageArrays)
    shifted = resnets.DataSplits(name="x", train=digits.train, test=digits.test, classes=(*"123456789", "x"))
    with pytest.raises(DataError, match="class '1' where the weights have '0'"):
        resnets.evaluate(result.folder, shifted)
    larger = resnets.ImageArrays(np.zeros((3, 9, 9, 1), np.uint8), np.zeros(3, np.int64))
    with pytest.raises(DataError, match="9 x 9 x 1"):
        resnets.evaluate(result.folder, resnets.DataSplits(name="x", train=larger, test=larger, classes=digits.classes))


def test_evaluate_an_unfinished_run(tmp_path: Path) -> None:
    """A run without a result is an error that says how to continue it."""
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(WeightsError, match="--resume"):
        resnets.evaluate(tmp_path, "digits")


class Squares(torch.utils.data.Dataset):
    """Images whose upper half is bright in class 1 and dark in class 0."""

    classes = ("dark", "bright")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.rand(3, 6, 6)
        image[:, :3] += index % 2
        return image, index % 2


def test_train_any_module_on_any_dataset(tmp_path: Path) -> None:
    """A module and a dataset of the user are trained, saved and evaluated."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    data = Squares(64), Squares(20)
    result = resnets.train(
        network, data, recipe="cifar", iterations=20, batch_size=16, lr=0.05, workers=0, out=tmp_path / "run"
    )
    assert result.test_error == 0
    fresh = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    evaluation = resnets.evaluate(result.folder, data, network=fresh, workers=0)
    assert evaluation.top1_error == 0
    assert evaluation.network == "Sequential"
    with pytest.raises(WeightsError):
        resnets.load(result.folder)


def test_a_dataset_without_tensors_or_classes_is_refused(tmp_path: Path) -> None:
    """A dataset gives image tensors and has the attribute `classes`."""

    class NoTensors(Squares):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return "image", 0  # type: ignore[return-value]

    with pytest.raises(UsageError, match="str"):
        resnets.train(nn.Flatten(), (NoTensors(3), NoTensors(3)), out=tmp_path / "run")
    with pytest.raises(UsageError, match="`classes`"):
        resnets.train(nn.Flatten(), (torch.utils.data.TensorDataset(torch.zeros(2, 3), torch.zeros(2)),) * 2)


def test_options_are_for_named_networks(tmp_path: Path) -> None:
    """Options of a network are refused for a module that is already built."""
    with pytest.raises(UsageError, match="shortcut"):
        resnets.train(resnets.create("resnet8"), "digits", shortcut="B", out=tmp_path / "run")


def recipe_of(run: Path) -> Recipe:
    """Return the recipe of a classifier's run, as it is recorded."""
    record = RunFolder(run).record()
    assert record is not None and isinstance(record.recipe, Recipe)
    return record.recipe


def test_the_recipe_goes_with_the_data(result: resnets.TrainResult, tmp_path: Path) -> None:
    """Without a recipe the data's own is taken."""
    resnets.train("resnet8", "digits", recipe="cifar", iterations=1, out=tmp_path)
    assert [recipe_of(run).name for run in (result.folder, tmp_path)] == ["digits", "cifar"]


def test_photos_train_and_predict(photo_folder: Path, tmp_path: Path) -> None:
    """A CIFAR-type network takes photos of any size at 32 x 32; the weights know their classes."""
    result = resnets.train("resnet8", f"folder:{photo_folder}", iterations=2, batch_size=4, out=tmp_path / "run")
    image = next((photo_folder / "val").rglob("*.jpg"))
    prediction = resnets.predict(result.folder, [image], top=1)[0]
    assert prediction.classes[0] in resnets.load(result.folder).classes
    assert resnets.evaluate(result.folder, f"folder:{photo_folder}").top1_error == result.test_error


@pytest.mark.parametrize("network", ["resnet8", "resnet18"])
def test_photos_are_read_as_grey(photo_folder: Path, tmp_path: Path, network: str) -> None:
    """With in_channels=1 a network of either type is trained, tested and used on grey images, of the same files."""
    source, out = f"folder:{photo_folder}", tmp_path / "run"
    settings = {"size": 64} if network == "resnet18" else {}
    result = resnets.train(
        network, source, in_channels=1, iterations=1, batch_size=2, workers=0, device="cpu", out=out, **settings
    )
    model = resnets.load(out, device="cpu")
    assert model.input_spec is not None and model.input_spec.channels == model.network.conv1.in_channels == 1
    assert resnets.evaluate(model, source, workers=0).top1_error == result.test_error
    assert model.predict(next((photo_folder / "val").rglob("*.jpg"))).classes
    with pytest.raises(UsageError, match="in_channels is 4"):
        resnets.train(network, source, in_channels=4, out=tmp_path / "other")


@pytest.mark.parametrize(
    ("size", "resize", "longest", "departures"), [(None, 256, 480, []), (112, 128, 240, ["crops of 112 pixels"])]
)
def test_photos_are_trained_at_any_size(
    photo_folder: Path, tmp_path: Path, size: int | None, resize: int, longest: int, departures: list[str]
) -> None:
    """By the recipe `imagenet` at 224 pixels, or in proportion at a given size, which is a departure."""
    source, options = f"folder:{photo_folder}", {} if size is None else {"size": size}
    options |= {"recipe": "imagenet", "iterations": 1, "batch_size": 2, "workers": 0, "out": tmp_path / "run"}
    result = resnets.train("resnet18", source, **options)
    model = resnets.load(result.folder)
    assert model.input_spec is not None
    assert (model.input_spec.size, model.input_spec.resize) == (size or 224, resize)
    assert resnets.evaluate(model, source, workers=0).top1_error == result.test_error
    recipe = recipe_of(tmp_path / "run")
    crops = recipe.augmentation
    assert isinstance(crops, ScaleCropFlip)
    assert (crops.shortest, crops.longest, crops.crop) == (resize, longest, size or 224)
    assert [one.what[:19] for one in recipe.departures if one.what.startswith("crops of")] == departures


@pytest.mark.parametrize(("network", "data"), [("resnet8", "digits"), ("resnet18", "folder:{photos}")])
def test_sizes_that_cannot_be_trained_are_refused(network: str, data: str, photo_folder: Path, tmp_path: Path) -> None:
    """Images in memory have one size, and crops of photos have 32 pixels or more."""
    with pytest.raises(UsageError, match="size is (given|16)"):
        resnets.train(network, data.format(photos=photo_folder), size=16, out=tmp_path / "run")


def test_weights_of_another_function_are_refused(plain_run: Path) -> None:
    """A plain network and a residual one have the same names and shapes of weights, but compute something else."""
    with pytest.raises(WeightsError, match="plain8.*residual is False"):
        resnets.create("resnet8", in_channels=1, weights=plain_run)
    with pytest.raises(WeightsError, match="residual is False"):
        resnets.load(plain_run, network=resnets.create("resnet8", in_channels=1))


def test_a_module_is_trained_in_place(tmp_path: Path) -> None:
    """Also when its run had finished: it then gets the weights of that run."""
    network, again = (resnets.create("resnet8", in_channels=1) for _ in range(2))
    resnets.train(network, "digits", iterations=2, out=tmp_path / "run")
    assert resnets.train(again, "digits", iterations=2, out=tmp_path / "run", resume=True).already_finished
    assert torch.equal(network.fc.weight.detach(), again.fc.weight.detach())


def test_a_network_must_fit_the_data(tmp_path: Path) -> None:
    """Other classes or channels than the data's are an error, and nothing is written."""
    with pytest.raises(UsageError, match="resnet8 has num_classes=20; digits has 10"):
        resnets.train(resnets.create("resnet8", in_channels=1, num_classes=20), "digits", out=tmp_path / "run")
    with pytest.raises(UsageError, match="resnet8 has in_channels=3; digits has 1"):
        resnets.train(resnets.create("resnet8"), "digits", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_refused_start_leaves_no_run(tmp_path: Path) -> None:
    """After a wrong first command the right one works in the same folder."""
    with pytest.raises(UsageError, match="image files"):
        resnets.train("resnet8", "digits", recipe="imagenet", out=tmp_path / "run")
    resnets.train("resnet8", "digits", iterations=1, out=tmp_path / "run")


def test_what_does_not_apply_is_not_recorded(tmp_path: Path) -> None:
    """A prepared dataset is not augmented, and run.json does not say that it was."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(108, 2))
    data = Squares(8), Squares(8)
    resnets.train(network, data, recipe="cifar", iterations=1, batch_size=4, workers=0, out=tmp_path / "run")
    recipe = recipe_of(tmp_path / "run")
    assert (recipe.augmentation, recipe.preprocessing, recipe.bn_group) == (None, None, None)


def test_photos_are_small_for_cifar_networks_in_whatever_form(photo_folder: Path, tmp_path: Path) -> None:
    """Loaded splits are resized as their source would be."""
    splits = resnets.load_data(f"folder:{photo_folder}")
    result = resnets.train("resnet8", splits, iterations=1, batch_size=4, out=tmp_path / "run")
    input_spec = resnets.load(result.folder).input_spec
    assert input_spec is not None and input_spec.size == 32


def test_another_commit_or_machine_is_noted(tmp_path: Path) -> None:
    """A run that goes on elsewhere keeps the provenance of both sessions."""
    from resnets.errors import Interrupted

    stopping = Recorder(1, lambda: signal.raise_signal(signal.SIGTERM))  # a second signal would end this process
    with pytest.raises(Interrupted):
        resnets.train("resnet8", "digits", iterations=4, out=tmp_path, observers=[stopping])
    folder = RunFolder(tmp_path)
    record = folder.record()
    assert record is not None
    folder.write_record(record.with_changes(provenance=(record.provenance[0].with_changes(commit="elsewhere"),)))
    with pytest.warns(UserWarning, match="continued with another commit than before"):
        resnets.train("resnet8", "digits", iterations=4, out=tmp_path, resume=True)
    result = folder.result(ClassifierResult)
    assert result is not None
    earlier, now = result.run.provenance
    assert earlier.commit == "elsewhere" != now.commit


def test_the_same_weights_are_the_same_bytes(result: resnets.TrainResult, tmp_path: Path) -> None:
    """Two runs that agree can be compared with `cmp`: the header's order is fixed."""
    from resnets.weights import tensor_file

    tensors, header = tensor_file.read_tensors(result.folder / "weights.safetensors")
    for copy in range(6):
        tensor_file.write_tensors(tmp_path / f"{copy}.safetensors", tensors, header)
    assert len({(tmp_path / f"{copy}.safetensors").read_bytes() for copy in range(6)}) == 1


@pytest.mark.parametrize("data", [None, Squares(4), 3])
def test_data_of_another_kind(data: object, tmp_path: Path) -> None:
    """What is neither a source nor splits nor datasets is a usage error."""
    with pytest.raises(UsageError, match="source, DataSplits or"):
        resnets.train("resnet8", data, out=tmp_path / "run")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "wrong", "right"),
    [
        (lambda: resnets.train("resnet8", "digits", epoch=3), "epoch", "epochs"),
        (lambda: resnets.train("resnet8", "digits", outs="runs"), "outs", "out"),
        (lambda: resnets.train("resnet8", "digits", resum=True), "resum", "resume"),
        (lambda: resnets.train("nin", "digits", pool="avg"), "pool", "pool2"),
        (lambda: resnets.train("resnet8", "digits", pool2="avg"), "pool2", "shortcut"),
        (lambda: resnets.train_detector("resnet18", "voc:.", weights=None, anchor=3), "anchor", "anchors"),
        (lambda: resnets.evaluate("runs/first", "digits", protocl="ten-crop"), "protocl", "protocol"),
        (lambda: resnets.load_data("digits", decode_side=8), "decode_side", "decoded_side"),
        (lambda: resnets.plan("resnet20", "cifar10", shortcuts="B"), "shortcuts", "shortcut"),
        (lambda: resnets.train_detector("resnet18", "voc:.", weights=None, observer=[]), "observer", "observers"),
        (lambda: resnets.train_localiser("resnet18", "clsloc:.", weights=None, outs="runs"), "outs", "out"),
        (lambda: resnets.study("digits", depth=[8]), "depth", "depths"),
        (lambda: resnets.create("resnet8", weight="runs/first"), "weight", "weights"),
        (lambda: resnets.describe("resnet8", classes=3), "classes", "num_classes"),
        (lambda: resnets.Recipe(lrr=1), "lrr", "lr"),
        (lambda: resnets.find_recipe("cifar").with_changes(lrr=1), "lrr", "lr"),
        (lambda: resnets.ImageArrays(image=None), "image", "images"),
        (lambda: resnets.ImageFiles(path=[]), "path", "paths"),
        (lambda: resnets.DataSplits(classe=()), "classe", "classes"),
        (lambda: resnets.Model.predict(None, b"", tops=3), "tops", "top"),
    ],
)
def test_an_unknown_keyword_is_a_usage_error(call: Callable[[], object], wrong: str, right: str) -> None:
    """It names the keyword and the nearest one, before anything is read or written."""
    with pytest.raises(resnets.UsageError, match=f"{wrong}.*{right}"):
        call()


def test_every_call_refuses_an_unknown_keyword() -> None:
    """Each public function, and each public method of a model, names it, whatever its other arguments are."""
    methods = [getattr(resnets.Model, name) for name in vars(resnets.Model) if not name.startswith("_")]
    for call in (*(getattr(resnets, name) for name in resnets.__all__), *methods):
        if inspect.isfunction(call):
            needed = [one for one in inspect.signature(call).parameters.values() if one.default is one.empty]
            named = {one.name: None for one in needed if one.kind is one.KEYWORD_ONLY}
            with pytest.raises(UsageError, match="nonsense"):
                call(*["resnet8"] * (len(needed) - len(named)), **named, nonsense=1)


def test_recipes_of_all_tasks_are_found() -> None:
    """`find_recipe` knows each recipe that `list_recipes` lists, and names the nearest ones."""
    for recipe in resnets.list_recipes():
        assert resnets.find_recipe(recipe.name) is recipe
    with pytest.raises(UsageError, match=r"small-rnp.*small-rpn"):
        resnets.find_recipe("small-rnp")
