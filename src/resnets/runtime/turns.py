"""Work that takes turns in one process, each with random numbers of its own, and on a GPU with a stream of its own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from resnets.errors import Interrupted
from resnets.runtime.device import fastest_convolutions
from resnets.runtime.signals import StopRequest

HIGHEST_PRIORITY = -3  # of torch's streams; 0 is the lowest

T = TypeVar("T")

Session = Generator[int, None, T]
"""Work in steps: yields how many are done after each one, and returns its result."""


def completed(session: Session[T]) -> T:
    """Return the result of work that is done without turns."""
    while True:
        try:
            next(session)
        except StopIteration as end:
            result: T = end.value
            return result


def take_turns(
    sessions: Sequence[Session[T]],
    device: torch.device,
    stop: StopRequest,
    *,
    depths: Sequence[int],
    failures: tuple[type[Exception], ...],
) -> list[T | Exception]:
    """Return the results of all sessions, of each that fails its error.

    The next step is one of the session with the fewest steps done, so all advance together, also where some started
    behind the others. On a GPU the deepest networks have streams of the highest priority: all wait for them.

    Args:
        stop: what the sessions look at to stop; it is set where one ends by an error that is not among `failures`.
        depths: of the networks, in the order of the sessions.
        failures: errors that end one session and leave the others.

    Raises: the first error that is not one of `failures`, once all others have stopped; Interrupted after a signal.
    """
    turns = [_Turn(device, priority) for priority in _priorities(depths)]
    members = [_Member(session, turn) for session, turn in zip(sessions, turns, strict=True)]
    raised: list[Exception] = []
    active = list(members)
    with fastest_convolutions(device):  # which each session sets and resets as well, in any order
        try:
            while active:
                member = min(active, key=lambda one: one.steps)
                try:
                    member.advance(until_the_end=len(active) == 1)
                except failures as error:
                    member.end(error)
                except Exception as error:
                    raised.append(error)
                    member.end(error)
                    stop.request()
                if member.ended:
                    active.remove(member)
        finally:
            for member in active:
                with member.turn:
                    member.session.close()
    if raised:  # the others were interrupted by the first
        raise next((error for error in raised if not isinstance(error, Interrupted)), raised[0])
    return [member.outcome for member in members]


@dataclass(eq=False)
class _Member(Generic[T]):
    """A session with its turns, and once it has ended its result or its error."""

    session: Session[T]
    turn: _Turn
    steps: int = -1
    ended: bool = False
    outcome: T | Exception = field(init=False)

    def advance(self, *, until_the_end: bool) -> None:
        """Do one step, or all that are left."""
        with self.turn:
            try:
                self.steps = next(self.session)
                while until_the_end:
                    self.steps = next(self.session)
            except StopIteration as end:
                self.end(end.value)

    def end(self, outcome: T | Exception) -> None:
        self.ended, self.outcome = True, outcome


class _Turn:
    """Within its `with` block, torch's random state is that of the block before, and on a GPU a stream is current."""

    def __init__(self, device: torch.device, priority: int) -> None:
        self.device = device
        self.own: list[Tensor] | None = None
        self.stream = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device, priority=priority)
            self.stream.wait_stream(torch.cuda.current_stream(device))

    def __enter__(self) -> Self:
        self.outer = self._random_state()
        if self.own is not None:
            self._restore(self.own)
        if self.stream is not None:
            self.outer_stream = torch.cuda.current_stream(self.device)
            torch.cuda.set_stream(self.stream)
        return self

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            torch.cuda.set_stream(self.outer_stream)
        self.own = self._random_state()
        self._restore(self.outer)

    def _random_state(self) -> list[Tensor]:
        on_device = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.random.get_rng_state(), *on_device]

    def _restore(self, states: list[Tensor]) -> None:
        torch.random.set_rng_state(states[0])
        for state in states[1:]:
            torch.cuda.set_rng_state(state, self.device)


def _priorities(depths: Sequence[int]) -> list[int]:
    """Return the priorities of streams: the deepest have the highest, and each smaller depth one less."""
    order = sorted(set(depths), reverse=True)
    return [min(0, HIGHEST_PRIORITY + order.index(depth)) for depth in depths]
