"""The folder of a run: whose it is, what it holds, and how it is gone on with by the public call."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from observing import Crash, CrashAt
from small_runs import RECIPE, differences, files, job, lines, run, splits

import resnets
from resnets.errors import RunError, UsageError
from resnets.training.run_folder import RunFolder


def train(path: Path, network: str | torch.nn.Module = "resnet8", **changes: Any) -> resnets.TrainResult:
    options: dict[str, Any] = {"iterations": 6, "batch_size": 8, "seed": 3, "device": "cpu", "precision": "fp32"}
    data = changes.pop("data", None) or splits()
    return resnets.train(network, data, recipe=RECIPE, out=path, save_every=1, workers=0, **(options | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> resnets.TrainResult:
    """The result of a run of six iterations, whose folder is only read."""
    return train(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def three_iterations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, which died after three iterations. It is only read."""
    path = tmp_path_factory.mktemp("runs") / "crashed"
    with pytest.raises(Crash):
        train(path, observers=[CrashAt(3)])
    return path


@pytest.fixture
def finished(whole: resnets.TrainResult, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return shutil.copytree(whole.folder, tmp_path / "run")


@pytest.fixture
def crashed(three_iterations: Path, tmp_path: Path) -> Path:
    """A copy of the run that died."""
    return shutil.copytree(three_iterations, tmp_path / "run")


# ---------------------------------------------------------------- beginning, going on, having finished


def test_contents(whole: resnets.TrainResult) -> None:
    """A finished run has all that its result came from, and weights that can be used."""
    folder = whole.folder
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert names >= {"run.json", "metrics.jsonl", "weights.safetensors", "result.json", "checkpoints", "tensorboard"}
    assert whole.iterations == 6 and not whole.already_finished
    stored = json.loads((folder / "result.json").read_text())
    assert stored["test_error"] == whole.test_error == stored["curve"][-1]["test_error"]
    assert stored["run"] == json.loads((folder / "run.json").read_text())
    assert stored["run"]["recipe"]["iterations"] == 6 and stored["run"]["seed"] == 3
    assert resnets.evaluate(folder, splits(), device="cpu", precision="fp32").top1_error == whole.test_error


def test_distance_of_tests(tmp_path: Path) -> None:
    """It can be given, whatever the run's length is; there is a test at the end in any case."""
    curve = train(tmp_path, iterations=5, evaluate_every=3).curve
    assert [point.iteration for point in curve] == [3, 5]


def test_a_training_under_an_epoch_warns(tmp_path: Path) -> None:
    """It is enough for a trial only; one of an epoch or more starts without a word."""
    with pytest.warns(UserWarning, match=r"6 iterations of 8 are 0.48 of an epoch of 100 images"):
        train(tmp_path / "short")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(tmp_path / "longer", iterations=13)


def test_run_exists(finished: Path) -> None:
    """A folder that holds a run is not trained in again unless resumption is requested."""
    before = files(finished)
    with pytest.raises(RunError, match=f"{finished} holds this run already.*--resume"):
        train(finished)
    assert files(finished) == before


@pytest.mark.parametrize("name", ["weights.safetensors", "model.safetensors"])
@pytest.mark.parametrize("start", [{}, {"weights": "folder"}, {"teacher": "folder"}])
def test_weights_of_no_run_are_not_replaced(
    whole: resnets.TrainResult, tmp_path: Path, name: str, start: dict[str, str]
) -> None:
    """As those that a training starts or learns from, without which it could not be resumed."""
    shutil.copy(whole.folder / "weights.safetensors", tmp_path / name)
    before = files(tmp_path)
    for resume in (False, True):
        with pytest.raises(RunError, match=f"{tmp_path} holds {name} but no run.json.*--out$"):
            train(tmp_path, resume=resume, **dict.fromkeys(start, tmp_path))
    assert files(tmp_path) == before


def test_weights_without_their_result_are_replaced_only_by_the_same_run(finished: Path) -> None:
    """As of a folder that was copied in part: they may be all that is left of a run."""
    shutil.rmtree(finished / "checkpoints")
    (finished / "result.json").unlink()
    with pytest.raises(RunError, match=f"{finished} holds another run: its seed is 3"):
        train(finished, seed=4)
    with pytest.raises(RunError, match=f"{finished} holds this run already.*--resume"):
        train(finished)
    assert not train(finished, resume=True).already_finished


def test_finished(whole: resnets.TrainResult, finished: Path) -> None:
    """Resuming a finished run returns its result and changes nothing."""
    before = files(finished)
    again = train(finished, resume=True)
    assert again.already_finished
    assert (again.test_error, again.training_error, again.curve) == (
        whole.test_error,
        whole.training_error,
        whole.curve,
    )
    assert files(finished) == before


def test_resume_where_there_is_none(whole: resnets.TrainResult, tmp_path: Path) -> None:
    """With `resume`, a run begins where there is none, so a preempted job's command is always the same."""
    train(tmp_path, resume=True)
    assert differences(whole.folder, tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 0.05}, r"recipe.lr is 0.1, and 0.05 is requested"),
        ({"batch_size": 4}, "recipe.batch_size is 8, and 4"),
        ({"iterations": 12}, "recipe.iterations is 6, and 12"),
        ({"seed": 4}, "seed is 3, and 4"),
        ({"momentum": 0.8}, "recipe.momentum"),
        ({"weight_decay": 0.0}, "recipe.weight_decay"),
        ({"network": "plain8"}, "network.name is 'resnet8', and 'plain8'"),
        ({"shortcut": "B"}, "network.spec.shortcut is 'A', and 'B'"),
        ({"precision": "bf16"}, "precision is 'fp32', and 'bf16'"),
        ({"data": "digits"}, "data.name is 'few-digits', and 'digits'"),
        (
            {"data": dataclasses.replace(splits(), digest="0" * 64), "iterations": 12},
            "data is few-digits.*unknown.*SHA-256 0000",
        ),
    ],
)
def test_another_run(crashed: Path, changes: dict[str, Any], named: str) -> None:
    """Resuming with other settings is refused: what differs, what it is, what was asked for, and the way out."""
    before = files(crashed)
    with pytest.raises(RunError, match=f"{crashed} holds another run: its {named}.*--out$"):
        train(crashed, **({"network": "resnet8"} | changes), resume=True)
    assert files(crashed) == before


def test_the_same_data_in_a_folder_of_another_name(tmp_path: Path) -> None:
    """A preempted job may find its data elsewhere; what the images are counts, and the first name stays.

    It stays in the sentence on how the folder was read, too.
    """
    here = dataclasses.replace(splits(), digest="of these images", roles="few-digits: trained on train/")
    with pytest.raises(Crash):
        train(tmp_path, data=here, observers=[CrashAt(3)])
    moved = dataclasses.replace(here, name="scratch-12346", roles="scratch-12346: trained on train/")
    assert train(tmp_path, data=moved, resume=True).iterations == 6
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["run"]["data"]["name"] == "few-digits"
    assert result["run"]["data"]["roles"] == here.roles


def test_same_run_in_other_words(crashed: Path) -> None:
    """A recipe that a newer version explains in other words is the same recipe."""
    said = json.loads((crashed / "run.json").read_text())
    said["recipe"] |= {"source": "elsewhere", "departures": [{"what": "this", "why": "that"}]}
    (crashed / "run.json").write_text(json.dumps(said))
    assert train(crashed, resume=True).iterations == 6


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with its batch norm in groups."""
    return train(tmp_path_factory.mktemp("runs") / "grouped", bn_group=4).folder


@pytest.mark.parametrize("iteration", [1, 2, 4, 6])
def test_resumed_network_of_the_catalog(grouped: Path, tmp_path: Path, iteration: int) -> None:
    """A ResNet of the catalogue, with its batch norm in groups, goes on bit-identical by the public call."""
    with pytest.raises(Crash):
        train(tmp_path, bn_group=4, observers=[CrashAt(iteration)])
    train(tmp_path, bn_group=4, resume=True)
    assert differences(grouped, tmp_path) == []


def test_checkpoints_without_description(crashed: Path) -> None:
    """Checkpoints of which nobody knows what they are of are neither used nor overwritten."""
    (crashed / "run.json").unlink()
    before = files(crashed)
    with pytest.raises(RunError, match=r"run\.json"):
        train(crashed, resume=True)
    assert files(crashed) == before


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"{", id="no JSON"),
        pytest.param(lambda content: b"[]", id="a list"),
        pytest.param(lambda content: b"{}", id="no kind"),
        pytest.param(lambda content: b"\xff\xfe\x00", id="binary"),
        pytest.param(lambda content: content.replace(b'"seed": 3', b'"seed": "three"'), id="a string for a number"),
        pytest.param(lambda content: content.replace(b'"seed": 3,', b""), id="a field missing"),
        pytest.param(lambda content: content.replace(b'"seed"', b'"sead"'), id="another field"),
        pytest.param(lambda content: content.replace(b'"version": 1', b'"version": 2'), id="a later version"),
    ],
)
@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_damaged_records(finished: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    """A damaged run.json or result.json of a finished run is a RunError that names the file; nothing is changed."""
    file = finished / name
    file.write_bytes(damage(file.read_bytes()))
    before = files(finished)
    with pytest.raises(RunError, match=re.escape(str(file))):
        train(finished, resume=True)
    assert files(finished) == before


# ---------------------------------------------------------------- crashes between two files


def test_torn_log(reference: Path, tmp_path: Path) -> None:
    """What the log has beyond the checkpoint, and a last line that is torn or garbage, goes on resumption."""
    with pytest.raises(Crash):
        run(job(crash_after=7, save_every=4), tmp_path / "crashed")
    assert [line.iteration for line in lines(tmp_path / "crashed")] == [3, 5, 6]
    for name, garbage in (("torn", b'{"iteration": 4, "lr'), ("binary", b"\0\0\xff\xfe"), ("both", b'\xff\n{"iter')):
        path = shutil.copytree(tmp_path / "crashed", tmp_path / name)
        with open(path / "metrics.jsonl", "ab") as file:
            file.write(garbage)
        run(job(save_every=4, process_seed=1), path)
        assert differences(reference, path) == []


@pytest.fixture(scope="module")
def without_result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run `reference`, had it died before it wrote its result. It is only read."""

    def dies(*_: object, **__: object) -> None:
        raise Crash

    path = tmp_path_factory.mktemp("runs") / "without-result"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(RunFolder, "finish", dies)
        run(job(), path)
    return path


@pytest.mark.parametrize("missing", ["result", "weights and result"])
def test_crash_while_finishing(reference: Path, without_result: Path, tmp_path: Path, missing: str) -> None:
    """A run that dies after its last checkpoint, before or after its weights are written, finishes when resumed."""
    path = shutil.copytree(without_result, tmp_path / "run")
    assert (path / "weights.safetensors").exists() and not (path / "result.json").exists()
    if missing == "weights and result":
        (path / "weights.safetensors").unlink()
    run(job(process_seed=1), path)
    assert differences(reference, path) == []


def test_a_log_that_is_lost(reference: Path, without_result: Path, tmp_path: Path) -> None:
    """A run whose log is lost next to its final checkpoint finishes with the same result: the curve is in there."""
    path = shutil.copytree(without_result, tmp_path / "run")
    (path / "metrics.jsonl").unlink()
    run(job(process_seed=1), path)
    assert [name for name in differences(reference, path) if not name.startswith("log ")] == []


# ---------------------------------------------------------------- the lock


def test_second_in_one_process(tmp_path: Path) -> None:
    """A folder in use is refused, also within one process, and is free afterwards, also after an error."""
    with RunFolder(tmp_path):
        with (
            pytest.raises(RunError, match=f"{tmp_path}: another process is training in this folder"),
            RunFolder(tmp_path),
        ):
            pass
        with pytest.raises(RunError, match="another process.*--out$"):
            train(tmp_path)
    with pytest.raises(Crash):
        train(tmp_path, observers=[CrashAt(2)])
    with RunFolder(tmp_path):
        pass


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    """A path that cannot be a folder is one clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=f"^{tmp_path / 'file'}: a file"):
        train(tmp_path / "file")
    with pytest.raises(RunError, match=f"^{tmp_path / 'file' / 'run'}: failed to create or write"):
        train(tmp_path / "file" / "run")


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a folder in which no lock can be made, as on a disk that is mounted to be read only."""
    opened = os.open

    def refused(path: Any, *rest: Any, **options: Any) -> int:
        if str(path).endswith("lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(RunError, match=f"^{tmp_path}: failed to create or write"), RunFolder(tmp_path):
        pass


def test_how_steps_ran_is_recorded(tmp_path: Path) -> None:
    """In run.json and in the result; a session that runs them in another way is recorded as one of its own."""
    result = run(job(), tmp_path)
    with RunFolder(tmp_path) as folder:
        record = folder.record()
        assert record is not None and record == result.run
        assert [session.execution for session in record.provenance] == ["eager"]
        record = folder.record_execution(record, "eager")
        assert folder.record_execution(record, "compiled, CUDA graph") == folder.record()
        record = folder.record()
        assert record is not None
        assert [session.execution for session in record.provenance] == ["eager", "compiled, CUDA graph"]
