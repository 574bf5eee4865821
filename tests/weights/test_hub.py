"""A folder for the Hugging Face Hub: written, read back here and by timm, sent and fetched without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from other_projects import close, trained

import resnets
from resnets.errors import UsageError, WeightsError
from resnets.networks import registry
from resnets.records.evaluations import Calibration
from resnets.records.runs import ClassifierResult
from resnets.specs import InputSpec
from resnets.training.run_folder import RunFolder
from resnets.weights import weights_file
from resnets.weights.layouts.torchvision import OPTIONS

CONVENTION = InputSpec(size=64, resize=72, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1), interpolation="bicubic")


CALIBRATION = Calibration(
    temperature=1.5,
    data="pets",
    validation_images=30,
    test_images=30,
    ece_before=9.0,
    ece_after=2.0,
    nll_before=0.8,
    nll_after=0.7,
)


def saved(
    folder: Path,
    name: str = "resnet18",
    input_spec: InputSpec = CONVENTION,
    calibration: Calibration | None = None,
    **options: Any,
) -> resnets.Model:
    """Return a model of synthetic weights, loaded from a file in the folder."""
    network = registry.create(name, num_classes=3, **options)
    network.load_state_dict(trained(network))
    about: dict[str, Any] = {"classes": ("cat", "dog", "emu"), "input_spec": input_spec, "calibration": calibration}
    weights_file.save(folder / "w.safetensors", network, **about)
    return resnets.load(folder / "w.safetensors", device="cpu")


@pytest.mark.parametrize("by", ["save_pretrained", "convert"])
def test_the_folder_comes_back_as_the_same_model(tmp_path: Path, by: str) -> None:
    """Written from a model or converted from its file, the folder gives the weights, classes and input again."""
    model = saved(tmp_path, "resnet8", calibration=CALIBRATION)
    if by == "convert":
        done = resnets.convert(model.path, tmp_path / "mine")
        assert (done.to, done.out) == ("hub", tmp_path / "mine")
    else:
        resnets.save_pretrained(model, tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    for back in (resnets.from_pretrained(tmp_path / "mine"), resnets.load(tmp_path / "mine")):
        assert (back.classes, back.input_spec) == (model.classes, model.input_spec)
        assert back.calibration == CALIBRATION
        ours, theirs = model.network.state_dict(), back.network.state_dict()
        assert all(torch.equal(ours[key], theirs[key].cpu()) for key in ours)


def test_timm_reads_the_folder(tmp_path: Path) -> None:
    """Where it has the network: the same logits, and the same input."""
    timm = pytest.importorskip("timm")
    model = saved(tmp_path)
    folder = resnets.save_pretrained(model, tmp_path / "mine")
    peer = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        close(peer(images), model.network(images))
    config = timm.data.resolve_model_data_config(peer)
    assert list(config["mean"]) == [0.5, 0.4, 0.3] and list(config["std"]) == [0.2, 0.2, 0.1]
    assert config["interpolation"] == "bicubic"
    assert list(config["input_size"]) == [3, 64, 64] and int(64 / config["crop_pct"]) == 72


@pytest.mark.parametrize("name", ["resnet8", "plain18", "resnet50", "nin", "googlenet"])
def test_timm_is_not_promised_a_network_that_it_has_not(tmp_path: Path, name: str) -> None:
    """resnet50 has the names of timm's and its stride elsewhere; GoogLeNet, here in torchvision's variant, timm lacks.

    The card says of which paper a network is only where it is this one.
    """
    options = OPTIONS.get(name, {})
    model = resnets.Model(tmp_path, registry.create(name, **options), None, CONVENTION, torch.device("cpu"))
    folder = resnets.save_pretrained(model, tmp_path / "mine")
    assert "architecture" not in json.loads((folder / "config.json").read_text())
    assert ("Deep Residual Learning" in (folder / "README.md").read_text()) == (name not in ("nin", "googlenet"))


def test_the_card_shows_what_was_measured_and_the_input(digits_run: Path, tmp_path: Path) -> None:
    """The model card has the run's error, or a given evaluation's, and the input in words."""
    result, model = RunFolder(digits_run).result(ClassifierResult), resnets.load(digits_run)
    assert result is not None
    card = (resnets.save_pretrained(model, tmp_path / "of-the-run") / "README.md").read_text()
    assert f"| digits | top-1 error | {result.test_error:.2f} | recipe digits, seed 0, 30 iterations" in card
    assert "Input: 8 x 8, grey from 0 to 1, minus a mean image." in card
    assert card.startswith('---\nlibrary_name: "resnets"\n') and '"value": ' in card
    measured = resnets.evaluate(model, "digits")
    card = (resnets.save_pretrained(model, tmp_path / "measured", measured=measured) / "README.md").read_text()
    assert f"| digits | top-1 error | {measured.top1_error:.2f} | 360 test images, single-view |" in card


def test_what_is_there_of_others_is_never_written_over(tmp_path: Path) -> None:
    """A project's README.md, or what is a run's or read as weights; a folder that was written before is."""
    model = resnets.Model(tmp_path, resnets.create("resnet8"), None, None, torch.device("cpu"))
    for _ in range(2):
        resnets.save_pretrained(model, tmp_path / "own")
    (tmp_path / "README.md").write_text("my project")
    with pytest.raises(UsageError, match="README.md"):
        resnets.save_pretrained(model, tmp_path)
    assert (tmp_path / "README.md").read_text() == "my project"
    for name in ("run.json", "result.json", "weights.safetensors"):
        (tmp_path / name / name).parent.mkdir()
        (tmp_path / name / name).write_text("{}")
        with pytest.raises(UsageError, match=f"holds {name}"):
            resnets.save_pretrained(model, tmp_path / name)
        assert [path.name for path in (tmp_path / name).iterdir()] == [name]


def test_a_module_of_ones_own_is_refused(tmp_path: Path) -> None:
    """A module without a declaration could not be built again from the folder."""
    module = torch.nn.Linear(3, 2)
    weights_file.save(tmp_path / "w.safetensors", module)
    with pytest.raises(WeightsError, match="Linear"):
        resnets.save_pretrained(resnets.load(tmp_path / "w.safetensors", network=module), tmp_path / "mine")


def test_a_folder_of_timms_is_imported(tmp_path: Path) -> None:
    """config.json and weights as timm writes them give the network, its input and ImageNet's classes."""
    network = registry.create("resnet18")
    safetensors.torch.save_file(network.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "crop_pct": 0.95}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = resnets.from_pretrained(tmp_path)
    assert model.input_spec is not None and model.input_spec.mean == (0.5, 0.5, 0.5)
    assert model.classes is not None and model.classes[0] == "tench"


def test_offline_a_repository_is_said_not_to_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline a repository is an error of one line; a path that is no folder is not looked for on the Hub."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="nobody/nothing") as caught:
        resnets.from_pretrained("nobody/nothing")
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="OWNER/NAME"):
        resnets.from_pretrained("./nothing")


def test_a_repository_is_fetched_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a Hub that is a folder here."""
    library = pytest.importorskip("huggingface_hub")
    there = tmp_path / "hub"

    def download(repository: str, name: str, revision: str | None = None) -> str:
        assert revision is None
        return str(there / repository / name)

    class Api:
        def __init__(self, token: str | None) -> None:
            assert token == "secret"

        def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
            assert private and exist_ok
            (there / repository).mkdir(parents=True)
            return f"hub/{repository}"

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
            for file in Path(folder_path).iterdir():
                (there / repo_id / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(library, "hf_hub_download", download)
    monkeypatch.setattr(library, "HfApi", Api)
    model = saved(tmp_path, "resnet8")
    assert resnets.push_to_hub(model, "me/resnet8", private=True, token="secret") == "hub/me/resnet8"
    assert resnets.from_pretrained("me/resnet8").input_spec == CONVENTION
    with pytest.raises(UsageError, match="OWNER/NAME"):
        resnets.push_to_hub(model, "resnet8")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"resnets\[hub\]"):
        resnets.from_pretrained("me/resnet8")
