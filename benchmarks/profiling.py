"""Profile of a training step by operator, ours or the peer's.

    python -m benchmarks.profiling resnet50-imagenet
    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python -m benchmarks.profiling resnet50-imagenet --peer

The variables make any x86 processor one without AVX-512 and bf16.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.profiler import ProfilerActivity, profile
from typer import Argument, Option

from benchmarks import rows
from benchmarks.candidates import candidates
from benchmarks.images import Images, make_photos
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop
from resnets.cli import run as run_program
from resnets.errors import UsageError
from resnets.quantities import plural

WARM_UP = 3  # steps that are not measured

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class _Enough(BaseException):
    """Ends a loop from within; no `except Exception` in it holds that up."""


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def profiled(
    row: Annotated[str, Argument(help="A row of `python -m benchmarks` that trains in one process.")],
    peer: Annotated[bool, Option("--peer", help="Profile the peer in place of ours.")] = False,
    steps: Annotated[int, Option(help="Steps that are profiled.", min=1)] = 3,
    operators: Annotated[int, Option(help="Operators that are printed.", min=1)] = 12,
) -> None:
    """Print which operators the seconds of a step go to, on this machine's processor."""
    (chosen,) = rows.choose((row,), gpu=False, quick=False)
    if chosen.kind != "training" or chosen.processes > 1:
        raise UsageError(f"row {row!r} is no training in one process; resnet50-imagenet is, for example")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own messages
    with tempfile.TemporaryDirectory(prefix="resnets-bench-") as folder:
        name, found, seconds = _measured(chosen, Path(folder), 1 if peer else 0, steps)
    operations = sorted(found.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(one.self_cpu_time_total for one in operations)
    convolution = sum(one.self_cpu_time_total for one in operations if "conv" in one.key)
    print(
        f"{name}, {chosen.what}: {seconds:.3g} s a step on {plural(torch.get_num_threads(), 'thread')}; "
        f"convolution is {100 * convolution / total:.0f} % of the operators' time"
    )
    for one in operations[:operators]:
        share = one.self_cpu_time_total / total
        print(f"  {100 * share:5.1f} %  {share * seconds:8.4f} s  {one.count / steps:6.0f} calls  {one.key}")


def _measured(row: Row, scratch: Path, who: int, steps: int) -> tuple[str, profile, float]:
    """Return who was profiled, the profile of some steps, and the seconds that one takes without a profiler."""
    photos = scratch / "photos"
    if row.source in ("photos", "boxes"):
        make_photos(photos)
    candidate = candidates(row, Setting("cpu", Images(None, photos), scratch))[who]
    loop = candidate.prepare()
    seconds = _run(loop, WARM_UP, steps)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        _run(loop, 0, steps)
    return candidate.name, found, seconds


def _run(loop: Loop, warm_up: int, steps: int) -> float:
    """Run a loop for some steps, and return the mean seconds of those after the warm-up."""
    done, start = 0, time.perf_counter()

    def tick(_: int) -> None:
        nonlocal done, start
        done += 1
        if done == warm_up:
            start = time.perf_counter()
        if done == warm_up + steps:
            raise _Enough

    with suppress(_Enough):
        loop(tick)
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], app, "python -m benchmarks.profiling"))
