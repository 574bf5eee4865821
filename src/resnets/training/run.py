"""The folder of a run: what was asked for, what was logged, the checkpoints, the weights and the result."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from pathlib import Path
from typing import Any, Self

import filelock

from resnets.errors import RunError
from resnets.files import write_durably, write_json, writing
from resnets.training.checkpoint import Checkpoints


def identity(description: dict[str, Any]) -> dict[str, Any]:
    """Return what makes two runs the same one; the rest of run.json may differ when a run is resumed.

    The recipe's source and deviations are words, which another version may put differently.
    """
    same = {key: description.get(key) for key in ("network", "recipe", "data", "seed", "precision")}
    if (weights := description.get("weights")) is not None:  # that it starts from, where not from scratch
        same["weights"] = weights["sha256"]
    plain: dict[str, Any] = json.loads(json.dumps(same))  # tuples become lists, as in the file
    if isinstance(recipe := plain["recipe"], dict):
        plain["recipe"] = {key: value for key, value in recipe.items() if key not in ("source", "deviations")}
    return plain


def fingerprint(description: dict[str, Any]) -> str:
    """Return the SHA-256 of a run's identity, which each of its checkpoints carries."""
    return hashlib.sha256(json.dumps(identity(description), sort_keys=True).encode()).hexdigest()


class RunFolder:
    """A run's folder, held by one process at a time.

    `run.json` is everything resolved, `metrics.jsonl` the log, `tensorboard/` the same for TensorBoard,
    `checkpoints/` the states, and at the end `weights.safetensors` and `result.json`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.weights = path / "weights.safetensors"
        self.tensorboard = path / "tensorboard"
        self._metrics = path / "metrics.jsonl"
        self._lock = filelock.FileLock(path / "lock", timeout=0)

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"{self.path}: another process is training in this folder; wait for it or name another"
            ) from None
        except OSError as error:
            raise RunError(f"{self.path}: cannot be made or written ({error.strerror or error})") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    # ------------------------------------------------------------ run.json

    def description(self) -> dict[str, Any] | None:
        """Return what run.json holds, or None where there is no run yet."""
        return self._read("run.json")

    def describe(self, description: dict[str, Any]) -> None:
        """Write run.json."""
        self._write("run.json", description)

    def record_execution(self, description: dict[str, Any], execution: str) -> None:
        """Write into run.json how the steps of this session run; another way than before is a session of its own."""
        sessions = description["provenance"]
        known = sessions[-1].get("execution")
        if known == execution:
            return
        if known is None:
            sessions[-1]["execution"] = execution
        else:
            sessions.append(sessions[-1] | {"execution": execution})
        self.describe(description)

    def require_same(self, description: dict[str, Any]) -> None:
        """Check that the run in this folder is the one described.

        Raises: RunError, naming what differs.
        """
        if found := difference(identity(self.description() or {}), identity(description)):
            where, was, now = found
            raise RunError(
                f"{self.path} holds another run: its {where} is {reprlib.repr(was)}, and {reprlib.repr(now)} is "
                f"asked for; ask for the same or name another folder"
            )

    # ------------------------------------------------------------ metrics.jsonl

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to the log; `sync_log` brings it to the disk."""
        with writing(self._metrics), open(self._metrics, "a") as file:
            file.write(json.dumps(line) + "\n")

    def sync_log(self) -> None:
        """Bring what was logged to the disk: before a checkpoint, after which no line of it may be missing."""
        if self._metrics.exists():
            with writing(self._metrics), open(self._metrics, "a") as file:
                os.fsync(file.fileno())

    def logged(self) -> list[dict[str, Any]]:
        """Return the lines of the log."""
        if not self._metrics.exists():
            return []
        return [json.loads(line) for line in self._metrics.read_text().splitlines() if line]

    def rewind(self, iteration: int) -> None:
        """Drop what was logged after an iteration, as a crash may have left it; a torn last line goes too."""
        if not self._metrics.exists():
            return
        kept = []
        for line in self._metrics.read_text(errors="replace").splitlines():
            try:
                if json.loads(line)["iteration"] <= iteration:
                    kept.append(line + "\n")
            except ValueError:
                continue
        with writing(self._metrics):
            write_durably(self._metrics, "".join(kept).encode())

    # ------------------------------------------------------------ result.json

    def result(self) -> dict[str, Any] | None:
        """Return what result.json holds, or None where the run has not finished."""
        return self._read("result.json")

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json, which marks the run as finished."""
        self._write("result.json", result)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name}: cannot be read ({error})") from None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_json(self.path / name, content)


def difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """Return where two JSON values first differ, and both values there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if found := difference(old.get(key), new.get(key), f"{where}.{key}".lstrip(".")):
                return found
        return None
    return None if old == new else (where, old, new)
