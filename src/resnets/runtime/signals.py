"""SIGINT, SIGTERM and SIGHUP ask a run to stop after the current iteration; a second one stops at once, if it is alone.

Of several processes none may stop at once, for the others would wait for it; and each that torchrun started may get
one signal twice, from torchrun and from the cluster, as may the command of a job. There the launcher's own deadline is
what ends a process that does not stop. A terminal that is closed may send SIGHUP twice: it never stops at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Self

import torch
import torch.distributed as dist

from resnets.errors import Interrupted
from resnets.runtime.processes import World

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def _request_of(handler: object) -> StopRequest | None:
    """Return the request that a signal handler belongs to, if it is one's."""
    found = getattr(handler, "__self__", None)
    return found if isinstance(found, StopRequest) else None


class StopRequest:
    """Within its `with` block, remembers the first signal in `signum`; a second ends the process, if it is `alone`.

    One that torchrun or a job of submitit's started is not ended so.

    Within another one, a signal is a request to both, also one that came before the inner block was entered.

    A block that ends although it was asked to stop had no more to do, but its caller may have, such as a loop over
    several trainings: so the end of the outermost one raises Interrupted, if the process is alone.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self.alone = alone
        self.ends_at_second = alone and not {"TORCHELASTIC_RUN_ID", "SUBMITIT_EXECUTOR"} & os.environ.keys()
        self.signum: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            heard = [signum for signum in SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]  # nohup ignores SIGHUP
            self._before = {signum: signal.signal(signum, self._note) for signum in heard}
            for outer in filter(None, map(_request_of, self._before.values())):
                self.signum = self.signum or outer.signum
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        within = any(map(_request_of, self._before.values()))
        if self.signum is not None and kind is None and self.alone and not within:
            name = signal.Signals(self.signum).name
            raise Interrupted(f"stopped by {name}; what was running is finished", self.signum)

    def request(self) -> None:
        """Ask for a stop as SIGTERM does."""
        self.signum = self.signum or signal.SIGTERM

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            if not self.ends_at_second or signum == getattr(signal, "SIGHUP", None):
                return
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.signum = signum
        outer = _request_of(self._before.get(signum))
        if outer is not None:  # of several runs, which would start the next one
            outer._note(signum, frame)


EXCHANGE_SECONDS = 1.0


class StopCoordinator:
    """Lets all processes learn whether one of them was asked to stop, and whether the first wants to save.

    All must stop after the same iteration, or some would wait for the others. To ask at each iteration would hold up
    a GPU; so the first process announces at each exchange after how many iterations, about a second, the next one is.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.next: int | None = None  # iteration
        self.ahead = 1
        self.held_at = time.perf_counter()

    def decide(self, iteration: int, stop: int | None, due: bool) -> tuple[int | None, bool]:
        """Return the signal to stop for, if there is one, and whether to save, after an iteration."""
        if self.world.size == 1:
            return stop, due
        if self.next is not None and iteration < self.next:
            return None, False
        now = time.perf_counter()
        target = self.ahead * EXCHANGE_SECONDS / max(now - self.held_at, 1e-6)
        self.held_at = now
        # not much further than the last time, since a GPU's first iterations are only queued
        ahead = max(1, min(int(target), 2 * self.ahead, 1_000_000))
        first = self.world.first
        words = torch.tensor([stop or 0, due if first else 0, ahead if first else 0])
        dist.all_reduce(words, dist.ReduceOp.MAX, group=self.world.group)
        signum, save, self.ahead = words.tolist()
        self.next = iteration + self.ahead
        return signum or None, bool(save)
