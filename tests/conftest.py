"""Fixtures of all tests: real data where it is available, small synthetic data sets, and no network.

torch and all that imports it is imported where it is used: pytest-xdist's first process, which only hands tests out,
reads this file before it starts the others.
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer.main
from filelock import FileLock

if TYPE_CHECKING:
    from resnets.data.splits import DataSplits

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as for what a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


FORKING = {"test_distributed.py", "test_killed.py", "test_shared_parts.py", "test_train_together.py"}
"""Files whose tests fork processes: one of pytest-xdist's processes has them all, and starts with them, so that what
these processes import is imported once.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests that fork processes: together they are the longest unit."""
    items.sort(key=lambda item: item.path.name not in FORKING)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, and those of all files that fork."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "forking" if Path(file).name in FORKING else file

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collectstart() -> None:
    """Collect no garbage while modules are imported and tests collected: what they make stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Let no garbage collection look again at the million objects that are there before the first test."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let the end of the process collect all."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine look offline but for itself, so that no test needs or uses a network."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def is_here(host: Any) -> bool:
        return host in (None, "", "localhost", "::1", b"localhost", socket.gethostname()) or str(host).startswith(
            "127."
        )

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not is_here(address[0]):
            raise OSError(f"the tests use no network, and this one connects to {address}")
        connect(self, address)

    def look_up_here(host: Any, *arguments: Any, **options: Any) -> Any:
        if not is_here(host):
            raise socket.gaierror(socket.EAI_NONAME, f"the tests use no network, and this one looks up {host}")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)


@pytest.fixture(autouse=True)
def own_registrations() -> Iterator[None]:
    """Forget what a test registers."""
    from resnets.data.sources import SOURCES
    from resnets.detection.recipes import DETECTION_RECIPES
    from resnets.localisation.recipes import LOCALISATION_RECIPES
    from resnets.networks.registry import NETWORKS
    from resnets.training.recipes import RECIPES

    recipes = RECIPES.scoped(), DETECTION_RECIPES.scoped(), LOCALISATION_RECIPES.scoped()
    with NETWORKS.scoped(), recipes[0], recipes[1], recipes[2], SOURCES.scoped():
        yield


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Let `os.fsync` return at once: files survive the end of a process without it, and the suite calls it thousands
    of times, each for some 10 ms. Processes that tests start keep the real one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def short_measurements() -> Iterator[None]:
    """Time steps, engines and loading for a moment: no test but a slow one depends on how exact their rates are."""
    from resnets.inference import engine
    from resnets.planning import dataset_stats, defaults, measure
    from resnets.reproduction import estimates

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "MEASURED_SECONDS", 0.01)
        patch.setattr(dataset_stats, "LOADING_SECONDS", 0.01)
        patch.setattr(defaults, "SECONDS", 0.01)
        patch.setattr(estimates, "QUICK_SECONDS", 0.01)
        for name in ("SECONDS", "QUICK_SECONDS", "TEST_SECONDS"):
            patch.setattr(measure, name, 0.01)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_tree_of_commands() -> Iterator[None]:
    """Make Click's commands once of a Typer program, which takes longer than most of what a test does with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute in one thread: the last bits of a sum depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MakeOnce = Callable[[str, Callable[[Path], Any]], Any]


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """A function that returns what another one makes in a new folder of this name, which all only read.

    One of pytest-xdist's processes makes it for all, so it can be pickled.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], Any]) -> Any:
        folder, made = shared / name, shared / f"{name}.pickle"
        with FileLock(f"{folder}.lock"):
            if not made.exists():
                folder.mkdir()
                made.write_bytes(pickle.dumps(make(folder)))
        return pickle.loads(made.read_bytes())

    return once


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: $RESNETS_DATA, else `../shared/data` next to the repository."""
    named = os.environ.get("RESNETS_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent; name its folder in RESNETS_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def cifar10_folder(real_data: Path, make_once: MakeOnce) -> Path:
    """A folder with all of CIFAR-10 in both official layouts, unpacked once for all tests where it is packed."""
    layouts = ("cifar-10-batches-py", "cifar-10-batches-bin")
    if all((real_data / layout).is_dir() for layout in layouts):
        return real_data
    script = real_data / "unpack_cifar10.py"
    if not script.is_file():
        pytest.skip(f"no real CIFAR-10: {real_data} has no {' and '.join(layouts)}")

    def unpack(folder: Path) -> Path:
        subprocess.run([sys.executable, str(script), str(folder)], check=True)
        return folder

    return make_once("cifar10", unpack)


@pytest.fixture(scope="session")
def cifar10(cifar10_folder: Path) -> DataSplits:
    """All of CIFAR-10 in memory."""
    from resnets.data import cifar

    return cifar.load(cifar.CIFAR10, cifar10_folder)


@pytest.fixture(scope="session")
def imagenette_folder(real_data: Path) -> Path:
    """A folder with 1,300 real photos of ten ImageNet classes: train/WNID/* and val/WNID/*."""
    folder = real_data / "imagenette"
    if not folder.is_dir():
        pytest.skip(f"no real photos: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def pandas() -> Any:
    """pandas, which takes a second to import, for the tests that read tables with it."""
    return pytest.importorskip("pandas")


@pytest.fixture(scope="session")
def browser() -> str:
    """The command of a browser, `chromium` or what $RESNETS_BROWSER names, or a skip that says what is missing."""
    named = os.environ.get("RESNETS_BROWSER")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: {named or 'chromium'} is not here; name one in RESNETS_BROWSER")
    return found


@pytest.fixture(scope="module")
def chromium(browser: str) -> Iterator[Any]:
    """A browser that playwright drives."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])


MakePhotos = Callable[..., Path]


@pytest.fixture
def make_photos(tmp_path: Path) -> MakePhotos:
    """A function that writes a folder data set of generated JPEGs, `photos` unless named, and returns it."""
    from pictures import write_photos

    return lambda name="photos", **options: write_photos(tmp_path / name, **options)


@pytest.fixture
def photo_folder(make_photos: MakePhotos) -> Path:
    """A folder data set of three classes: four generated JPEGs each to train on, two to test on."""
    return make_photos()


@pytest.fixture(scope="session")
def digits_run(make_once: MakeOnce) -> Path:
    """The folder of a finished run of `resnets train`: 30 iterations of ResNet-8 on the digits. It is only read."""
    from resnets.cli import run

    def train(folder: Path) -> Path:
        out = folder / "resnet8"
        assert run(["train", "resnet8", "--data", "digits", "--iterations", "30", "--out", str(out)]) == 0
        return out

    return make_once("digits", train)


@pytest.fixture(scope="module")
def estimated() -> Iterator[None]:
    """No study measures anything: a step of any network is taken to last a second, and tests and all else no time."""
    from resnets.depth_study import budget as planner_of
    from resnets.planning.forecast import Rates
    from resnets.planning.measure import Measurement, StepTime

    rates = Rates(step=1.0, start=0.0, test=0.0, final_test=0.0, save=0.0, log=0.0)
    steps = StepTime(batch_size=128, step=1.0, start=0.0, spread=0.0, steps=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner_of, "measure", lambda *_, **__: Measurement(steps, rates))
        patch.setattr(planner_of.Planner, "elapsed", lambda _: 0.0)  # whatever else this machine does
        for name in ("MARGIN", "AROUND_ALL", "AROUND_A_RUN"):
            patch.setattr(planner_of, name, 0.0)
        yield


@pytest.fixture(scope="session")
def plain_run(make_once: MakeOnce) -> Path:
    """The folder of a run of a plain network with another input, the channel's mean and deviation. It is only read."""
    import resnets

    preprocessing = resnets.find_recipe("cifar-200").preprocessing
    recipe = resnets.find_recipe("digits").with_changes(preprocessing=preprocessing)

    def train(folder: Path) -> Path:
        return resnets.train("plain8", "digits", recipe=recipe, iterations=10, seed=1, out=folder / "plain8").folder

    return make_once("plain", train)


@pytest.fixture
def tiny_splits() -> DataSplits:
    """96 training and 33 test images of 8x8 in three classes, by their colour: learnt in a few iterations."""
    from resnets.data.arrays import ImageArrays
    from resnets.data.splits import DataSplits

    def split(count: int, seed: int) -> ImageArrays:
        generator = np.random.default_rng(seed)
        labels = np.arange(count, dtype=np.int64) % 3
        images = generator.integers(0, 100, (count, 8, 8, 3), np.uint8)
        images[np.arange(count), :, :, labels] += 120
        return ImageArrays(images, labels)

    train, test = split(96, 1), split(33, 2)
    return DataSplits(
        name="tiny",
        train=train,
        test=test,
        classes=("red", "green", "blue"),
        digest=f"{train.digest()}:{test.digest()}",
    )


@pytest.fixture(scope="module")
def registering() -> Iterator[None]:
    """Import the module of that name as `resnets --import registering` does, in its folder."""
    from resnets.cli import run
    from resnets.data.sources import SOURCES
    from resnets.networks.registry import NETWORKS
    from resnets.training.recipes import RECIPES

    with pytest.MonkeyPatch.context() as patch, NETWORKS.scoped(), RECIPES.scoped(), SOURCES.scoped():
        patch.syspath_prepend(Path(__file__).parent)
        assert run(["--import", "registering", "info", "two-layers"]) == 0
        yield
        del sys.modules["registering"]
