"""Load on `resnets serve`, on the loopback: images/s and latency, compared with one image at a time.

    python -m benchmarks.serving --network resnet18 --clients 16

Three take turns: a loop that calls `predict` of an optimised model, without a server; a server that computes each image
alone (`--batch-size 1`); and a server with batches. Clients and server share the machine.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from typer import Option

from benchmarks.images import make_photos
from resnets.cli import run as run_program
from resnets.specs import InputSpec

Measure = Callable[[float], list[float]]
"""The seconds of each image that was answered within some seconds."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def load(
    network: Annotated[str, Option(help="A network; its weights are random.")] = "resnet18",
    clients: Annotated[int, Option(help="Connections that each send one image after the other.", min=1)] = 16,
    batch_size: Annotated[int, Option(help="Most images that the server computes at once.", min=2)] = 32,
    max_wait: Annotated[float, Option(help="Milliseconds that it waits for more.")] = 2.0,
    engine: Annotated[str, Option(help="As of `resnets serve`.")] = "auto",
    rounds: Annotated[int, Option(help="Rounds, in which all take turns.", min=1)] = 5,
    seconds: Annotated[float, Option(help="Seconds of each in a round.")] = 4.0,
) -> None:
    """Measure the throughput and the latency of a server under load."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        root = Path(folder)
        weights, images = write_weights(root, network), write_images(root, network)
        batches = ("--batch-size", str(batch_size), "--max-wait", str(max_wait))
        sides: dict[str, Measure] = {"predict, one by one": one_by_one(weights, images, engine)}
        for name, options in (("server, one by one", ("--batch-size", "1")), ("server, batches", batches)):
            port = running.enter_context(server(weights, ("--engine", engine, *options)))
            sides[name] = load_on(port, images, clients)
        for measure in sides.values():
            measure(min(1.0, seconds))
        found = [{name: measure(seconds) for name, measure in sides.items()} for _ in range(rounds)]
    print(f"{network}, {clients} clients, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"{'':<22}images/s  median ms  99 % ms   images/s over predict's (range over rounds)")
    base = next(iter(sides))
    for name in sides:
        times = [one for each in found for one in each[name]]
        ratios = [len(each[name]) / len(each[base]) for each in found]
        middle, late = (1000 * float(np.percentile(times, share)) for share in (50, 99))
        rate = len(times) / (rounds * seconds)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:<22}{rate:>8.1f}  {middle:>9.1f}  {late:>7.1f}   {spread}")


def write_weights(folder: Path, name: str) -> Path:
    """Write a network of random weights and return the file."""
    from resnets.networks.registry import spec_of
    from resnets.weights.create import create
    from resnets.weights.weights_file import save

    network = create(name)
    spec = spec_of(network)
    assert spec is not None
    size = spec.input_size
    expected = InputSpec(size=size, resize=size if size < 64 else round(size * 256 / 224), mean=(0.5, 0.5, 0.5))
    classes = tuple(map(str, range(spec.num_classes)))
    save(folder / f"{name}.safetensors", network, classes=classes, input_spec=expected)
    return folder / f"{name}.safetensors"


def write_images(folder: Path, name: str) -> list[Path]:
    """Write photos of 500 x 375 for networks of photos, else PNG files of 32 x 32, and return their paths."""
    from resnets.networks.registry import create, spec_of

    spec = spec_of(create(name))
    assert spec is not None
    if spec.input_size > 64:
        make_photos(folder)
        return sorted(folder.rglob("*.jpg"))
    generator = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(64)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return paths


def one_by_one(weights: Path, images: list[Path], engine: str) -> Measure:
    """Return what predicts one image after the other, by an engine that is made for one."""
    import resnets

    model = resnets.optimize(resnets.load(weights), engine=engine, precision="fp32")

    def measure(seconds: float) -> list[float]:
        times: list[float] = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            model.predict(images[len(times) % len(images)])
            times.append(time.perf_counter() - start)
        return times

    return measure


@contextlib.contextmanager
def server(weights: Path, options: tuple[str, ...]) -> Iterator[int]:
    """Start a server in a process of its own, and give its port."""
    command = [sys.executable, "-m", "resnets", "serve", str(weights), "--port", "0", "--no-log", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        found = next(filter(None, (re.search(r"http://127\.0\.0\.1:(\d+).*", line) for line in lines)), None)
        if found is None:
            raise typer.Exit(1)
        print(found[0].partition("; ")[0], " ".join(options))
        yield int(found[1])
        process.terminate()


def load_on(port: int, images: list[Path], clients: int) -> Measure:
    """Return what sends images to a server over several connections at once."""
    contents = [path.read_bytes() for path in images]

    def measure(seconds: float) -> list[float]:
        times: list[float] = []
        end = time.perf_counter() + seconds
        numbers = count()

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            while (start := time.perf_counter()) < end:
                connection.request("POST", "/predict", contents[next(numbers) % len(contents)])
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status}: {body.decode()}")
                times.append(time.perf_counter() - start)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return times

    return measure


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], app, "python -m benchmarks.serving"))
