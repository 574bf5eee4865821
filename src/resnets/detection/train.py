"""Training of a detector. Section 4.3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from resnets.detection.annotations import DetectionSplits
from resnets.detection.config import DetectionConfig, DetectorSettings, resolve
from resnets.detection.task import DetectionTask
from resnets.errors import public, showing_settings
from resnets.files import require_folder
from resnets.records import runs as records
from resnets.records.runs import DetectionScores
from resnets.runtime.launch import joined
from resnets.specs import DetectionRecipe
from resnets.training.finished_run import FinishedRun
from resnets.training.observers import Observer
from resnets.training.run_folder import earlier_record, opened
from resnets.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class DetectorResult(FinishedRun):
    """The result of a detector's run."""

    scores: DetectionScores

    @property
    def mean_ap(self) -> float | None:
        """Of the test images, in [0, 1]; None where the boxes are with a server alone."""
        return self.scores.mean_ap


@public
@showing_settings(DetectionConfig, lambda: DetectionRecipe.__struct_fields__)
def train_detector(
    network: str,
    data: str | DetectionSplits,
    *,
    weights: str | Path | None,
    out: str | Path | None = None,
    resume: bool = False,
    observers: Iterable[Observer] = (),
    **settings: Unpack[DetectorSettings],
) -> DetectorResult:
    """Train Faster R-CNN on a network in a run folder, and return its result.

    Where torchrun started several processes, each trains on its share of every mini-batch on a device of its own; the
    first one writes the folder and calls the observers, and all return the same.

    Args:
        network: `vgg16`, `resnet101` or another of the ImageNet type.
        data: `voc:PATH`, `coco:PATH`, `ilsvrc:PATH` or splits.
        weights: those to start from, of a classifier with any classes (a run folder, any file that `convert` reads,
            `torchvision`, `timm:NAME` or `hf:OWNER/NAME`) or of a detector to fine-tune; None is random initialisation,
            for tests.
        out: the run's folder; None is runs/NETWORK-detector-DATA.
        resume: continue the run in the folder, or return its result if it is finished.
        observers: are called as the run proceeds.
        recipe: a name or a recipe; None is the one for the data.
        iterations, batch_size, lr, momentum, weight_decay: of the recipe; None keeps them.
        size: shorter side of images in pixels.
        anchors: anchor sizes in pixels.
        regions: regions sampled per image.
        frozen_stages: stages (conv1, conv2_x ...) that are not fine-tuned.
        roi_pooling: `max` or `align`.
        roi_size: side of a region's pooled features, of residual networks; masks are as fine.
        context: global context (appendix B).
        classes: of the data, those to use; None is all.
        evaluate_every: iterations between tests on the validation images, or without them the test images; None
            tests once, at the end.
        seed: of new layers, data order and sampling.
        device, precision, workers, save_every: as in `train`.

    Raises: UsageError, DataError, WeightsError, RunError, TrainingError, CheckpointError; Interrupted after a signal;
        FailedElsewhere, if another process failed.
    Paper: section 4.3, appendices A and B.
    """
    config = DetectionConfig.from_settings(weights, **settings)
    require_folder(out)

    def path_of(name: str) -> Path:
        return Path(out or Path("runs") / f"{network}-detector-{name.replace(' ', '-')}")

    with joined(config.device) as world:
        training = resolve(network, data, config, world, earlier_record(path_of, resume=resume))
        training.warn_if_short()
        path = path_of(training.data.name)
        task = DetectionTask(training)  # a mini-batch that cannot be shared evenly is refused before the folder
        with opened(path, training, records.DetectorResult, resume=resume) as (folder, record, result):
            if result is not None:
                return DetectorResult.of(path, result, already_finished=True)
            task.training = training.resumed(record)
            return DetectorResult.of(path, Trainer(task, folder, observers).run())
