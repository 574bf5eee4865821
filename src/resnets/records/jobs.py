"""Record of the jobs that a command submitted."""

from __future__ import annotations

from typing import Literal

from resnets.records.base import Record
from resnets.specs import Spec

Kind = Literal["slurm", "local"]
"""Kinds of clusters: Slurm, or processes of this machine."""


class SubmittedJob(Spec, frozen=True, kw_only=True):
    """A job: its runs by name, the cluster that it was given to, its number there, and its command."""

    runs: tuple[str, ...]
    cluster: Kind
    id: str
    command: tuple[str, ...]


class SubmittedJobs(Record, frozen=True, kw_only=True, tag="jobs"):
    """The jobs of a folder in the order of their submission."""

    jobs: tuple[SubmittedJob, ...] = ()
