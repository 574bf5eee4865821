"""`bench`: measures each row, ours and its peers in turns."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from benchmarks import machine, results, rows
from benchmarks.candidates import candidates
from benchmarks.images import Images, make_large, make_photos
from benchmarks.process_pool import interleave, process_pool
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.training import fitted, of_network, splits_of
from benchmarks.worker import Candidate
from resnets.errors import Interrupted, UsageError
from resnets.networks import complexity, registry
from resnets.records.benchmarks import Benchmark, BenchmarkRow
from resnets.runtime.device import choose_device
from resnets.runtime.signals import SIGNALS

FULL = (7, 5.0)  # rounds, and seconds of each
QUICK = (2, 1.0)


def bench(
    *,
    quick: bool = False,
    only: str | Iterable[str] = (),
    network: str | None = None,
    imports: Iterable[str] = (),
    data: str | None = None,
    photos: str | Path | None = None,
    rounds: int | None = None,
    round_seconds: float | None = None,
    device: str = "auto",
    observe: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Measure ours and the peers side by side on this machine, and return what came out.

    `quick` takes few rows and short rounds, without timm and the experts' settings. `only` names rows. `network` is
    one to measure instead, built-in or registered: its training, compared with a plain PyTorch loop; `imports` are the
    modules that register it or its data. `data` is `cifar10[:PATH]`, or any source for `network` (None: random images),
    `photos` a folder with train/CLASS/* and val/CLASS/* (None: synthetic ones). `observe` is called with a few words
    on what is being done.

    Raises: UsageError; DataError; Interrupted after a signal, with every process of its own ended.
    """
    start = time.perf_counter()
    target = choose_device(device)
    gpu = target.type == "cuda"
    names = (only,) if isinstance(only, str) else tuple(only)
    if network is not None and names:
        raise UsageError(f"only names rows ({', '.join(names)}), and network is {network!r}: give one of them")
    chosen = rows.choose(names, gpu=gpu, quick=quick) if network is None else (of_network(network, data, gpu=gpu),)
    count, seconds = _length(rounds, round_seconds, QUICK if quick else FULL)
    done: list[BenchmarkRow] = []
    with _signals_raise(), tempfile.TemporaryDirectory(prefix="resnets-bench-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        images = _images(chosen, data, photos, scratch, observe)
        setting = Setting(str(target), images, scratch, tuple(imports))
        if network is not None:
            chosen = tuple(fitted(row, setting) for row in chosen)
        described = _describe(chosen, setting)
        computes = any(row.network and row.kind != "pipeline" for row in chosen)
        if computes:
            observe("matrix rate")
        rates = machine.matrix_rates(target, min(seconds, 1.0)) if computes else {}
        for number, row in enumerate(chosen, start=1):
            those = [one for one in candidates(row, setting) if not quick or _is_quick(one)]
            notify = partial(_notify, observe, f"{number} of {len(chosen)}: {row.name}")
            done.append(_measure(row, those, scratch, rounds=count, seconds=seconds, rates=rates, observe=notify))
    return Benchmark(
        rows=tuple(done),
        rounds=count,
        round_seconds=seconds,
        matrix_rates=rates,
        data=described,
        left_out=_left_out(chosen, gpu=gpu) if quick else (),
        seconds=time.perf_counter() - start,
        machine=machine.describe(target),
    )


def _length(rounds: int | None, round_seconds: float | None, defaults: tuple[int, float]) -> tuple[int, float]:
    """Return the rounds and the seconds of each. Raises: UsageError."""
    if rounds is not None and rounds < 1:
        raise UsageError(f"rounds is {rounds}; it must be 1 or more")
    if round_seconds is not None and not 0 < round_seconds <= 600:
        raise UsageError(f"round_seconds is {round_seconds}; it must be above 0 and at most 600")
    return rounds or defaults[0], round_seconds or defaults[1]


def _notify(observe: Callable[[str], None], row: str, text: str) -> None:
    observe(f"{row}, {text}")


def _measure(
    row: Row,
    those: list[Candidate],
    scratch: Path,
    *,
    rounds: int,
    seconds: float,
    rates: dict[str, float],
    observe: Callable[[str], None],
) -> BenchmarkRow:
    load, flops = machine.load(), _flops(row)
    with process_pool(those, scratch) as workers:
        interleave(workers, rounds=rounds, seconds=seconds, notify=observe)
    if all(worker.record.ready is None and worker.process.exitcode == 1 for worker in workers):
        raise UsageError(
            f"no process of row {row.name!r} came to work; a script that calls bench needs `if __name__ == '__main__':`"
        )
    sides = [results.side(worker.record, row, flops=flops, rates=rates) for worker in workers]
    return BenchmarkRow(
        row=row.name,
        what=row.what,
        kind=row.kind,
        sides=tuple(sides),
        claims=results.claims(row, sides),
        load=tuple(load),
    )


def _flops(row: Row) -> float | None:
    """Return the FLOPs of one image: two for each multiply-add, and three passes' worth in training.

    None where no network is measured, or more than a network, on one core, or a detector, whose depend on the image.
    """
    if not row.network or row.kind == "pipeline" or row.source == "boxes":
        return None
    macs = complexity.measure(complexity.skeleton(row.spec or registry.declare(row.network)), row.side).macs
    return (3 if row.kind == "training" else 1) * 2.0 * macs


def _images(
    chosen: tuple[Row, ...], data: str | None, photos: str | Path | None, scratch: Path, observe: Callable[[str], None]
) -> Images:
    sources = {row.source for row in chosen}
    where = scratch / "photos" if photos is None else Path(photos).expanduser().resolve()
    if photos is None and sources & {"photos", "large photos", "boxes"}:
        observe("making photos")
        make_photos(where)
    large = scratch / "large"
    if "large photos" in sources:
        observe("enlarging photos")
        make_large(large, Images(data, where).photo_splits())
    return Images(data, where, large)


def _describe(chosen: tuple[Row, ...], setting: Setting) -> dict[str, str]:
    """Look at the images that the rows need, so that what is wrong with them shows at once."""
    found, images = {}, setting.images
    for row in chosen:
        if row.source == "data":
            splits = splits_of(row, setting)
            found["images"] = f"{splits.name}, {len(splits.train):,} training images"
    if any(row.source == "cifar" for row in chosen):
        found["small images"] = images.describe_cifar()
    if any(row.source in ("photos", "boxes") for row in chosen):
        made = "synthetic, " if images.photos.name == "photos" and "resnets-bench-" in str(images.photos) else ""
        found["photos"] = made + images.describe_photos()
    if any(row.source == "large photos" for row in chosen):
        found["large photos"] = images.describe_large()
    return found


def _is_quick(candidate: Candidate) -> bool:
    return candidate.role != "expert" and candidate.name != "timm"


def _left_out(chosen: tuple[Row, ...], *, gpu: bool) -> tuple[str, ...]:
    if any(row.spec is not None for row in chosen):
        return ("the plain loop with an expert's settings",)
    everything = rows.CUDA if gpu else rows.CPU
    return (*(row.name for row in everything if row not in chosen), "timm", "the peers with an expert's settings")


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into an exception, so that processes and files go away in good order."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(f"stopped by {signal.Signals(signum).name}; nothing is left of it", signum)

    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    try:
        for signum, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(signum, stop)
    except ValueError:  # not in the main thread, where Python allows no handlers
        before = {}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
