"""`resnets train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from resnets.cli import jobs, lists, options
from resnets.cli.network_options import NetworkOptions, read_options
from resnets.cli.options import BY_RECIPE
from resnets.errors import UsageError


def train(
    context: jobs.Context,
    network: options.Network,
    data: options.Data,
    recipe: options.Recipe = None,
    weights: Annotated[
        str | None,
        Option(
            help=f"Start from torchvision, or a {options.WEIGHTS}.",
            show_default="from scratch",
        ),
    ] = None,
    teacher: options.Teacher = None,
    temperature: Annotated[
        float | None,
        Option(help="Softmax temperature of distillation.", show_default=f"{BY_RECIPE}, else 4"),
    ] = None,
    teacher_weight: Annotated[
        float | None,
        Option(help="Weight of the teacher's loss; the labels have the rest.", show_default=f"{BY_RECIPE}, else 0.9"),
    ] = None,
    out: Annotated[Path | None, Option("--out", "-o", help="Run folder.", show_default="runs/NET-DATA")] = None,
    resume: options.Resume = False,
    iterations: options.Iterations = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    label_smoothing: Annotated[
        float | None, Option(help="Probability spread evenly over all classes.", show_default=BY_RECIPE)
    ] = None,
    size: options.Size = None,
    decode: options.Decode = None,
    bn_images: Annotated[
        int | None,
        Option(
            help="Training images for recalibrating batch norm's statistics at the end.",
            show_default=BY_RECIPE,
        ),
    ] = None,
    ema: Annotated[
        float | None,
        Option(help="Decay of a moving average of the weights, which is tested and saved.", show_default=BY_RECIPE),
    ] = None,
    evaluate_every: Annotated[
        int | None, Option(help="Iterations between tests; there is one at the end.", show_default=BY_RECIPE)
    ] = None,
    accumulate: options.Accumulate = 1,
    seed: options.Seed = 0,
    seeds: Annotated[
        str | None,
        Option(
            help="Several runs instead, in OUT-seed0 ...: 0-4, or 0,2,7; their mean at the end.", show_default=False
        ),
    ] = None,
    split: Annotated[
        str,
        Option(
            help="Training images to hold out for validation: 45k5k (5,000 of CIFAR's), or a share such as 10%.",
            show_default="all: none held out, but 10 % of a folder of classes without splits",
        ),
    ] = "all",
    class_weights: Annotated[
        str | None,
        Option(help="auto (inverse to a class's images) or CLASS=WEIGHT,... in the loss.", show_default="all alike"),
    ] = None,
    in_channels: Annotated[
        int | None, Option(help="Channels of the input; image files are grey with 1.", show_default="the images'")
    ] = None,
    shortcut: Annotated[
        str | None, Option(help="A, B or C (section 4.1).", show_default="A for CIFAR-type networks, else B")
    ] = None,
    stride: Annotated[
        str | None, Option(help="Stride-2 layer of a bottleneck: 1x1 or 3x3.", show_default="1x1, the authors'")
    ] = None,
    residual_layers: Annotated[int | None, Option(help="3x3 layers per residual block.", show_default="2")] = None,
    initialization: Annotated[str | None, Option(help="he_fan_in or he_fan_out.", show_default="he_fan_in")] = None,
    network_option: NetworkOptions = None,
    device: options.Device = "auto",
    precision: options.TrainingPrecision = "auto",
    workers: options.Workers = 2,
    save_every: options.SaveEvery = None,
    cluster: jobs.ClusterName = None,
    partition: jobs.Partition = None,
    at_once: jobs.AtOnce = None,
    job_time: jobs.JobTime = None,
) -> None:
    """Train a network. `resnets train resnet20 --data cifar10` is the paper's section 4.2.

    Without --recipe, a training from --weights uses `finetune` on any data. Without --weights, digits, CIFAR and
    ImageNet use the paper's recipe, other small images in memory `fast`, and all others `scratch`. Fine-tuning 1,000
    images takes 20 epochs, training them from scratch 120, and eight times as many images half as many epochs.

    SIGINT (Ctrl-C) and SIGTERM save everything and exit; the same command with --resume continues.
    `torchrun --nproc-per-node N -m resnets train ...` splits each mini-batch over N processes. With --seeds and
    --cluster each run is a job; the same command shows the jobs, and at the end the results.
    """
    settings = dict(locals())
    for name in ("context", "network", "data", "out", "resume", "network_option", "seeds", *jobs.OPTIONS):
        del settings[name]
    from resnets.cli.display import displays, print_trained
    from resnets.cli.output import resumable
    from resnets.cli.seeds import train_seeds
    from resnets.training import train as training

    settings = read_options(network, network_option, settings)
    where = jobs.read_cluster(cluster, partition, at_once, job_time, workers=workers)
    if seeds is not None:
        if seed != 0:
            raise UsageError(f"--seed {seed} and --seeds {seeds} are both given; one of them is enough")
        del settings["seed"]
        train_seeds(context, network, data, lists.seeds(seeds), where, out=out, resume=resume, settings=settings)
        return
    if where is not None:
        raise UsageError("--cluster is for several runs: add --seeds, such as --seeds 0-4")
    observers = displays(default_length=iterations is None and epochs is None)
    with resumable():
        result = training.train(network, data, out=out, resume=resume, observers=observers, **settings)
    validation = "" if result.validation_error is None else f"validation error {result.validation_error:.2f} %, "
    majority = result.majority_class_error
    frequent = "" if majority is None or majority >= 50 else f" (majority-class error {majority:.2f} %)"
    training_error = f"training error {result.training_error:.2f} %"
    print_trained(result, f"test error {result.test_error:.2f} %{frequent}, {validation}{training_error}")
