"""A test by a single view, of the logits alone: the original image of section 4.2, or a centre crop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from resnets.data.arrays import ResidentImages
from resnets.data.loading import Batch
from resnets.data.splits import Split
from resnets.evaluation.metrics import Counts
from resnets.inference.engine import BATCH_ON_CPU, Engine
from resnets.networks.compiled import is_known
from resnets.networks.cuda_graph import CudaGraph
from resnets.networks.modes import in_mode
from resnets.records.evaluations import Agreement
from resnets.runtime.device import forward
from resnets.specs import InputSpec, Precision

COMPARED_IMAGES = 1_000


class SingleView:
    """A test on one view of each image, to be made once or several times, as during training.

    Images in memory are kept on a GPU that has room for them; a network of this package then runs as a CUDA graph, on
    2,000 of CIFAR-10's at a time.

    Paper: section 4.2 ("we only evaluate the single view of the original 32x32 image").
    """

    def __init__(
        self,
        network: nn.Module,
        split: Split,
        input_spec: InputSpec | None,
        *,
        classes: int,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        self.network, self.split, self.input_spec = network, split, input_spec
        self.classes, self.device, self.workers = classes, device, workers
        self.resident = split.resident(input_spec, device)
        self.graphs: dict[Precision, CudaGraph] = {}

    @torch.inference_mode()
    def __call__(self, precision: Precision, *, batch_size: int = 256) -> Counts:
        """Test the network as it is now; its mode is restored afterwards."""
        counts = Counts(self.classes)
        with in_mode(self.network, training=False):
            for logits, labels in self._logits(precision, batch_size):
                counts.add(logits, labels)
        return counts.cpu()

    def _logits(self, precision: Precision, batch_size: int) -> Iterator[Batch]:
        if self.resident is not None:
            yield from self.resident.each_once(self._run(self.resident, precision), batch_size)
            return
        at_once = min(batch_size, BATCH_ON_CPU) if self.device.type == "cpu" else batch_size
        for images, labels in self.split.test_batches(self.input_spec, batch_size=batch_size, workers=self.workers):
            parts = [forward(self.network, part.to(self.device), precision) for part in images.split(at_once)]
            yield torch.cat(parts), labels

    def _run(self, resident: ResidentImages, precision: Precision) -> Callable[[Tensor], Tensor]:
        """Return what gives the logits of stored images, as a CUDA graph where the network is known to allow it."""

        def run(stored: Tensor) -> Tensor:
            return forward(self.network, resident.normalized(stored), precision)

        if not is_known(self.network):
            return run
        if precision not in self.graphs:
            self.graphs[precision] = CudaGraph(run, self.device)
        return self.graphs[precision]


@torch.inference_mode()
def single_view_by_engine(
    engine: Engine,
    reference: nn.Module,
    split: Split,
    input_spec: InputSpec | None,
    *,
    classes: int,
    batch_size: int = 256,
    workers: int = 0,
) -> tuple[Counts, Agreement]:
    """Test an engine on one view of each image, and compare it with its network in float32."""
    counts = Counts(classes)
    samples = same = 0
    difference = norm = 0.0
    with in_mode(reference, training=False):
        for images, labels in split.test_batches(input_spec, batch_size=batch_size, workers=workers):
            logits = engine(images)
            counts.add(logits, labels)
            if samples < COMPARED_IMAGES:
                some = images[: COMPARED_IMAGES - samples].to(engine.device)
                expected, compared = forward(reference, some, "fp32"), logits[: len(some)]
                samples += len(some)
                same += int((compared.argmax(1) == expected.argmax(1)).sum())
                difference += float((compared - expected).double().square().sum())
                norm += float(expected.double().square().sum())
    return counts, Agreement(
        engine=engine.name,
        precision=engine.precision,
        samples=samples,
        same_top1=same,
        logit_difference=(difference / norm) ** 0.5 if norm else 0.0,
    )
