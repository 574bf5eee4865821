"""The paper's training recipes of classifiers, with their departures where it leaves something open."""

from __future__ import annotations

from resnets.specs import Departure, PadCropFlip, Plateau, Preprocessing, PrincipalColors, Recipe, ScaleCropFlip, WarmUp

CIFAR = Recipe(
    name="cifar",
    source="section 4.2",
    iterations=64_000,
    batch_size=128,
    bn_group=64,  # 128 "on two GPUs"
    lr=0.1,
    milestones=(32_000, 48_000),
    decay_factor=0.1,
    warm_up=WarmUp(lr=0.01, below_error=80.0, from_depth=110),
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=PadCropFlip(pad=4, flip=True),
)

IMAGENET = Recipe(
    name="imagenet",
    source="section 3.4; the drops of the learning rate as Figure 4 shows them",
    iterations=600_000,
    batch_size=256,
    bn_group=32,  # 256 on eight GPUs
    lr=0.1,
    milestones=(150_000, 300_000),
    decay_factor=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    preprocessing=Preprocessing(mean="pixel"),
    augmentation=ScaleCropFlip(shortest=256, longest=480, crop=224, flip=True, colors=PrincipalColors(std=0.1)),
    evaluate_every=5_000,
    departures=(
        Departure(
            "the mean image is of 10,000 training photos, the axes of their colours of 1,000, evenly spaced",
            "so that a run starts within a minute; the mean is within one grey level of that of all",
        ),
    ),
)

IMAGENET_PLATEAU = IMAGENET.with_changes(
    name="imagenet-plateau",
    source='section 3.4 to the letter: "divided by 10 when the error plateaus"',
    milestones=(),
    plateau=Plateau(patience=5, gain=0.2, drops=2),
)
