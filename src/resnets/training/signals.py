"""SIGINT, SIGTERM and SIGHUP ask a run to stop after the current iteration; a second one stops at once, if it is alone.

Of several processes none may stop at once, for the others would wait for it; and each that torchrun started may get
one signal twice, from torchrun and from the cluster. There the launcher's own deadline is what ends a process that does
not stop. A terminal that is closed may send SIGHUP twice: it never stops at once.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class StopRequest:
    """Within its `with` block, remembers the first signal in `signum`; a second ends the process, if it is `alone`.

    One that torchrun started never is.

    Within another one, a signal is a request to both.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self.alone = alone and "TORCHELASTIC_RUN_ID" not in os.environ
        self.signum: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            heard = [signum for signum in SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]  # nohup ignores SIGHUP
            self._before = {signum: signal.signal(signum, self._note) for signum in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            if not self.alone or signum == getattr(signal, "SIGHUP", None):
                return
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.signum = signum
        outer = getattr(self._before.get(signum), "__self__", None)
        if isinstance(outer, StopRequest):  # that of several runs, which would begin the next one
            outer.signum = signum
