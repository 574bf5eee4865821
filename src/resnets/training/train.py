"""Training of a classifier: section 3.4 for ImageNet, section 4.2 for CIFAR-10."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from torch import nn
from torch.utils.data import Dataset

from resnets.data.folder import require_outside
from resnets.data.splits import DataSplits
from resnets.errors import UsageError, public, showing_settings
from resnets.files import require_folder
from resnets.networks import registry
from resnets.records.runs import ClassifierResult, CurvePoint
from resnets.runtime.launch import joined
from resnets.runtime.signals import StopRequest
from resnets.runtime.turns import Session, completed
from resnets.training.classification import ClassificationTask
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.training.finished_run import FinishedRun
from resnets.training.observers import Observer
from resnets.training.recipes import FINETUNE
from resnets.training.run_folder import earlier_record, opened
from resnets.training.settings import TrainSettings
from resnets.training.together import Process
from resnets.training.trainer import Trainer
from resnets.weights import weights_file


@dataclass(frozen=True, kw_only=True)
class TrainResult(FinishedRun):
    """The result of a finished run. Errors are in percent; `training_error` is since the last point of the curve."""

    test_error: float
    training_error: float
    validation_error: float | None  # with a validation split
    majority_class_error: float | None  # test error of always answering the most frequent training class
    curve: tuple[CurvePoint, ...] = field(repr=False)


@public
@showing_settings(TrainingConfig, registry.option_names)
def train(
    network: str | nn.Module,
    data: str | DataSplits | tuple[Dataset[Any], Dataset[Any]],
    *,
    out: str | Path | None = None,
    resume: bool = False,
    observers: Iterable[Observer] = (),
    **settings: Unpack[TrainSettings],
) -> TrainResult:
    """Train a network by a recipe in a folder of its own, and return its result.

    A module is trained in place, and gets the weights of a run that was finished already. Where torchrun started
    several processes, each trains on its share of every mini-batch on a device of its own; the first one writes the
    folder and calls the observers, and all return the same.

    Args:
        network: a name, or any module; a module of this package must fit the data.
        data: a source (`cifar10`, `folder:PATH` ...), splits, or a pair of map-style datasets (training, test) of
            (image tensor, label).
        out: the run's folder; None is runs/NETWORK-DATA.
        resume: continue the run in the folder, or return its result where it is finished.
        observers: are called as the run proceeds.
        recipe: a name or a recipe; None is the one for the data.
        weights: those of the same network to start from: a run's folder, any file that `convert` reads, or published
            ones, fetched once: `torchvision`, `timm:NAME`, `hf:OWNER/NAME`. The last layer is new where the classes are
            others, the first one is adapted to the images' channels, and the input's mean is kept.
        teacher: trained weights of any network of the package, from the same sources, to learn from: their scores are a
            part of the loss, by the recipe's distillation or, where it has none, the usual one. They must know the
            data's classes and take images of the same size, which are then normalised as for the teacher.
        temperature: softmax temperature of distillation; None is the recipe's, else 4.
        teacher_weight: weight of the teacher's loss, above 0 and 1 at most; the labels have the rest. None is the
            recipe's, else 0.9.
        iterations, epochs: another length; the recipe's milestones move in proportion.
        batch_size, lr, momentum, weight_decay, label_smoothing: of the recipe; None keeps them.
        ema: decay of a moving average of the weights, which is then tested and saved.
        bn_images: training images on which batch norm's statistics are recalibrated at the end.
        evaluate_every: iterations between tests; there is one at the end in any case. Not for recipes whose rate falls
            on a plateau, which is a number of these points.
        size: training crop size of photos in pixels; what they are cut from is resized in proportion.
        decode: `exact`, or `reduced`: large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where a crop needs no
            more pixels, in tests and predictions too; None is the recipe's.
        split: `all`, or training images to validate on, drawn by the seed: `45k5k` is 5,000 of CIFAR's, `10%` (any
            share) of each class of any data.
        class_weights: of the loss: `auto` (inverse to the number of training images of a class, with mean 1 over the
            images) or weights by class, as a mapping or as `cat=1,dog=3.5`; None weighs all alike.
        seed: of initialisation, data order and augmentation; torch's random state is set from it.
        accumulate: gradient-accumulation steps: the same gradient but for rounding, with less memory. A resumed run
            may change it.
        device, precision: `auto` is the first GPU, and bf16 where it is fast.
        workers: data-loading processes, of each process.
        save_every: iterations between checkpoints; None saves every 30 seconds, or so rarely that it takes a
            twentieth of the time.
        in_channels: of the input; None is the images'. Image files are read as grey with 1.
        num_classes, shortcut, stride, residual_layers, bn_group, initialization: options of a network by name, as in
            `create`.

    Raises: UsageError, DataError, WeightsError, RunError, TrainingError, CheckpointError; Interrupted after a signal;
        FailedElsewhere, if another process failed.
    """
    config = TrainingConfig.from_settings(**settings)
    require_folder(out)
    with joined(config.device) as world:
        folder_of = partial(run_folder, out, network)
        training = resolve(network, data, config, world, earlier_record(folder_of, resume=resume))
        folder = folder_of(training.data.name)
        require_outside(folder, data)
        require_start(training, config)
        training.warn_if_short()
        return run(training, folder, resume=resume, observers=observers)


def require_start(training: Training, config: TrainingConfig) -> None:
    """Refuse to fine-tune random weights. Raises: UsageError."""
    if config.weights is None and training.recipe.name == FINETUNE.name:
        raise UsageError("recipe 'finetune' starts from trained weights; name a run's folder or a file as --weights")


def run_folder(out: str | Path | None, network: str | nn.Module, data: str) -> Path:
    """Return the folder of a run, by default named by its network and data."""
    name = network if isinstance(network, str) else registry.name_of(network)
    return Path(out or Path("runs") / f"{name}-{data}")


def run(training: Training, path: Path, *, resume: bool, observers: Iterable[Observer]) -> TrainResult:
    """Train what is resolved in a folder, and return its result. Raises: as `session`."""
    with StopRequest(alone=training.world.size == 1) as stop:
        return completed(session(training, path, Process(stop), resume=resume, observers=observers))


def session(
    training: Training, path: Path, process: Process, *, resume: bool, observers: Iterable[Observer]
) -> Session[TrainResult]:
    """Train what is resolved in a folder, yield how many iterations are done after each, and return the result.

    Raises: RunError, TrainingError, CheckpointError, DataError; Interrupted after a signal.
    """
    task = ClassificationTask(training, pool=process.pool)  # a mini-batch that cannot be shared or divided is refused
    world = training.world  # before the folder
    with opened(path, training, ClassifierResult, resume=resume) as (folder, record, result):
        if result is not None:
            if folder is not None:
                weights_file.load(folder.weights).load_into(training.network)
            world.broadcast(training.network.state_dict().values())
            return TrainResult.of(path, result, already_finished=True)
        task.training = training.resumed(record)
        trainer = Trainer(task, folder, observers, at_once=process.trainings)
        return TrainResult.of(path, (yield from trainer.session(process.stop)))
