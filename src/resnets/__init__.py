"""Deep Residual Learning for Image Recognition (He, Zhang, Ren, Sun, 2015) as software.

    import resnets

    network = resnets.create("resnet56")
    result = resnets.train("resnet20", "digits", out="runs/first")
    resnets.evaluate("runs/first", "digits").top1_error

Importing the package imports no torch; the first call does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from resnets.version import __version__

_HOME = {
    "create": "resnets.api.networks",
    "deepen": "resnets.networks.growing",
    "describe": "resnets.api.networks",
    "list_networks": "resnets.api.networks",
    "train": "resnets.api.training",
    "TrainResult": "resnets.api.training",
    "load": "resnets.api.models",
    "Model": "resnets.api.models",
    "Prediction": "resnets.api.models",
    "predict": "resnets.api.models",
    "evaluate": "resnets.api.evaluation",
    "Evaluation": "resnets.api.evaluation",
    "Agreement": "resnets.evaluation.protocols",
    "optimize": "resnets.api.inference",
    "Engine": "resnets.networks.inference",
    "demo": "resnets.api.demo",
    "plan": "resnets.api.planning",
    "Plan": "resnets.api.planning",
    "bench": "resnets.benchmarks.run",
    "write_report": "resnets.api.reporting",
    "Report": "resnets.api.reporting",
    "load_data": "resnets.api.data",
    "check_data": "resnets.api.data",
    "shard_data": "resnets.api.data",
    "Audit": "resnets.data.audit",
    "DataSplits": "resnets.data.datasets",
    "ImageArrays": "resnets.data.datasets",
    "ImageFiles": "resnets.data.datasets",
    "Recipe": "resnets.specs",
    "find_recipe": "resnets.api.training",
    "Observer": "resnets.training.session",
    "Display": "resnets.cli.display",
    "ResnetsError": "resnets.errors",
    "UsageError": "resnets.errors",
    "DataError": "resnets.errors",
    "WeightsError": "resnets.errors",
    "CheckpointError": "resnets.errors",
    "RunError": "resnets.errors",
    "TrainingError": "resnets.errors",
    "Interrupted": "resnets.errors",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from resnets.api.data import check_data as check_data
    from resnets.api.data import load_data as load_data
    from resnets.api.data import shard_data as shard_data
    from resnets.api.demo import demo as demo
    from resnets.api.evaluation import Evaluation as Evaluation
    from resnets.api.evaluation import evaluate as evaluate
    from resnets.api.inference import optimize as optimize
    from resnets.api.models import Model as Model
    from resnets.api.models import Prediction as Prediction
    from resnets.api.models import load as load
    from resnets.api.models import predict as predict
    from resnets.api.networks import create as create
    from resnets.api.networks import describe as describe
    from resnets.api.networks import list_networks as list_networks
    from resnets.api.planning import Plan as Plan
    from resnets.api.planning import plan as plan
    from resnets.api.reporting import Report as Report
    from resnets.api.reporting import write_report as write_report
    from resnets.api.training import TrainResult as TrainResult
    from resnets.api.training import find_recipe as find_recipe
    from resnets.api.training import train as train
    from resnets.benchmarks.run import bench as bench
    from resnets.cli.display import Display as Display
    from resnets.data.audit import Audit as Audit
    from resnets.data.datasets import DataSplits as DataSplits
    from resnets.data.datasets import ImageArrays as ImageArrays
    from resnets.data.datasets import ImageFiles as ImageFiles
    from resnets.errors import CheckpointError as CheckpointError
    from resnets.errors import DataError as DataError
    from resnets.errors import Interrupted as Interrupted
    from resnets.errors import ResnetsError as ResnetsError
    from resnets.errors import RunError as RunError
    from resnets.errors import TrainingError as TrainingError
    from resnets.errors import UsageError as UsageError
    from resnets.errors import WeightsError as WeightsError
    from resnets.evaluation.protocols import Agreement as Agreement
    from resnets.networks.growing import deepen as deepen
    from resnets.networks.inference import Engine as Engine
    from resnets.specs import Recipe as Recipe
    from resnets.training.session import Observer as Observer


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'resnets' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
