"""Run folders: the record of a run, its log, checkpoints, weights and result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Self, TypeVar

from resnets.errors import ANOTHER_FOLDER, RecordError, RunError, warn
from resnets.files import make_folder, reading, sync_folder, write_durably, writing
from resnets.records import base
from resnets.records.runs import LogLine, Provenance, Result, RunRecord, StartRecord
from resnets.runtime.locks import Held, Lock
from resnets.runtime.processes import World
from resnets.training.checkpoint import Checkpoints
from resnets.training.resolved import ResolvedTraining

R = TypeVar("R", bound=Result)

TO_LOSE = ("weights.safetensors", "model.safetensors", "result.json")
"""Files that a training would replace, or after which a folder would be read as other weights than before."""


class RunFolder:
    """A run's folder, held by one process at a time.

    `run.json` is the record of the run, `metrics.jsonl` its log, `tensorboard/` the same for TensorBoard,
    `checkpoints/` the states, and at the end `weights.safetensors` and `result.json`. `metrics-earlier.jsonl` has the
    log of earlier starts, of which no checkpoint was there to continue from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.weights = path / "weights.safetensors"
        self.tensorboard = path / "tensorboard"
        self.metrics = path / "metrics.jsonl"
        self._lock = Lock(path / "lock")

    def __enter__(self) -> Self:
        try:
            make_folder(self.path)
            self._lock.__enter__()
        except Held:
            raise RunError(
                f"{self.path}: another process is training in this folder; wait for it or {ANOTHER_FOLDER}"
            ) from None
        except OSError as error:
            raise RunError(f"{self.path}: failed to create or write ({error.strerror or error})") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.__exit__()

    # ------------------------------------------------------------ run.json

    def record(self) -> RunRecord | None:
        """Return the record of the run; None where there is no run yet. Raises: RecordError."""
        return base.read(self.path / "run.json", RunRecord)

    def started(self) -> RunRecord | None:
        """Return the record of a run that has checkpoints or a result; None where there is nothing to lose or continue.

        Raises: RecordError, CheckpointError.
        """
        return self.record() if self.is_started() else None

    def is_started(self) -> bool:
        """Return whether the run has a result or checkpoints. Raises: CheckpointError."""
        return (self.path / "result.json").exists() or bool(self.checkpoints.paths())

    def write_record(self, record: RunRecord) -> None:
        base.write(self.path / "run.json", record)

    def record_execution(self, record: RunRecord, execution: str) -> RunRecord:
        """Return and write the record with how the steps of this session run; another way is another session."""
        *earlier, last = record.provenance
        if last.execution == execution:
            return record
        kept = [] if last.execution is None else [last]
        record = record.with_changes(provenance=(*earlier, *kept, last.with_changes(execution=execution)))
        self.write_record(record)
        return record

    # ------------------------------------------------------------ metrics.jsonl

    def log(self, line: LogLine) -> None:
        """Append one line to the log; `sync_log` brings it to the disk."""
        with writing(self.metrics), open(self.metrics, "ab") as file:
            file.write(base.encode(line) + b"\n")

    def sync_log(self) -> None:
        """Bring the log and its name to the disk: before a checkpoint, after which no line of it may be missing."""
        with writing(self.metrics), suppress(FileNotFoundError):
            with open(self.metrics, "rb+") as file:
                os.fsync(file.fileno())
            sync_folder(self.path)

    def logged(self) -> list[LogLine]:
        """Return the lines of the log. Raises: RecordError."""
        return [base.decode(line, LogLine, f"{self.metrics}, line {n}") for n, line in enumerate(self._lines(), 1)]

    def rewind(self, iteration: int) -> None:
        """Drop what was logged after an iteration, as a crash may have left it, and what is no line of a log."""
        kept, lines = [], self._lines()
        if not lines:
            return
        for line in lines:
            with suppress(RecordError):
                if base.decode(line, LogLine, self.metrics).iteration <= iteration:
                    kept.append(line + b"\n")
        with writing(self.metrics):
            write_durably(self.metrics, b"".join(kept))

    def archive_log(self) -> Path | None:
        """Move the lines of the log to those of earlier starts, and return their file; None where there are none."""
        if not (lines := self._lines()):
            return None
        earlier = self.path / "metrics-earlier.jsonl"
        with writing(earlier):
            with open(earlier, "ab") as file:
                file.writelines(line + b"\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            self.metrics.unlink()
        return earlier

    def _lines(self) -> list[bytes]:
        with reading(self.metrics, RunError), suppress(FileNotFoundError):
            return [line for line in self.metrics.read_bytes().splitlines() if line]
        return []

    # ------------------------------------------------------------ result.json

    def result(self, kind: type[R]) -> R | None:
        """Return the result of the run; None where it has not finished. Raises: RecordError."""
        return base.read(self.path / "result.json", kind)

    def finish(self, result: Result) -> None:
        """Write result.json, which marks the run as finished."""
        base.write(self.path / "result.json", result)


def earlier_record(folder: Callable[[str], Path], *, resume: bool) -> Callable[[str], RunRecord | None]:
    """Return what gives the record of the run that is to be resumed, by the name of its data; None where none is."""
    return lambda name: RunFolder(folder(name)).started() if resume else None


@contextmanager
def opened(
    path: Path, training: ResolvedTraining, kind: type[R], *, resume: bool
) -> Iterator[tuple[RunFolder | None, RunRecord, R | None]]:
    """Hold a run's folder, and yield it, the record of the run, and its result where it is finished already.

    Of several processes the first holds it, and the others get None.

    Raises: RunError, if the folder holds another run, or this one and it is not to be resumed; or on a process whose
        settings or data are not those of the first.
    """
    world = training.world
    _require_same_everywhere(training.record, world)
    with RunFolder(path) if world.first else nullcontext() as folder:

        def enter() -> tuple[RunRecord, R | None]:
            assert folder is not None
            return _enter(folder, training.record, kind, resume=resume, keep_precision=training.keep_precision)

        record, result = world.broadcast_object(enter)
        yield folder, record, result


def _enter(
    folder: RunFolder, record: RunRecord, kind: type[R], *, resume: bool, keep_precision: bool
) -> tuple[RunRecord, R | None]:
    """Write run.json, and return what it holds, and the result where the run is finished."""
    record, old = continuing(folder, record, resume=resume, keep_precision=keep_precision)
    if old is not None:
        if (result := folder.result(kind)) is not None:
            return record, result
        record = record.with_changes(provenance=_continued(old.provenance, record.provenance[0]))
    folder.write_record(record)
    return record, None


def continuing(
    folder: RunFolder, record: RunRecord, *, resume: bool, keep_precision: bool
) -> tuple[RunRecord, RunRecord | None]:
    """Return the record of a run as its folder names things, and the folder's; None where there is nothing to lose.

    Raises: RunError, if the folder holds another run, or this one and it is not to be resumed; or weights or
        checkpoints of no run.
    """
    there = [name for name in TO_LOSE if (folder.path / name).exists()]
    if not there and folder.checkpoints.paths():
        there = ["checkpoints"]
    if not there:
        return record, None
    old = folder.record()
    if old is None:
        raise RunError(f"{folder.path} holds {there[0]} but no run.json that says of what; {ANOTHER_FOLDER}")
    if keep_precision:
        record = record.with_changes(precision=old.precision)
    record = record.named_as(old)
    if found := old.difference(record):
        where, was, now = found
        files = [getattr(run, where, None) for run in (old, record)]
        if isinstance(files[0], StartRecord) and isinstance(files[1], StartRecord) and files[0].file == files[1].file:
            raise RunError(
                f"{folder.path}: the {where} of its run was {was}, and that file has changed since, as `calibrate` "
                f"changes it; restore it, or {ANOTHER_FOLDER}"
            )
        raise RunError(
            f"{folder.path} holds another run: its {where} is {was}, and {now} is requested; request the same or "
            f"{ANOTHER_FOLDER}"
        )
    if not resume:
        raise RunError(f"{folder.path} holds this run already: add --resume, or {ANOTHER_FOLDER}")
    return record, old


def _require_same_everywhere(record: RunRecord, world: World) -> None:
    first = world.broadcast_object(lambda: record)
    if found := first.difference(record.named_as(first)):
        where, there, here = found
        raise RunError(
            f"the {where} of this process is {here}, and {there} of process 0; give all the same data and settings"
        )


def _continued(earlier: Sequence[Provenance], now: Provenance) -> tuple[Provenance, ...]:
    """Return where the sessions of a run ran, where that changed."""
    changed = [name for name in earlier[-1].differences(now) if name != "execution"]
    if not changed:
        return tuple(earlier)
    warn(f"continued with another {' and '.join(changed)} than before; run.json records both")
    return (*earlier, now)
