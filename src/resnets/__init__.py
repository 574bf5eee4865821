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
    "create": "resnets.weights.create",
    "deepen": "resnets.networks.deepen",
    "describe": "resnets.networks.describe",
    "list_networks": "resnets.networks.describe",
    "register_network": "resnets.networks.registry",
    "train": "resnets.training.train",
    "TrainResult": "resnets.training.train",
    "load": "resnets.inference.model",
    "Model": "resnets.inference.model",
    "Prediction": "resnets.inference.predictions",
    "predict": "resnets.inference.predict",
    "predict_into": "resnets.inference.predict",
    "embed": "resnets.inference.embeddings",
    "embed_into": "resnets.inference.embeddings",
    "ImageParts": "resnets.inference.parts",
    "neighbours": "resnets.inference.embeddings",
    "Embeddings": "resnets.inference.embeddings",
    "Neighbours": "resnets.inference.embeddings",
    "explain": "resnets.inference.explain",
    "Explainer": "resnets.inference.explain",
    "Explanation": "resnets.inference.explain",
    "export": "resnets.exporting.export",
    "Export": "resnets.exporting.export",
    "evaluate": "resnets.evaluation.evaluate",
    "Evaluation": "resnets.records.evaluations",
    "Agreement": "resnets.records.evaluations",
    "calibrate": "resnets.evaluation.calibrate",
    "Calibration": "resnets.records.evaluations",
    "convert": "resnets.weights.convert",
    "Conversion": "resnets.weights.convert",
    "from_pretrained": "resnets.inference.model",
    "save_pretrained": "resnets.weights.hub",
    "push_to_hub": "resnets.weights.hub",
    "optimize": "resnets.inference.optimize",
    "serve": "resnets.serving.server",
    "Engine": "resnets.inference.engine",
    "demo": "resnets.depth_study.demo",
    "study": "resnets.depth_study.study",
    "Study": "resnets.depth_study.study",
    "plan": "resnets.planning.plan",
    "Plan": "resnets.planning.plan",
    "reproduce": "resnets.reproduction.reproduce",
    "plan_reproduction": "resnets.reproduction.run_list",
    "Reproduction": "resnets.reproduction.reproduce",
    "Table": "resnets.paper.declarations",
    "Row": "resnets.paper.declarations",
    "Column": "resnets.paper.declarations",
    "ReproductionPlan": "resnets.reproduction.run_list",
    "write_report": "resnets.report.write",
    "Report": "resnets.report.write",
    "compare": "resnets.report.compare_runs",
    "Comparison": "resnets.report.compare_runs",
    "train_detector": "resnets.detection.train",
    "DetectorResult": "resnets.detection.train",
    "load_detector": "resnets.detection.detector",
    "evaluate_detector": "resnets.detection.evaluate",
    "DetectionEvaluation": "resnets.records.evaluations",
    "detect": "resnets.detection.predict",
    "DetectionRecipe": "resnets.specs",
    "score_detections": "resnets.detection.score",
    "load_detection_data": "resnets.detection.sources",
    "DetectionSplits": "resnets.detection.annotations",
    "AnnotatedImage": "resnets.detection.annotations",
    "train_localiser": "resnets.localisation.train",
    "LocaliserResult": "resnets.localisation.train",
    "load_localiser": "resnets.localisation.localiser",
    "evaluate_localiser": "resnets.localisation.evaluate",
    "LocalisationEvaluation": "resnets.records.evaluations",
    "locate": "resnets.localisation.predict",
    "LocalisationRecipe": "resnets.specs",
    "score_guesses": "resnets.localisation.score",
    "load_localisation_data": "resnets.localisation.sources",
    "LocalisationSplits": "resnets.localisation.boxed_images",
    "BoxedImages": "resnets.localisation.boxed_images",
    "responses": "resnets.evaluation.responses",
    "gradients": "resnets.analysis.gradients",
    "Gradients": "resnets.records.analyses",
    "landscape": "resnets.analysis.landscape",
    "Landscape": "resnets.records.analyses",
    "ablate": "resnets.analysis.ablation",
    "Ablation": "resnets.records.analyses",
    "LayerResponses": "resnets.records.evaluations",
    "doctor": "resnets.runtime.doctor",
    "load_data": "resnets.data.load",
    "list_data": "resnets.data.sources",
    "register_data": "resnets.data.sources",
    "check_data": "resnets.data.audit",
    "shard_data": "resnets.data.shard_writer",
    "Audit": "resnets.records.audits",
    "DataSplits": "resnets.data.splits",
    "ImageArrays": "resnets.data.arrays",
    "ImageFiles": "resnets.data.image_files",
    "Recipe": "resnets.specs",
    "find_recipe": "resnets.localisation.recipes",
    "list_recipes": "resnets.localisation.recipes",
    "register_recipe": "resnets.localisation.recipes",
    "Observer": "resnets.training.observers",
    "Display": "resnets.cli.display",
    "ResnetsError": "resnets.errors",
    "UsageError": "resnets.errors",
    "DataError": "resnets.errors",
    "ImageError": "resnets.errors",
    "StorageError": "resnets.errors",
    "WeightsError": "resnets.errors",
    "CheckpointError": "resnets.errors",
    "RunError": "resnets.errors",
    "TrainingError": "resnets.errors",
    "Interrupted": "resnets.errors",
    "FailedElsewhere": "resnets.errors",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from resnets.analysis.ablation import ablate as ablate
    from resnets.analysis.gradients import gradients as gradients
    from resnets.analysis.landscape import landscape as landscape
    from resnets.cli.display import Display as Display
    from resnets.data.arrays import ImageArrays as ImageArrays
    from resnets.data.audit import check_data as check_data
    from resnets.data.image_files import ImageFiles as ImageFiles
    from resnets.data.load import load_data as load_data
    from resnets.data.shard_writer import shard_data as shard_data
    from resnets.data.sources import list_data as list_data
    from resnets.data.sources import register_data as register_data
    from resnets.data.splits import DataSplits as DataSplits
    from resnets.depth_study.demo import demo as demo
    from resnets.depth_study.study import Study as Study
    from resnets.depth_study.study import study as study
    from resnets.detection.annotations import AnnotatedImage as AnnotatedImage
    from resnets.detection.annotations import DetectionSplits as DetectionSplits
    from resnets.detection.detector import load_detector as load_detector
    from resnets.detection.evaluate import evaluate_detector as evaluate_detector
    from resnets.detection.predict import detect as detect
    from resnets.detection.score import score_detections as score_detections
    from resnets.detection.sources import load_detection_data as load_detection_data
    from resnets.detection.train import DetectorResult as DetectorResult
    from resnets.detection.train import train_detector as train_detector
    from resnets.errors import CheckpointError as CheckpointError
    from resnets.errors import DataError as DataError
    from resnets.errors import FailedElsewhere as FailedElsewhere
    from resnets.errors import ImageError as ImageError
    from resnets.errors import Interrupted as Interrupted
    from resnets.errors import ResnetsError as ResnetsError
    from resnets.errors import RunError as RunError
    from resnets.errors import StorageError as StorageError
    from resnets.errors import TrainingError as TrainingError
    from resnets.errors import UsageError as UsageError
    from resnets.errors import WeightsError as WeightsError
    from resnets.evaluation.calibrate import calibrate as calibrate
    from resnets.evaluation.evaluate import evaluate as evaluate
    from resnets.evaluation.responses import responses as responses
    from resnets.exporting.export import Export as Export
    from resnets.exporting.export import export as export
    from resnets.inference.embeddings import Embeddings as Embeddings
    from resnets.inference.embeddings import Neighbours as Neighbours
    from resnets.inference.embeddings import embed as embed
    from resnets.inference.embeddings import embed_into as embed_into
    from resnets.inference.embeddings import neighbours as neighbours
    from resnets.inference.engine import Engine as Engine
    from resnets.inference.explain import Explainer as Explainer
    from resnets.inference.explain import Explanation as Explanation
    from resnets.inference.explain import explain as explain
    from resnets.inference.model import Model as Model
    from resnets.inference.model import from_pretrained as from_pretrained
    from resnets.inference.model import load as load
    from resnets.inference.optimize import optimize as optimize
    from resnets.inference.parts import ImageParts as ImageParts
    from resnets.inference.predict import predict as predict
    from resnets.inference.predict import predict_into as predict_into
    from resnets.inference.predictions import Prediction as Prediction
    from resnets.localisation.boxed_images import BoxedImages as BoxedImages
    from resnets.localisation.boxed_images import LocalisationSplits as LocalisationSplits
    from resnets.localisation.evaluate import evaluate_localiser as evaluate_localiser
    from resnets.localisation.localiser import load_localiser as load_localiser
    from resnets.localisation.predict import locate as locate
    from resnets.localisation.recipes import find_recipe as find_recipe
    from resnets.localisation.recipes import list_recipes as list_recipes
    from resnets.localisation.recipes import register_recipe as register_recipe
    from resnets.localisation.score import score_guesses as score_guesses
    from resnets.localisation.sources import load_localisation_data as load_localisation_data
    from resnets.localisation.train import LocaliserResult as LocaliserResult
    from resnets.localisation.train import train_localiser as train_localiser
    from resnets.networks.deepen import deepen as deepen
    from resnets.networks.describe import describe as describe
    from resnets.networks.describe import list_networks as list_networks
    from resnets.networks.registry import register_network as register_network
    from resnets.paper.declarations import Column as Column
    from resnets.paper.declarations import Row as Row
    from resnets.paper.declarations import Table as Table
    from resnets.planning.plan import Plan as Plan
    from resnets.planning.plan import plan as plan
    from resnets.records.analyses import Ablation as Ablation
    from resnets.records.analyses import Gradients as Gradients
    from resnets.records.analyses import Landscape as Landscape
    from resnets.records.audits import Audit as Audit
    from resnets.records.evaluations import Agreement as Agreement
    from resnets.records.evaluations import Calibration as Calibration
    from resnets.records.evaluations import DetectionEvaluation as DetectionEvaluation
    from resnets.records.evaluations import Evaluation as Evaluation
    from resnets.records.evaluations import LayerResponses as LayerResponses
    from resnets.records.evaluations import LocalisationEvaluation as LocalisationEvaluation
    from resnets.report.compare_runs import Comparison as Comparison
    from resnets.report.compare_runs import compare as compare
    from resnets.report.write import Report as Report
    from resnets.report.write import write_report as write_report
    from resnets.reproduction.reproduce import Reproduction as Reproduction
    from resnets.reproduction.reproduce import reproduce as reproduce
    from resnets.reproduction.run_list import ReproductionPlan as ReproductionPlan
    from resnets.reproduction.run_list import plan_reproduction as plan_reproduction
    from resnets.serving.server import serve as serve
    from resnets.specs import DetectionRecipe as DetectionRecipe
    from resnets.specs import LocalisationRecipe as LocalisationRecipe
    from resnets.specs import Recipe as Recipe
    from resnets.training.observers import Observer as Observer
    from resnets.training.train import TrainResult as TrainResult
    from resnets.training.train import train as train
    from resnets.weights.convert import Conversion as Conversion
    from resnets.weights.convert import convert as convert
    from resnets.weights.create import create as create
    from resnets.weights.hub import push_to_hub as push_to_hub
    from resnets.weights.hub import save_pretrained as save_pretrained


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'resnets' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
