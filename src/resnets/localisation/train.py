"""Training of a localiser. Appendix C."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from resnets.errors import public, showing_settings
from resnets.files import require_folder
from resnets.localisation.boxed_images import LocalisationSplits
from resnets.localisation.config import LocalisationConfig, LocaliserSettings, resolve
from resnets.localisation.task import LocalisationTask
from resnets.records import runs as records
from resnets.records.runs import LocalisationScores
from resnets.runtime.launch import require_alone
from resnets.specs import LocalisationRecipe
from resnets.training.finished_run import FinishedRun
from resnets.training.observers import Observer
from resnets.training.run_folder import earlier_record, opened
from resnets.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class LocaliserResult(FinishedRun):
    """The result of a localiser's run; the scores are those of the test images by the centre crop."""

    scores: LocalisationScores

    @property
    def error(self) -> float | None:
        """Of one box for the own class of each image, in percent; None where only a server knows the boxes."""
        return self.scores.true_class_error


@public
@showing_settings(LocalisationConfig, lambda: LocalisationRecipe.__struct_fields__)
def train_localiser(
    network: str,
    data: str | LocalisationSplits,
    *,
    weights: str | Path | None,
    rpn: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    observers: Iterable[Observer] = (),
    progress: Callable[[int, int], None] | None = None,
    **settings: Unpack[LocaliserSettings],
) -> LocaliserResult:
    """Train a per-class RPN, or with `rpn` a per-class R-CNN on its proposals, in a run folder; return its result.

    Args:
        network: `resnet101` or another residual or plain network.
        data: `clsloc:PATH`, `voc:PATH`, `coco:PATH` or splits.
        weights: those to start from, of a classifier with any classes (a run folder, any file that `convert` reads,
            `torchvision`, `timm:NAME` or `hf:OWNER/NAME`); None is random initialisation, for tests.
        rpn: a trained localiser, whose RPN gives the proposals; its run's folder or weights file.
        out: the run's folder; None is runs/NETWORK-rpn-DATA, or runs/NETWORK-rcnn-DATA.
        resume: continue the run in the folder, or return its result if it is finished.
        observers: are called as the run proceeds.
        progress: is called with the images whose proposals are computed and their total, before an R-CNN is trained.
        recipe: a name or a recipe; None is the paper's.
        iterations, batch_size, lr, momentum, weight_decay: of the recipe; None keeps them.
        size: side of the crops in pixels, to which all other lengths are in proportion.
        box_weight: of the box loss.
        anchors, anchors_per_image: anchor sizes in pixels of the crop, and anchors in the loss, of an RPN.
        proposals, regions_per_image: of an image, for an R-CNN.
        split: `all`, or a share of the training images to validate on, such as `10%`, drawn by the seed.
        evaluate_every: iterations between tests on the validation images, or without them the test images; None
            tests once, at the end.
        seed: of new layers, data order, crops and draws.
        device, precision, workers, save_every: as in `train`.

    Raises: UsageError, DataError, WeightsError, RunError, TrainingError, CheckpointError; Interrupted after a signal.
    Paper: appendix C.
    """
    require_alone("locate train")
    config = LocalisationConfig.from_settings(weights, rpn, **settings)
    require_folder(out)

    def path_of(name: str) -> Path:
        stage = config.resolve_recipe().stage
        return Path(out or Path("runs") / f"{network}-{stage}-{name.replace(' ', '-')}")

    training = resolve(network, data, config, earlier_record(path_of, resume=resume))
    training.warn_if_short()
    path = path_of(training.data.name)
    with opened(path, training, records.LocaliserResult, resume=resume) as (folder, record, result):
        if result is not None:
            return LocaliserResult.of(path, result, already_finished=True)
        task = LocalisationTask(training.resumed(record), path, progress)
        return LocaliserResult.of(path, Trainer(task, folder, observers).run())
