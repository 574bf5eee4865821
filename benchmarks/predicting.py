"""Prediction of a folder of photos on one core, from files to the most probable classes."""

from __future__ import annotations

import itertools

import torch

from benchmarks import loaders, training
from benchmarks.rows import Row
from benchmarks.setting import Setting
from benchmarks.worker import Loop, Tick
from resnets.data.image_files import ImageFiles
from resnets.data.loading import in_batches
from resnets.inference.model import BATCH, Model
from resnets.inference.optimize import optimize
from resnets.specs import InputSpec
from resnets.weights.create import create

LIKE_TIMM = InputSpec(
    size=224, resize=235, mean=loaders.IMAGENET_MEAN, std=loaders.IMAGENET_STD, interpolation="bicubic"
)
"""What timm's configuration of ResNet-50 makes of an image: 224 of 235 pixels are 95 %."""


def ours(row: Row, setting: Setting) -> Loop:
    """Prepare what `predict --precision auto` does, its engine made before."""
    torch.set_num_threads(1)
    network, names = create(row.network).eval(), tuple(map(str, range(1_000)))
    model = optimize(Model(setting.scratch, network, names, LIKE_TIMM, torch.device("cpu")), batch_size=BATCH)
    files = setting.images.photo_splits().train
    assert isinstance(files, ImageFiles)

    def loop(tick: Tick) -> None:
        answers = model.answers(itertools.cycle(files.paths), top=1, min_confidence=0.0, precision="auto")
        for answered in in_batches(answers, row.batch):
            tick(len(answered))

    return loop


def timm_script(row: Row, setting: Setting) -> Loop:
    """Prepare the loop of timm's inference.py by timm's own network, data set and loader.

    The script is not part of the package. Its options are left as they are, but for loading in the process itself,
    whose time is counted, and its table, which it writes once, is left out.
    """
    import timm
    from timm import data

    torch.set_num_threads(1)
    model = timm.create_model(training.peer_name(row)).eval()
    photos = data.create_dataset("", root=str(setting.images.photos / "train"))
    options = data.resolve_data_config({}, model=model)
    device = torch.device("cpu")
    loader = data.create_loader(
        photos, batch_size=row.batch, num_workers=0, persistent_workers=False, device=device, **options
    )

    def loop(tick: Tick) -> None:
        while True:
            with torch.inference_mode():
                for images, _ in loader:
                    output, indices = model(images).softmax(-1).topk(1)
                    indices.numpy(), output.numpy()
                    tick(len(images))

    return loop
