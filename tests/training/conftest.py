"""Small runs in this process, and processes to be killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # small_runs and victims, here and in the processes started from here

from together import Processes


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Fix the number of threads, on which the last bits of a sum depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# What a run imports, also late: it takes seconds, which a forked process has behind it. The first that a test starts
# waits for them.
forkserver.set_forkserver_preload(
    [
        "pytest",
        "rich.progress",
        "resnets.cli",
        "resnets.detection.evaluate",
        "resnets.detection.train",
        "resnets.training.train",
        "sklearn.datasets",
        "torch._dynamo",
        "tensorboard.compat.proto.event_pb2",
        "tensorboard.summary.writer.record_writer",
    ]
)

# torch looks up the name of each address that it connects to: a name server that does not answer delays tests by a
# second, and not by 5 or 10.
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")

Start = Callable[..., BaseProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a function in a process of its own; all are forked from one that has only imported."""
    context = multiprocessing.get_context("forkserver")
    started: list[BaseProcess] = []

    def start_one(target: Callable[..., Any], *arguments: Any) -> BaseProcess:
        process = context.Process(target=target, args=arguments)
        process.start()
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def two_processes() -> Iterator[Processes]:
    """Two processes for all that two do together and survive."""
    two = Processes(2)
    yield two
    two.end()


@pytest.fixture(scope="session")
def four_processes() -> Iterator[Processes]:
    """Four processes for all that four do together and survive."""
    four = Processes(4)
    yield four
    four.end()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `victims` that nothing killed. It is only read."""
    import victims

    path = tmp_path_factory.mktemp("runs") / "whole"
    victims.train(path)
    return path


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that nothing interrupted."""
    from small_runs import job, run

    path = tmp_path_factory.mktemp("runs") / "reference"
    run(job(), path)
    return path


@pytest.fixture(scope="session")
def seven_iterations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, which died after 7 iterations. It is only read."""
    from small_runs import Crash, job, run

    path = tmp_path_factory.mktemp("runs") / "interrupted"
    with pytest.raises(Crash):
        run(job(crash_after=7), path)
    return path


@pytest.fixture
def interrupted(seven_iterations: Path, tmp_path: Path) -> Path:
    """A copy of the run that died after 7 iterations, with checkpoints of the 6th and 7th."""
    return shutil.copytree(seven_iterations, tmp_path / "run")
