"""Who does each row's work: ours, the peers as their scripts are, and the peers as an expert sets them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks import detection, inference, pipelines, predicting, processes, training
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Contender, Loop
from resnets.records.benchmarks import Role
from resnets.runtime.device import choose_precision

Prepare = Callable[..., Loop]


def contenders(row: Row, setting: Setting) -> list[Contender]:
    """Return the contenders of a row: ours first, then the reference whose speed the targets are over.

    timm's networks are torchvision's: on a CPU, where each takes minutes, torchvision's expert stands for both.
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
            ("usual", "reference", pipelines.usual_cifar, {}),
            ("vectorised, expert", "expert", pipelines.expert_cifar, {}),
        ]
    elif row.name == "photo-pipeline":
        found = [
            ("resnets", "ours", pipelines.ours_photos, {}),
            ("torchvision", "reference", pipelines.usual_photos, {}),
            ("torchvision, expert", "expert", pipelines.expert_photos, {}),
        ]
    elif row.name == "large-photo-pipeline":
        found = [
            ("resnets", "ours", pipelines.ours_large, {}),
            ("torchvision", "reference", pipelines.usual_large, {}),
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
        library = "usual" if row.cifar else "torchvision"
        name = "usual" if row.cifar else library
        found = [
            ("resnets", "ours", inference.ours, {}),
            (name, "reference", inference.peer, {"library": library}),
            (f"{name}, expert", "expert", inference.peer, {"library": library, "expert": True}),
        ]
        if not row.cifar:
            found.insert(2, ("timm", "reference", inference.peer, {"library": "timm"}))
    elif row.cifar:
        found = [
            ("resnets", "ours", training.ours, {}),
            ("usual", "reference", training.usual, {}),
            ("usual, expert", "expert", training.usual, {"expert": True}),
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
        Contender(
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
