"""Weights files come back as they were written, say what they are for, and damage or another network is noticed."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from resnets.errors import WeightsError
from resnets.networks import registry
from resnets.networks.complexity import skeleton
from resnets.records.base import as_json
from resnets.records.headers import ClassifierHeader
from resnets.specs import InputSpec, NetworkSpec
from resnets.weights import weights_file
from resnets.weights.tensor_file import read_tensors, write_tensors

CONVENTION = InputSpec(size=32, resize=36, mean=(0.49, 0.48, 0.45), std=(0.2, 0.21, 0.22))
HEADER = ClassifierHeader(classes=("one", "ü"), input=CONVENTION)


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[key].dtype == theirs[key].dtype and torch.equal(ours[key], theirs[key]) for key in ours
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small file of tensors of several types, with a header."""
    path = tmp_path / "small.safetensors"
    tensors = {
        "weight": torch.randn(3, 2),
        "half": torch.randn(3).bfloat16(),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
    }
    write_tensors(path, tensors, HEADER)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet20", {"shortcut": "C", "bn_group": 64, "num_classes": 3}),
        ("plain20", {"in_channels": 1, "residual_layers": 3}),
        ("resnet18", {"num_classes": 2, "initialization": "he_fan_out"}),
    ],
)
def test_a_network_comes_back_with_all_that_is_needed_to_use_it(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """Declaration, classes, input and every tensor are in the file, which builds the network."""
    path = tmp_path / "weights.safetensors"
    network = registry.create(name, **options)
    classes = tuple(f"class {i}" for i in range(network.spec.num_classes))
    grey = InputSpec(size=32, resize=36, channels=1, mean=(0.5,), std=(0.2,))
    expected = grey if network.spec.in_channels == 1 else CONVENTION
    weights_file.save(path, network, classes=classes, input_spec=expected)
    loaded = weights_file.load(path)
    assert (loaded.spec, loaded.classes, loaded.input_spec) == (network.spec, classes, expected)
    assert same(loaded.tensors, network.state_dict())
    rebuilt = loaded.build()
    assert not rebuilt.training
    assert same(rebuilt.state_dict(), network.state_dict())


def test_the_declarations_of_all_networks_survive_json() -> None:
    """Each declaration is decoded from JSON as the same declaration."""
    for name in registry.names():
        spec = registry.declare(name)
        assert msgspec.json.decode(msgspec.json.encode(spec), type=NetworkSpec) == spec


def test_a_module_of_ones_own_is_saved_without_a_declaration(tmp_path: Path) -> None:
    """Its tensors come back; a network is not built from them."""
    path = tmp_path / "mine.safetensors"
    module = nn.Linear(3, 2)
    weights_file.save(path, module)
    loaded = weights_file.load(path)
    assert loaded.spec is None and same(loaded.tensors, module.state_dict())
    with pytest.raises(WeightsError):
        loaded.build()


def test_a_file_of_another_project_is_read(tmp_path: Path) -> None:
    """safetensors without our header give their tensors and no declaration."""
    path = tmp_path / "theirs.safetensors"
    tensors = {"a": torch.randn(2, 3)}
    safetensors.torch.save_file(tensors, path)
    read, header = read_tensors(path)
    assert same(read, tensors) and header is None
    assert weights_file.load(path).spec is None


def test_tensors_of_every_type_come_back(small: Path) -> None:
    """Types and shapes are kept, of empty and scalar tensors too."""
    tensors, header = read_tensors(small)
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} == {
        "weight": (torch.float32, (3, 2)),
        "half": (torch.bfloat16, (3,)),
        "count": (torch.int64, ()),
        "mask": (torch.bool, (2,)),
        "empty": (torch.float32, (0, 4)),
    }
    assert tensors["count"] == 7 and header == HEADER


def test_other_programs_read_the_header(small: Path) -> None:
    """The metadata of the file are texts, as the format has it, and one of them is the JSON of the record."""
    with safetensors.safe_open(small, "pt") as content:
        metadata = content.metadata()
    assert all(isinstance(text, str) for text in metadata.values())
    assert json.loads(metadata["resnets"]) == as_json(HEADER)


def test_any_flipped_bit_is_noticed(small: Path, tmp_path: Path) -> None:
    """One bit of every byte, in the header and in the tensors, each in turn."""
    content, path = small.read_bytes(), tmp_path / "flipped.safetensors"
    unnoticed = []
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            read_tensors(path)
        except WeightsError:
            continue
        unnoticed.append(position)
    assert not unnoticed


def test_a_file_cut_short_anywhere_is_noticed(small: Path, tmp_path: Path) -> None:
    """Each prefix of the file is an error."""
    content, path = small.read_bytes(), tmp_path / "short.safetensors"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            read_tensors(path)


def test_swapped_tensors_are_noticed(tmp_path: Path) -> None:
    """The digest covers the names: a valid safetensors file with two tensors exchanged is not what was written."""
    path = tmp_path / "swapped.safetensors"
    write_tensors(path, {"a": torch.zeros(2), "b": torch.ones(2)}, HEADER)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"a":', b'"x":').replace(b'"b":', b'"a":').replace(b'"x":', b'"b":'))
    assert torch.equal(safetensors.torch.load_file(path)["a"], torch.ones(2))
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        read_tensors(path)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".bin", ".safetensors", ""])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, suffix: str) -> None:
    """Whatever its ending, a pickle is not unpickled."""
    path, victim = tmp_path / f"weights{suffix}", tmp_path / "victim"
    path.write_bytes(pickle.dumps(Hostile(victim)))
    with pytest.raises(WeightsError, match="safetensors"):
        weights_file.load(path)
    torch.save({"hostile": Hostile(victim)}, path)
    with pytest.raises(WeightsError, match="safetensors"):
        weights_file.load(path)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 64, b"text", b"PK\3\4" + b"\0" * 100, None, "folder"])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    """Other content, a missing file and a folder are errors with the path."""
    path = tmp_path / "weights.safetensors"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        weights_file.load(path)


def test_a_header_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Unknown fields, kinds and versions are errors that name them."""
    path = tmp_path / "new.safetensors"
    network = {**msgspec.to_builtins(registry.declare("resnet20")), "gates": "open"}
    of_weights = {"kind": "classifier weights", "version": 1}
    for header, wrong in (
        (of_weights | {"network": network}, r"`gates` - at `\$\.network`"),
        (of_weights | {"network": {"kind": "transformer"}}, r"'transformer' - at `\$\.network.kind`"),
        (of_weights | {"teacher": None}, "`teacher`"),
        (of_weights | {"version": 2}, r"2 - at `\$\.version`"),
        ({"kind": "poem", "version": 1}, r"'poem' - at `\$\.kind`"),
        ({"network": network}, "`kind`"),
    ):
        write_tensors(path, {}, header)
        with pytest.raises(WeightsError, match=f"{wrong}.*newer version"):
            weights_file.load(path)


def test_writing_leaves_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while writing keeps the old file, and no remains of the new one."""
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"a": torch.zeros(2)}, HEADER)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, {"a": torch.ones(2)}, HEADER)
    monkeypatch.undo()
    assert not read_tensors(path)[0]["a"].any()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_weights_of_another_network_are_refused_with_the_keys() -> None:
    """Missing, unexpected and differently shaped weights are named, and how many more."""
    network = registry.create("resnet20")
    with pytest.raises(WeightsError, match=r"than resnet20: missing: .*; unexpected: .*") as caught:
        weights_file.load_into(network, skeleton(registry.declare("vgg16")).state_dict())
    assert "classifier.0.bias" in str(caught.value) and " more" in str(caught.value)
    with pytest.raises(WeightsError, match=r"unexpected: layer1.3.bn1.bias.* and \d+ more"):
        weights_file.load_into(network, registry.create("resnet26").state_dict())
    with pytest.raises(WeightsError, match=r"missing: layer1.2.bn1.bias"):
        weights_file.load_into(network, registry.create("resnet14").state_dict())


def test_refused_weights_leave_the_network_alone() -> None:
    """Weights of other shapes are refused with both, and none of them is loaded."""
    network = registry.create("resnet20")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"fc.bias \(20,\) instead of \(10,\), fc.weight \(20, 64\)"):
        weights_file.load_into(network, registry.create("resnet20", num_classes=20).state_dict())
    assert same(network.state_dict(), before)


@pytest.mark.parametrize(
    ("classes", "kept", "noted"),
    [(("a", "b", "c"), [0, 1, 2], False), (("c", "a", "b"), [2, 0, 1], True), (("a", "b", "d"), None, True)],
)
def test_a_last_layer_follows_its_classes(
    tmp_path: Path, classes: tuple[str, ...], kept: list[int] | None, noted: bool
) -> None:
    """To be trained further: the same classes in another order keep their weights, others get a new layer, noted."""
    trained, fresh = (registry.create("resnet8", num_classes=3) for _ in range(2))
    own = fresh.fc.weight.clone()
    weights_file.save(tmp_path / "w.safetensors", trained, classes=("a", "b", "c"))
    notes = weights_file.load(tmp_path / "w.safetensors").load_to_train(fresh, classes)
    assert torch.equal(fresh.fc.weight, own if kept is None else trained.fc.weight[kept])
    assert torch.equal(fresh.conv1.weight, trained.conv1.weight)
    assert bool(notes) is noted


@pytest.mark.parametrize("to_train", [True, False])
def test_all_layers_that_give_scores_follow_the_classes(tmp_path: Path, to_train: bool) -> None:
    """Those of auxiliary outputs too, in `train` as in `create`; the other layers are loaded."""
    trained, fresh = registry.create("dsn", num_classes=3), registry.create("dsn", num_classes=2)
    own = fresh.companions[1].fc.weight.clone()
    weights_file.save(tmp_path / "w.safetensors", trained, classes=("a", "b", "c"))
    weights = weights_file.load(tmp_path / "w.safetensors")
    if to_train:
        weights.load_to_train(fresh, ("a", "d"))
    else:
        weights.load_adapted(fresh)
    assert torch.equal(fresh.companions[1].fc.weight, own) and torch.equal(fresh.cccp5.weight, trained.cccp5.weight)


def test_files_without_batch_norms_counter_load() -> None:
    """torchvision's oldest ones have none."""
    network, other = registry.create("resnet20"), registry.create("resnet20")
    tensors = {key: tensor for key, tensor in other.state_dict().items() if not key.endswith("num_batches_tracked")}
    weights_file.load_into(network, tensors)
    assert torch.equal(network.fc.weight, other.fc.weight)
