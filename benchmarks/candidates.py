"""Candidates of each row: ours, the peers with their scripts' settings, and the peers with an expert's settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks import detection, inference, pipelines, predicting, processes, training
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Candidate, Loop
from resnets.records.benchmarks import Role
from resnets.runtime.device import choose_precision

Prepare = Callable[..., Loop]


def candidates(row: Row, setting: Setting) -> list[Candidate]:
    """Return the candidates of a row: ours first, then the reference whose speed the targets are over.

    timm's networks are torchvision's: on a CPU, where each takes minutes, torchvision's expert represents both.
    """
    found: list[tuple[str, Role, Prepare, dict[str, Any]]]
    if row.spec is not None:
        found = [
            ("resnets", "ours", training.ours, {}),
            ("plain PyTorch", "reference", training.plain, {}),
            ("plain PyTorch, expert", "expert", training.plain, {"expert": True}),
        ]
    elif row.processes > 1:
        found = [
            ("resnets, several processes", "ours", processes.ours, {}),
            ("resnets, one process", "reference", processes.one, {}),
        ]
    elif row.kind == "start-up":
        found = [("resnets", "ours", pipelines.start_up, {})]
    elif row.name == "cifar-pipeline":
        found = [
            ("resnets", "ours", pipelines.ours_cifar, {}),
            ("CIFAR baseline", "reference", pipelines.baseline_cifar, {}),
            ("vectorised, expert", "expert", pipelines.expert_cifar, {}),
        ]
    elif row.name == "photo-pipeline":
        found = [
            ("resnets", "ours", pipelines.ours_photos, {}),
            ("torchvision", "reference", pipelines.baseline_photos, {}),
            ("torchvision, expert", "expert", pipelines.expert_photos, {}),
        ]
    elif row.name == "large-photo-pipeline":
        found = [
            ("resnets", "ours", pipelines.ours_large, {}),
            ("torchvision", "reference", pipelines.baseline_large, {}),
            ("timm", "reference", pipelines.timm_large, {}),
            ("torchvision, expert", "expert", pipelines.expert_large, {}),
        ]
    elif row.name == "predict-folder":
        found = [
            ("resnets", "ours", predicting.ours, {}),
            ("timm", "reference", predicting.timm_script, {}),
        ]
    elif row.source == "boxes":
        trains = row.kind == "training"
        peer = detection.torchvision_training if trains else detection.torchvision_testing
        found = [
            ("resnets", "ours", detection.ours_training if trains else detection.ours_testing, {}),
            ("torchvision", "reference", peer, {}),
            ("torchvision, expert", "expert", peer, {"expert": True}),
        ]
    elif row.kind == "inference":
        library = "CIFAR baseline" if row.cifar else "torchvision"
        found = [
            ("resnets", "ours", inference.ours, {}),
            (library, "reference", inference.peer, {"library": library}),
            (f"{library}, expert", "expert", inference.peer, {"library": library, "expert": True}),
        ]
        if not row.cifar:
            found.insert(2, ("timm", "reference", inference.peer, {"library": "timm"}))
    elif row.cifar:
        found = [
            ("resnets", "ours", training.ours, {}),
            ("CIFAR baseline", "reference", training.baseline, {}),
            ("CIFAR baseline, expert", "expert", training.baseline, {"expert": True}),
        ]
    else:
        found = [
            ("resnets", "ours", training.ours, {}),
            ("torchvision", "reference", training.torchvision, {}),
            ("timm", "reference", training.timm, {}),
            ("torchvision, expert", "expert", training.torchvision, {"expert": True}),
        ]
        if setting.on().type == "cuda":
            found.append(("timm, expert", "expert", training.timm, {"expert": True}))
    on = setting.device if row.kind in ("training", "inference") else "cpu"
    native = choose_precision("auto", torch.device(on))
    return [
        Candidate(
            name=name,
            role=role,
            prepare=partial(prepare, row, setting, **options),
            device=on,
            precision="fp32" if role == "reference" and row.processes == 1 else native,
            each_step=row.kind == "inference",
            modules=setting.modules,
        )
        for name, role, prepare, options in found
    ]
