"""Models on the Hugging Face Hub: a folder of weights, configuration and model card, written, sent and fetched."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any, Protocol

import msgspec
from torch import nn

from resnets.errors import RunError, UsageError, WeightsError, first_line, import_extra, public
from resnets.files import RUN_FILES, make_folder, read_bytes, sha256_of, to_json, write_durably, writing
from resnets.networks.registry import spec_of
from resnets.quantities import plural
from resnets.records.evaluations import Calibration, Evaluation
from resnets.records.runs import ClassifierResult, result_next_to
from resnets.specs import InputSpec, NetworkSpec, ResNetSpec
from resnets.version import __version__
from resnets.weights import weights_file
from resnets.weights.layouts import timm, torchvision

FILE, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


class TrainedNetwork(Protocol):
    """What is saved: a network with its classes and input, and the file that it was read from."""

    @property
    def path(self) -> Path: ...

    @property
    def network(self) -> nn.Module: ...

    @property
    def classes(self) -> tuple[str, ...] | None: ...

    @property
    def input_spec(self) -> InputSpec | None: ...

    @property
    def calibration(self) -> Calibration | None: ...


@public
def save_pretrained(model: TrainedNetwork, folder: str | Path, *, measured: Evaluation | None = None) -> Path:
    """Write a model as a folder for the Hub: model.safetensors, config.json and a model card, README.md.

    The card shows what was `measured`, or else the result of the run that the model comes from. `resnets.load` reads
    the folder; and timm too (`timm.create_model("local-dir:FOLDER", pretrained=True)`), where it has the network.

    Raises: WeightsError, for a module that is not one of ours; UsageError, if the folder holds files of these names
        that this did not write, or a run, or if several networks were measured; RunError, if it cannot be written.
    """
    spec = spec_of(model.network)
    if spec is None:
        raise WeightsError(
            f"a {type(model.network).__name__} cannot be saved for others: it is not one of our networks, and not "
            f"registered"
        )
    folder = Path(folder)
    _require_own(folder)
    if measured is not None and len(measured.members) != 1:
        raise UsageError(f"measured is of an ensemble of {len(measured.members)}; a model card is of one model")
    config = _config(model, spec)
    with writing(folder):
        make_folder(folder)
        about = {"classes": model.classes, "input_spec": model.input_spec, "calibration": model.calibration}
        weights_file.save(folder / FILE, model.network, **about)  # type: ignore[arg-type]
        write_durably(folder / CONFIG, to_json(config, indent=2).encode())
        write_durably(folder / CARD, _card(model, spec, _results(model, spec, measured)).encode())
    return folder


def _require_own(folder: Path) -> None:
    """Raise UsageError where a folder holds what would be lost: a run, a project's README.md, another model."""
    there = [name for name in (FILE, CONFIG, CARD) if (folder / name).exists()]
    if of_run := [name for name in RUN_FILES if (folder / name).exists()]:
        raise UsageError(f"{folder} holds {of_run[0]}, a file of a run; name another folder for the model as OUT")
    if not there:
        return
    try:
        own = json.loads(read_bytes(folder / CONFIG, 10_000_000))["library_name"] == "resnets"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        own = False
    if not own:
        raise UsageError(
            f"{folder} holds a {there[-1]} of something else, which would be lost; name another folder as OUT"
        )


@public
def push_to_hub(
    model: TrainedNetwork,
    repository: str,
    *,
    measured: Evaluation | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Upload a model to a repository on the Hub, which is created if needed, and return its address.

    Args:
        model: a loaded model, or a module with its classes and input.
        repository: USER/NAME.
        measured: results for the model card.
        private: visibility of a new repository.
        token: of the Hub; None is that of `hf auth login`.

    Raises: WeightsError, as `save_pretrained`, or if the Hub refuses it.
    """
    if repository.count("/") != 1:
        raise UsageError(f"repository is {repository!r}; it must be OWNER/NAME")
    hub, errors = (import_extra(name, "hub") for name in ("huggingface_hub", "huggingface_hub.errors"))
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, measured=measured)
        api = hub.HfApi(token=token)
        try:
            address = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"resnets {__version__}")
        except (OSError, ValueError, errors.HfHubHTTPError) as error:
            raise WeightsError(f"{repository}: the Hub did not take it ({first_line(error)})") from None
    return str(address)


def fetch_repository(repository: str, revision: str | None = None) -> Path:
    """Return the weights file of a repository on the Hub, from the cache or fetched into it, with its config.json.

    What the cache has is not looked for again. The Hub names a large file by its SHA-256, which is verified.

    Raises: WeightsError, if that is no repository, it cannot be fetched, or the file in the cache is damaged.
    """
    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise WeightsError(f"{repository}: no such folder, and a repository on the Hub is OWNER/NAME")
    hub, errors = (import_extra(name, "hub") for name in ("huggingface_hub", "huggingface_hub.errors"))

    def fetched(name: str) -> Path:
        known = hub.try_to_load_from_cache(repository, name, revision=revision)
        return Path(known if isinstance(known, str) else hub.hf_hub_download(repository, name, revision=revision))

    try:
        path = fetched(FILE)
        if weights_file.load(path).spec is None:
            fetched(CONFIG)  # next to the weights, where it is looked for
        named = path.resolve().name
        if re.fullmatch(r"[0-9a-f]{64}", named) and sha256_of(path) != named:
            raise WeightsError(f"{path}: damaged: its SHA-256 is not {named}; delete it, and it is fetched again")
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise WeightsError(
            f"{repository}: could not be fetched from the Hub ({first_line(error)}); without network, give a file"
        ) from None
    return path


def _config(model: TrainedNetwork, spec: NetworkSpec) -> dict[str, Any]:
    """Return config.json: our declaration, and where timm has the same network its own."""
    config: dict[str, Any] = {
        "library_name": "resnets",
        "library_version": __version__,
        "network": msgspec.to_builtins(spec),
        "num_classes": spec.num_classes,
    }
    if model.classes is not None:
        config["label_names"] = list(model.classes)
    pretrained = timm.config_of(model.input_spec, spec.num_classes) if model.input_spec is not None else None
    if pretrained is None or not isinstance(spec, ResNetSpec):  # timm's VGG has another head
        return config
    try:
        architecture = torchvision.counterpart(spec)  # the names are the same in timm
    except WeightsError:
        return config
    return config | {"architecture": architecture, "pretrained_cfg": pretrained}


def _results(model: TrainedNetwork, spec: NetworkSpec, measured: Evaluation | None) -> list[dict[str, Any]]:
    if measured is not None:
        how = f"{measured.samples:,} test images, {measured.protocol}"
        found = [{"data": measured.data, "metric": "top-1 error", "value": measured.top1_error, "how": how}]
        if len(measured.class_errors) >= 20:
            found.append({"data": measured.data, "metric": "top-5 error", "value": measured.top5_error, "how": how})
        return found
    try:
        result = result_next_to(model.path, ClassifierResult, spec)
    except RunError:  # another project's file
        result = None
    if result is None:
        return []
    run = result.run
    how = f"recipe {run.recipe.name}, seed {run.seed}, {plural(run.recipe.iterations, 'iteration')}, the final one"
    return [{"data": run.data.name, "metric": "top-1 error", "value": result.test_error, "how": how}]


def _card(model: TrainedNetwork, spec: NetworkSpec, results: list[dict[str, Any]]) -> str:
    """Return the model card; its head is YAML, of which JSON is a part."""
    head: dict[str, Any] = {
        "library_name": "resnets",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", str(spec.__struct_config__.tag), "pytorch"],
    }
    if results:
        entries = [
            {
                "task": {"type": "image-classification"},
                "dataset": {"name": result["data"], "type": result["data"]},
                "metrics": [{"name": f"{result['metric']} (%)", "type": "error", "value": result["value"]}],
            }
            for result in results
        ]
        head["model-index"] = [{"name": spec.name, "results": entries}]
    lines = ["---", *(f"{key}: {to_json(value)}" for key, value in head.items()), "---", "", f"# {spec.name}", ""]
    paper = ' of "Deep Residual Learning for Image Recognition"' if isinstance(spec, ResNetSpec) else ""
    lines.append(f"{spec.in_words()}{paper}, {plural(spec.num_classes, 'class')}, saved by resnets {__version__}.")
    if results:
        lines += ["", "| data | measured | percent | how |", "|---|---|--:|---|"]
        lines += [f"| {r['data']} | {r['metric']} | {r['value']:.2f} | {r['how']} |" for r in results]
    if model.input_spec is not None:
        lines += ["", f"Input: {model.input_spec.in_words()}."]
    lines += [
        "",
        "```python",
        "import resnets",
        "",
        'model = resnets.from_pretrained("OWNER/NAME")  # or a folder',
        'print(model.predict("photo.jpg"))',
        "```",
        "",
    ]
    return "\n".join(lines)
