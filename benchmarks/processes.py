"""Training by several processes of this machine, each with its share of the cores, as torchrun starts them."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from multiprocessing import get_context

import torch

from benchmarks import training
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.runtime.launch import joined


def ours(row: Row, setting: Setting) -> Loop:
    """Prepare this process as the first of the row's, and start the others, which end with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("spawn")
    for rank in range(1, row.processes):
        context.Process(target=_follow, args=(row, setting, rank, port), daemon=True).start()
    return _prepare(row, setting, 0, port)


def one(row: Row, setting: Setting) -> Loop:
    """Prepare the same training by one process with a thread for each core."""
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return training.ours(row, setting)


def _follow(row: Row, setting: Setting, rank: int, port: int) -> None:
    """Train with the first process, which waits for the next round in its tick, and so keeps the others waiting."""
    _prepare(row, setting, rank, port)(lambda images: None)


def _prepare(row: Row, setting: Setting, rank: int, port: int) -> Loop:
    size = str(row.processes)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    together = ExitStack()
    loop = training.ours(row, setting, together.enter_context(joined(setting.device)))

    def joined_loop(tick: Tick) -> None:
        with together:
            loop(tick)

    return joined_loop
