"""Several processes train and test as one does, resume each other's runs, and stop and fail together.

They meet over this machine's loopback, as those that torchrun starts; gloo on CPUs, one thread each.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_detectors
import small_runs
import together
import torch
from observing import CrashAt
from together import Processes
from torch.distributed import TCPStore

import resnets
from resnets.data import normalization
from resnets.detection.detector import save_detector
from resnets.detection.train import DetectorResult
from resnets.errors import UsageError
from resnets.networks import sync_batch_norm
from resnets.networks.batch_norm import BatchNorm2d
from resnets.runtime import launch
from resnets.specs import InputSpec, Preprocessing, Recipe
from resnets.training.run_folder import RunFolder
from resnets.weights import weights_file
from resnets.weights.tensor_file import read_tensors

Start = Callable[..., BaseProcess]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")


class Group:
    """Processes that were started together, for what ends them."""

    def __init__(
        self, start: Start, size: int, target: Callable[..., Any], *arguments: Any, own_store: bool = False
    ) -> None:
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
        port = self.store.port
        if own_store:  # of process 0
            del self.store
        self.processes = [
            start(together.join_as, rank, size, port, own_store, target, *arguments) for rank in range(size)
        ]

    def join(self, seconds: float = 120.0) -> list[int | None]:
        """Wait until all have ended, and return their exit codes."""
        deadline = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.1, deadline - time.monotonic()))
        return [process.exitcode for process in self.processes]


Run = Callable[..., Group]


@pytest.fixture
def pair(start: Start) -> Run:
    """Start two processes together, for what ends them."""

    def start_pair(target: Callable[..., Any], *arguments: Any) -> Group:
        return Group(start, 2, target, *arguments)

    return start_pair


def errors(folder: Path) -> list[str]:
    """Return the lines of all processes' error streams but for notes."""
    texts = [path.read_text() for path in sorted(folder.glob("err-*"))]
    return [line for text in texts for line in text.splitlines() if not line.startswith("resnets: note:")]


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process, one for each size of the groups of batch norm."""
    path = tmp_path_factory.mktemp("alone")
    together.train_each(path)
    return path


def log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(reference: Path, other: Path, recipe: Recipe = together.RECIPE) -> None:
    """Compare logs, results and weights, up to the rounding of float32 that 10 iterations add up."""
    ours, theirs = log(other), log(reference)
    assert [line["iteration"] for line in ours] == list(range(1, recipe.iterations + 1))
    for one, two in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5), one["iteration"]
        assert one.get("losses", {}) == pytest.approx(two.get("losses", {}), rel=1e-4, abs=1e-6), one["iteration"]
        assert one["images"] == two["images"] == recipe.batch_size
        assert one["training_error"] == pytest.approx(two["training_error"])
        assert one.get("test_error") == two.get("test_error")
    for name, tensor in read_tensors(reference / "weights.safetensors")[0].items():
        found = read_tensors(other / "weights.safetensors")[0][name]
        torch.testing.assert_close(found, tensor, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_students_and_companions_are_those_of_one_process(
    alone: Path, tmp_path: Path, two_processes: Processes
) -> None:
    """Losses that leave some parameters without a gradient: hints and scores of a teacher, and other outputs."""
    teacher = alone / "group-8"
    together.train_students(teacher, tmp_path / "one")
    together.train_companions(tmp_path / "one" / "companions")
    two_processes.run(together.train_students, teacher, tmp_path / "two")
    two_processes.run(together.train_companions, tmp_path / "two" / "companions")
    for name in ("scores", "hint", "companions"):
        assert_same_run(tmp_path / "one" / name, tmp_path / "two" / name)


@pytest.fixture(params=[2, 4])
def several(request: pytest.FixtureRequest) -> Processes:
    """Two processes, then four."""
    return request.getfixturevalue({2: "two_processes", 4: "four_processes"}[request.param])


def test_training_is_that_of_one_process(alone: Path, tmp_path: Path, several: Processes) -> None:
    """Loss and errors of each of 10 iterations, the test curve, weights and running statistics; with groups of batch
    norm that a process has whole, that two share, and that all share."""
    several.run(together.train_each, tmp_path)
    for group in together.GROUPS:
        assert_same_run(alone / f"group-{group}", tmp_path / f"group-{group}")
        result = json.loads((tmp_path / f"group-{group}" / "result.json").read_text())
        assert result["test_samples"] == 33
        assert result["run"]["provenance"][0]["hardware"]["processes"] == several.size


def test_micro_batches_and_averages_are_those_of_one_process(tmp_path: Path, two_processes: Processes) -> None:
    """Micro-batches, the moving average of the weights, and batch norm's recalibrated statistics."""
    together.train_in_parts(tmp_path / "one")
    two_processes.run(together.train_in_parts, tmp_path / "two")
    assert_same_run(tmp_path / "one", tmp_path / "two")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two")]
    assert results[0]["unaveraged_test_error"] == results[1]["unaveraged_test_error"]


def test_groups_matter(alone: Path) -> None:
    """Else the test above would prove nothing of them."""
    losses = [log(alone / f"group-{group}")[-1]["loss"] for group in together.GROUPS]
    assert len({round(loss, 3) for loss in losses}) == len(losses)


def test_a_run_goes_on_with_another_number_of_processes(
    alone: Path, tmp_path: Path, pair: Run, two_processes: Processes, four_processes: Processes
) -> None:
    """Started by two, of which the first died in its sixth iteration; ended by one, two and four."""
    started = tmp_path / "begun"
    pair(together.resume, started, CrashAt(6)).join()
    assert (tmp_path / "error-0").read_text() == "Crash"
    assert (tmp_path / "error-1").read_text() == "FailedElsewhere"
    assert log(started)[-1]["iteration"] == 6
    for size, processes in ((1, None), (2, two_processes), (4, four_processes)):
        path = tmp_path / f"by-{size}"
        shutil.copytree(started, path)
        if processes is None:
            with pytest.warns(UserWarning, match="hardware"):
                together.resume(path)
        else:
            processes.run(together.resume, path)
        assert_same_run(alone / "group-16", path)
        sessions = json.loads((path / "result.json").read_text())["run"]["provenance"]
        assert [session["hardware"].get("processes", 1) for session in sessions] == ([2] if size == 2 else [2, size])


def test_two_processes_resume_bit_identically(tmp_path: Path, pair: Run, two_processes: Processes) -> None:
    """Also dropout's masks, which differ between the processes, and the statistics of torch's own batch norm."""
    whole, halves = tmp_path / "whole" / "run", tmp_path / "halves" / "run"
    whole.parent.mkdir(), halves.parent.mkdir()
    two_processes.run(together.resume_dropping, whole)
    pair(together.resume_dropping, halves, CrashAt(6)).join()
    two_processes.run(together.resume_dropping, halves)
    assert small_runs.differences(whole, halves) == []


def test_processes_that_torchrun_starts_again_resume_bit_identically(
    tmp_path: Path, start: Start, two_processes: Processes
) -> None:
    """One is killed, torchrun's engine starts both again, one later than the other; nothing of it is in the result."""
    two_processes.run(together.train_until_killed, tmp_path / "whole")
    launcher = start(together.train_elastically, tmp_path / "killed")
    launcher.join(120)
    assert launcher.exitcode == 0
    assert (tmp_path / "start-0").exists() and (tmp_path / "start-1").exists()
    assert small_runs.differences(tmp_path / "whole", tmp_path / "killed") == []


def test_four_processes_resume_bit_identically(tmp_path: Path, four_processes: Processes) -> None:
    """Of more than two the rounding of a sum depends on where in memory a gradient lies."""
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    four_processes.run(together.resume, whole)
    shutil.copytree(whole, resumed)
    with RunFolder(resumed) as run:
        run.checkpoints.paths()[0].unlink()
        (run.path / "result.json").unlink()
    four_processes.run(together.resume, resumed)
    assert small_runs.differences(whole, resumed) == []


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory, two_processes: Processes) -> tuple[Path, list[DetectorResult]]:
    """A folder with a detector that one process trained, and in `two` the same by two processes; what these return."""
    pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")
    folder = tmp_path_factory.mktemp("detectors")
    data = small_detectors.splits(folder / "images", 5)
    images = small_detectors.halves(data.train)
    empty = dataclasses.replace(small_detectors.annotated(images[0].path, [], []), masks=())
    data = dataclasses.replace(data, train=(empty, *images[1:]), test=images, protocol="coco")
    (folder / "splits").write_bytes(pickle.dumps(data))
    with small_detectors.small_networks():
        small_detectors.save_classifier(folder / "start.safetensors", small_detectors.network())
    together.train_detector(folder / "one")
    return folder, two_processes.run(together.train_detector, folder / "two")


def test_a_detector_is_that_of_one_process(detectors: tuple[Path, list[DetectorResult]]) -> None:
    """Losses by part, also of masks and of an image without objects, weights and AP: what is drawn is of the image."""
    folder, (first, second) = detectors
    assert first == second
    assert_same_run(folder / "one", folder / "two", together.DETECTOR)
    one, two = (json.loads((folder / size / "result.json").read_text()) for size in ("one", "two"))
    assert first.mean_ap == two["scores"]["mean_ap"] == pytest.approx(one["scores"]["mean_ap"], abs=0.01)
    assert one["test_images"] == two["test_images"] == 5
    assert len(two["curve"]) == together.DETECTOR.iterations
    assert two["run"]["provenance"][0]["hardware"]["processes"] == 2


def test_a_detector_goes_on_with_another_number_of_processes(
    detectors: tuple[Path, list[DetectorResult]], two_processes: Processes
) -> None:
    """What two started one ends as one, and two end to the last bit as if nothing had been."""
    folder, _ = detectors
    for name in ("by-one", "by-two"):
        shutil.copytree(folder / "two", folder / name)
        with RunFolder(folder / name) as run:
            run.checkpoints.paths()[0].unlink()
            (run.path / "result.json").unlink()
    with pytest.warns(UserWarning, match="hardware"):
        together.train_detector(folder / "by-one")
    two_processes.run(together.train_detector, folder / "by-two")
    assert_same_run(folder / "one", folder / "by-one", together.DETECTOR)
    whole, resumed = (read_tensors(folder / name / "weights.safetensors")[0] for name in ("two", "by-two"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_only_several_do(two_processes: Processes) -> None:
    """Batch norm across processes is torch's on all images, gradients included; and they agree, quickly enough."""
    seconds, _ = two_processes.run(together.try_out)
    print(f"an agreement takes {1e6 * seconds:.0f} microseconds")
    assert seconds < 0.1  # a tenth of the time between two of them, on however busy a machine


@pytest.mark.parametrize(
    ("group", "batch_size", "size", "expected"),
    [(64, 128, 1, 1), (64, 128, 2, 1), (64, 128, 4, 2), (32, 256, 8, 1), (None, 128, 4, 4), (256, 128, 4, 4)],
)
def test_processes_of_a_group(group: int | None, batch_size: int, size: int, expected: int) -> None:
    """So many that together they have a group's images of each mini-batch."""
    assert sync_batch_norm.processes_of_a_group(BatchNorm2d(3, group), batch_size, size) == expected


@pytest.mark.parametrize(("group", "batch_size", "size"), [(48, 128, 4), (24, 128, 4), (10, 32, 2)])
def test_groups_that_do_not_nest(group: int, batch_size: int, size: int) -> None:
    """Neither does a process have whole groups, nor a group whole processes: both sizes are named."""
    with pytest.raises(UsageError, match=f"{group} images.* {batch_size}"):
        sync_batch_norm.require_nesting(torch.nn.Sequential(BatchNorm2d(3, group)), batch_size, size)


# ---------------------------------------------------------------- devices and cores


@pytest.mark.parametrize(
    ("name", "gpus", "rank", "expected"),
    [("cpu", 2, 1, "cpu"), ("auto", 0, 1, "auto"), ("auto", 2, 1, "cuda:1"), ("cuda", 2, 0, "cuda:0")],
)
def test_device_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str, gpus: int, rank: int, expected: str) -> None:
    """Each takes the GPU of its number on this machine, or the CPU where there is none."""
    _pretend(monkeypatch, gpus, rank)
    assert launch.own_device(name, 4) == expected


def test_no_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """More processes than GPUs, and one GPU for all, are refused."""
    _pretend(monkeypatch, 2, 2)
    with pytest.raises(UsageError, match="2 GPUs"):
        launch.own_device("auto", 4)
    with pytest.raises(UsageError, match="cuda:1"):
        launch.own_device("cuda:1", 4)
    assert launch.own_device("cuda:1", 1) == "cuda:1"


def _pretend(monkeypatch: pytest.MonkeyPatch, gpus: int, rank: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", str(rank))


@pytest.mark.parametrize(("given", "expected"), [(None, 5), ("1", 3), ("3", 3)])
def test_threads(monkeypatch: pytest.MonkeyPatch, given: str | None, expected: int) -> None:
    """A process takes its share of ten cores, unless the user (and not torchrun, which says 1) gave a number."""
    before, pipe = torch.get_num_threads(), subprocess.PIPE
    launcher = subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, env={"OMP_NUM_THREADS": given} if given else {})
    try:
        assert launcher.stdin is not None and launcher.stdout is not None
        launcher.stdin.write(b"\n")
        launcher.stdin.flush()
        assert launcher.stdout.readline()  # it runs, and so the system shows its environment
        monkeypatch.setattr(os, "getppid", lambda: launcher.pid)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(10)))
        for name, value in {
            "OMP_NUM_THREADS": given or "1",
            "TORCHELASTIC_RUN_ID": "7",
            "LOCAL_WORLD_SIZE": "2",
        }.items():
            monkeypatch.setenv(name, value)
        torch.set_num_threads(3)
        launch.take_share_of_cores()
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
        launcher.communicate()


def test_a_launcher_s_variables_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address to meet at, or with a number that is none, nothing is started."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": ""}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="torchrun"), launch.joined("cpu"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="'two'"), launch.joined("cpu"):
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda: resnets.study("digits"),
        lambda: resnets.demo(),
        lambda: resnets.reproduce("table6"),
        lambda: resnets.responses("run", "digits"),
        lambda: resnets.calibrate("run", "digits"),
        lambda: resnets.train_localiser("resnet18", "voc:cells", weights=None),
    ],
)
def test_what_is_for_one_process_says_so(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Else all would do the same work, and write the same files."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="here are 2"):
        call()


# ---------------------------------------------------------------- testing


def test_each_image_is_counted_once(
    photo_folder: Path, tmp_path: Path, two_processes: Processes, four_processes: Processes
) -> None:
    """Of 1, 7, 100 and 101 images in memory and of a dataset object, and of six files, by one, two and four."""
    torch.manual_seed(0)
    grey, colour = (resnets.create("resnet8", num_classes=n, in_channels=c) for n, c in ((10, 1), (3, 3)))
    digits = together.few_digits(100, 1)
    fitted = normalization.fit(digits.train.images, Preprocessing())
    weights_file.save(tmp_path / "arrays.safetensors", grey, classes=digits.classes, input_spec=fitted)
    weights_file.save(tmp_path / "dataset.safetensors", grey, classes=digits.classes)
    photos = InputSpec(size=16, resize=20, mean=(0.5, 0.5, 0.5))
    weights_file.save(tmp_path / "files.safetensors", colour, classes=("cat", "dog", "emu"), input_spec=photos)
    alone = together.evaluate_each(tmp_path, photo_folder)
    assert {found["samples"] for found in alone.values()} == {*together.SIZES, 6}
    for processes in (two_processes, four_processes):
        for found in processes.run(together.evaluate_each, tmp_path, photo_folder):
            for name, counts in alone.items():
                assert found[name] == counts | {"loss": pytest.approx(counts["loss"], rel=1e-5)}, name


def test_a_detectors_score_is_that_of_one_process(tmp_path: Path, four_processes: Processes) -> None:
    """Each image is detected on by one of four processes, to the last bit; of two images two have nothing to do."""
    detector = small_detectors.detector()
    save_detector(tmp_path / "weights.safetensors", detector, small_detectors.CLASSES)
    data = {str(count): small_detectors.splits(tmp_path / str(count), count) for count in (2, 5)}
    (tmp_path / "splits").write_bytes(pickle.dumps(data))
    alone = together.detect_each(tmp_path, tmp_path / "alone")
    assert [found["images"] for found in alone.values()] == [2, 5]
    assert four_processes.run(together.detect_each, tmp_path, tmp_path / "together") == [alone] * 4
    for count in data:
        files = sorted((tmp_path / "alone" / count).glob("*.txt"))
        assert [file.name for file in files] == ["comp4_det_test_green.txt", "comp4_det_test_red.txt"]
        for file in files:
            assert file.stat().st_size and file.read_text() == (tmp_path / "together" / count / file.name).read_text()


# ---------------------------------------------------------------- failing


def test_data_missing_for_one(photo_folder: Path, tmp_path: Path, pair: Run) -> None:
    """One line names the process and the data; the other, which waits for it, says nothing."""
    there = ["train", "resnet8", "--data", f"folder:{photo_folder}", "--out", str(tmp_path / "run"), "--device", "cpu"]
    absent = [*there[:3], "folder:/absent", *there[4:]]
    group = pair(together.as_a_command, [there, absent], tmp_path)
    assert group.join(30) == [1, 1]
    (line,) = errors(tmp_path)
    assert line.startswith("resnets: error: rank 1 of 2: ") and "/absent" in line
    assert not (tmp_path / "run").exists()


def test_other_data_for_one(make_photos: Callable[..., Path], tmp_path: Path, pair: Run) -> None:
    """One line names the process whose data has other images than the first one's."""
    folders = [make_photos("here"), make_photos("there", train=5)]
    common = ["--out", str(tmp_path / "run"), "--device", "cpu", "--batch-size", "4"]
    arguments = [["train", "resnet8", "--data", f"folder:{folder}", *common] for folder in folders]
    assert pair(together.as_a_command, arguments, tmp_path).join(30) == [1, 1]
    (line,) = errors(tmp_path)
    assert line.startswith("resnets: error: rank 1 of 2: the data.")


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("train resnet8 --data digits", ["--no-such-option"], "--no-such-option"),
        ("train resnet8 --data digits", ["--batch-size", "9"], "9 images"),
        ("train resnet8 --data digits", ["--device", "cuda:0"], "cuda:0"),
        ("locate train resnet18 --data voc:/absent --weights absent", [], "here are 2"),
    ],
)
def test_what_is_wrong_for_all_is_said_once(
    tmp_path: Path, two_processes: Processes, command: str, options: list[str], message: str
) -> None:
    """One line, by the process that failed first; also for a command that is for one process."""
    arguments = [*command.split(), "--out", str(tmp_path / "run"), "--device", "cpu", *options]
    assert two_processes.run(together.as_a_command, [arguments, arguments], tmp_path) in ([2, 2], [1, 2], [2, 1])
    (line,) = errors(tmp_path)
    assert line.startswith("resnets: error: rank ") and message in line


@pytest.mark.parametrize(
    ("what", "rank", "message"),
    [
        (together.not_a_number, 1, "iteration 4: the loss is nan"),
        (together.broken, 1, "KeyError: 'a bug'"),
    ],
)
def test_a_failing_process_ends_all(tmp_path: Path, pair: Run, what: Any, rank: int, message: str) -> None:
    """Within seconds, by one line."""
    assert pair(together.fail, what, tmp_path).join(30) == [1, 1]
    (line,) = errors(tmp_path)
    assert line.startswith(f"resnets: error: rank {rank} of 2: {message}")


@pytest.mark.parametrize(("size", "rank", "own_store"), [(4, 2, False), (2, 0, False), (4, 0, True)])
def test_a_process_that_is_lost_is_named(tmp_path: Path, start: Start, size: int, rank: int, own_store: bool) -> None:
    """By one line, and all end within 10 seconds, also where the store was that of process 0."""
    group = Group(start, size, together.fail, together.Killed(rank), tmp_path, own_store=own_store)
    group.processes[rank].join(60)
    codes = group.join(10)
    assert codes == [-signal.SIGKILL if one == rank else 1 for one in range(size)]
    (line,) = errors(tmp_path)
    assert line.startswith(f"resnets: error: rank {rank} of {size} was lost")


def test_an_error_is_not_hidden_by_the_loss_of_another_process(tmp_path: Path, pair: Run) -> None:
    """The first fails in what it was to send, to one that is no longer there: it is its own error that is reported."""
    codes = pair(together.as_a_program, together.fail_after_the_other_is_lost, tmp_path).join(60)
    assert codes == [1, -signal.SIGKILL]
    (line,) = errors(tmp_path)
    assert line == "resnets: error: rank 0 of 2: the disk is full"


def test_a_process_that_hears_nothing_ends_too(tmp_path: Path, pair: Run) -> None:
    """Process 0 is stuck where no signal reaches Python, as in a kernel of NCCL's that waits for process 1."""
    codes = pair(together.fail, together.broken_while_the_first_is_stuck, tmp_path).join(45)
    assert codes == [1, 1]
    (line,) = errors(tmp_path)
    assert line.startswith("resnets: error: rank 1 of 2: KeyError")


# ---------------------------------------------------------------- stopping


def test_a_signal_to_one_stops_all(tmp_path: Path, pair: Run) -> None:
    """After the same iteration, which is saved; repeated signals, as launchers send them, change nothing."""
    group = pair(together.train_long, tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for _ in range(3):
        os.kill(group.processes[1].pid or 0, signal.SIGTERM)
        time.sleep(0.05)
    assert group.join(60) == [128 + signal.SIGTERM] * 2
    (line,) = errors(tmp_path)
    assert line.startswith("resnets: stopped by SIGTERM after iteration ") and line.endswith("everything is saved")
    with RunFolder(tmp_path / "run") as folder:
        (newest, *_) = folder.checkpoints.paths()
        stopped = int(line.split("iteration ")[1].split(";")[0].replace(",", ""))
        assert newest.stem == f"iteration-{stopped:08d}"


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    """The real thing: two processes train, three test, and a wrong name is reported once among torchrun's own words."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
    data = ["--data", "digits", "--device", "cpu"]
    out = tmp_path / "run"
    train = ["-m", "resnets", "train", "resnet8", *data, "--iterations", "20", "--batch-size", "32", "--out", str(out)]
    trained = subprocess.run([*command, "2", *train], capture_output=True, text=True, check=True)
    assert trained.stdout.count("resnet8: test error") == 1
    error = json.loads((out / "result.json").read_text())["test_error"]
    test = ["-m", "resnets", "evaluate", str(out), *data, "--json"]
    tested = subprocess.run([*command, "3", *test], capture_output=True, text=True, check=True)
    found = json.loads(tested.stdout)
    assert (found["samples"], found["top1_error"]) == (360, pytest.approx(error, abs=0.6))
    wrong = subprocess.run([*command, "2", "-m", "resnets", "train", "resnet9", *data], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert len([line for line in wrong.stderr.splitlines() if line.startswith("resnets: ")]) == 1


def test_sizes_are_those_of_the_reference() -> None:
    """60 images in mini-batches of 16 reach into a second epoch, and 33 images are an odd share for 2 and 4."""
    splits = together.splits()
    assert len(splits.train) % together.RECIPE.batch_size and len(splits.test) % 2
    assert np.unique(splits.test.labels).size > 5
