"""Norms of gradients and weights by layer, at initialisation and over training: do those of plain networks vanish?

Paper: section 4.1, "Plain Networks" (backward propagated gradients that exhibit healthy norms with batch norm).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from resnets.data.load import Data, load_data, load_of_runs
from resnets.data.loading import Batch
from resnets.data.splits import DataSplits
from resnets.errors import DataError, RunError, UsageError, WeightsError, public, require_at_least
from resnets.files import require_results_folder
from resnets.networks import registry
from resnets.networks.modes import hooked, in_mode
from resnets.networks.registry import declare, name_of
from resnets.paper.recipes import CIFAR
from resnets.records import base
from resnets.records.analyses import GradientPoint, Gradients, NetworkGradients, in_six_digits
from resnets.records.runs import RunRecord
from resnets.report import gradients as reporting
from resnets.runtime.device import choose_device, keep_freed_memory, outputs_of, place
from resnets.runtime.launch import require_alone
from resnets.runtime.provenance import provenance
from resnets.specs import Recipe
from resnets.training.classification import ClassificationTask
from resnets.training.config import Training, TrainingConfig, resolve
from resnets.training.loss import loss_of_outputs, make_loss
from resnets.training.run_folder import RunFolder
from resnets.training.trainer import iterate
from resnets.weights import weights_file

PROTOCOL = (
    "Euclidean norm of the gradient of the mean cross-entropy of a mini-batch, without weight decay, in float32 and in "
    "training mode, for the weights of each convolution that is on no shortcut, and for its output; mean over the "
    "first mini-batches of the recipe, which are the same at each point"
)
"""What is measured."""


@public
def gradients(
    targets: str | Path | Iterable[str | Path],
    data: Data | None = None,
    *,
    seeds: int = 3,
    iterations: int | None = None,
    points: int = 6,
    batches: int = 4,
    recipe: str | Recipe | None = None,
    device: str = "auto",
    workers: int = 2,
    out: str | Path | None = None,
    notify: Callable[[str], None] | None = None,
) -> Gradients:
    """Measure the norms of each layer's gradient and weights, of fresh networks, during their training, or of runs.

    Of a network by its name each seed is initialised, and with `iterations` measured during a training. Of a run
    its initial weights are made again by its seed, and its checkpoints and final weights are measured.

    Args:
        targets: names of networks, folders of runs, or both.
        data: a source (`cifar10`, `folder:PATH` ...) or splits; of a run, what it was trained on; None is the source
            of the runs.
        seeds: initialisations of each network, with seeds 0, 1 ...
        iterations: length of a training of each network by the recipe; None measures the initial weights alone.
        points: measurements during a training after the initial one, at equal ratios of their iterations.
        batches: mini-batches that each number is a mean over.
        recipe: of the networks; None is the one for the data.
        device: `auto` is the first GPU, else the CPU.
        workers: data-loading processes.
        out: folder for gradients.json, gradients.png and gradients.html.
        notify: is called with a sentence before each network.

    Raises: UsageError, DataError, WeightsError, RunError, TrainingError, as `train`; DataError also for a run on other
        data; UsageError for a network without convolutions.
    Paper: section 4.1.
    """
    require_alone("gradients")
    require_results_folder(out)
    require_at_least(1, seeds=seeds, points=points, batches=batches, iterations=iterations)
    named = [targets] if isinstance(targets, str | Path) else list(targets)
    if not named:
        raise UsageError("no networks are named; name some, such as plain56 resnet56, or folders of runs")
    of_runs = [(Path(target) / "run.json").is_file() for target in named]
    for target, is_run in zip(named, of_runs, strict=True):
        if not is_run:
            try:
                declare(str(target))
            except UsageError as error:
                raise UsageError(f"{target} is no folder with a run.json, and: {error}") from None
    keep_freed_memory()
    splits = load_of_runs([Path(target) for target in named], load_data) if data is None else load_data(data)
    found = []
    for target, is_run in zip(named, of_runs, strict=True):
        if is_run:
            found.append(_of_run(Path(target), splits, batches, device, workers))
            continue
        for seed in range(seeds):
            if notify is not None:
                notify(f"{target}, seed {seed}")
            training = _initial(str(target), splits, recipe, iterations, seed, device, workers)
            found.append(_of_network(training, iterations is not None, points, batches))
    record = Gradients(
        protocol=PROTOCOL,
        data=splits.name,
        digest=splits.digest,
        batches=batches,
        networks=tuple(found),
        provenance=provenance(choose_device(device)),
    )
    if out is not None:
        reporting.write(record, Path(out))
    return record


# ---------------------------------------------------------------- networks and runs


def _of_network(training: Training, train: bool, points: int, batches: int) -> NetworkGradients:
    """Measure a network before and, where it is to be trained, during its training."""
    place(training.network, training.device)
    task = ClassificationTask(training)
    state = task.start()
    probe = list(task.train.batches(0, batches))
    found = [_point(training, probe, 0)]
    if train:
        due = _spaced(training.recipe.iterations, points)
        for iteration in iterate(task, state):
            if iteration in due:
                state.guard.check(iteration)
                found.append(_point(training, probe, iteration))
    return _network(training, found, None)


def _spaced(last: int, count: int) -> set[int]:
    """Return at most `count` iterations up to the last one, at equal ratios: training changes most at its start."""
    return {round(last ** ((index + 1) / count)) for index in range(count)}


def _of_run(path: Path, splits: DataSplits, batches: int, device: str, workers: int) -> NetworkGradients:
    """Measure the network of a run at its start, and by its checkpoints and weights."""
    folder = RunFolder(path)
    training = _from_run(path, splits, device, workers)
    network, record = place(training.network, training.device), training.record
    probe = list(ClassificationTask(training).train.batches(0, batches))
    found = {} if record.start is not None else {0: _point(training, probe, 0)}
    for checkpoint in folder.checkpoints.valid(record.fingerprint()):
        checkpoint.load_into(network)
        found[checkpoint.progress.iteration] = _point(training, probe, checkpoint.progress.iteration)
    last = training.recipe.iterations
    if last not in found and folder.weights.is_file():
        weights_file.load(folder.weights).load_into(network)
        found[last] = _point(training, probe, last)
    return _network(training, [found[iteration] for iteration in sorted(found)], str(path))


def _network(training: Training, points: Sequence[GradientPoint], source: str | None) -> NetworkGradients:
    record = training.record
    return NetworkGradients(
        network=record.network.name,
        depth=record.network.depth,
        seed=record.seed,
        iterations=points[-1].iteration if points else 0,
        source=source,
        recipe=training.recipe,
        layers=tuple(convolutions(training.network)),
        points=tuple(points),
    )


# ---------------------------------------------------------------- one measurement


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions of a network by their names, in order, without projections on shortcuts.

    Raises: UsageError, if there are none.
    """
    found = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and "downsample" not in name.split(".")
    }
    if not found:
        raise UsageError(f"{name_of(network)} has no convolutions, so there are no gradients of layers to measure")
    return found


def _point(training: Training, probe: Sequence[Batch], iteration: int) -> GradientPoint:
    return measure(training.network, probe, training.device, iteration=iteration, recipe=training.recipe)


def measure(
    network: nn.Module,
    batches: Iterable[Batch],
    device: torch.device,
    *,
    iteration: int = 0,
    recipe: Recipe = CIFAR,
) -> GradientPoint:
    """Return the mean loss of some mini-batches, and the norms at each convolution.

    The loss is the recipe's, of all outputs that the network has in training.
    The network, with its batch norm's statistics, its mode and its gradients, is left as it was.

    Raises: UsageError, if it has no convolutions.
    """
    layers = convolutions(network)
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    losses: list[float] = []
    sums = {name: [0.0, 0.0] for name in layers}
    loss_of = partial(loss_of_outputs, make_loss(recipe, None, device), recipe, iteration)
    try:
        with in_mode(network, training=True):
            for images, labels in batches:
                losses.append(_add(sums, network, layers, images.to(device), labels.to(device), loss_of))
    finally:
        for buffer, before in kept:
            buffer.copy_(before)
    of_weights, of_outputs = zip(*sums.values(), strict=True)
    return GradientPoint(
        iteration=iteration,
        loss=in_six_digits(sum(losses) / len(losses)),
        gradients=tuple(in_six_digits(norm / len(losses)) for norm in of_weights),
        signals=tuple(in_six_digits(norm / len(losses)) for norm in of_outputs),
        weights=tuple(in_six_digits(float(layer.weight.detach().norm())) for layer in layers.values()),
    )


def _add(
    sums: dict[str, list[float]],
    network: nn.Module,
    layers: dict[str, nn.Conv2d],
    images: Tensor,
    labels: Tensor,
    loss_of: Callable[[Sequence[Tensor], Tensor], Tensor],
) -> float:
    """Add the norms of a mini-batch's gradients, of weights and of outputs, and return its loss."""
    names: dict[nn.Module, str] = {layer: name for name, layer in layers.items()}
    outputs: dict[str, Tensor] = {}

    def keep(module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs[names[module]] = output

    with hooked((layer, keep) for layer in names):
        loss = loss_of(outputs_of(network, images, "fp32"), labels)
    tensors = [*(layers[name].weight for name in outputs), *outputs.values()]
    found = torch.autograd.grad(loss, tensors, materialize_grads=True)  # 0 of outputs that do not count in the loss
    for name, weight, output in zip(outputs, found[: len(outputs)], found[len(outputs) :], strict=True):
        sums[name][0] += float(weight.norm())
        sums[name][1] += float(output.norm())
    return float(loss.detach())


# ---------------------------------------------------------------- trainings


def _initial(
    network: str,
    splits: DataSplits,
    recipe: str | Recipe | None,
    iterations: int | None,
    seed: int,
    device: str,
    workers: int,
) -> Training:
    """Return the training of a new network, initialised by a seed, in float32. Raises: as `resolve`."""
    config = TrainingConfig(
        recipe=recipe, iterations=iterations, seed=seed, device=device, precision="fp32", workers=workers
    )
    return resolve(network, splits, config)


def _from_run(folder: Path, splits: DataSplits, device: str, workers: int) -> Training:
    """Return the training of a classifier's run, as it was before its first iteration, in float32.

    Raises: RunError, if the folder holds no such run; DataError, if the data is not what the run was trained on.
    """
    record = base.read(folder / "run.json", RunRecord)
    if record is None or record.network.detector is not None or not isinstance(record.recipe, Recipe):
        raise RunError(f"{folder}: holds no run of a classifier; name a folder that `resnets train` wrote")
    if record.network.spec is None:
        raise WeightsError(f"{folder}: is of a custom module, which is not built by a name; register it to analyse it")
    splits = load_data(splits, registry.decoded_side(record.network.name))
    if splits.digest != record.data.digest:
        raise DataError(f"{folder} was trained on {record.data.in_words()}; {splits.name} is other data")
    torch.manual_seed(record.seed)
    network = registry.build(record.network.spec)  # as `train` has initialised it
    config = TrainingConfig(
        recipe=record.recipe.with_changes(distillation=None),  # the loss of the labels
        split=record.data.split,
        seed=record.seed,
        device=device,
        precision="fp32",
        workers=workers,
    )
    training = resolve(network, splits, config).resumed(record)
    weights = folder / "weights.safetensors"
    if record.start is None or not weights.is_file():
        return training
    return dataclasses.replace(training, input_spec=weights_file.load(weights).input_spec)  # of what it started from
