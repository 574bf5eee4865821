"""Weights files of deeper networks that compute what a trained one does: section 1's solution by construction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnets.errors import UsageError
from resnets.files import make_folder, require_file, writing
from resnets.networks import registry
from resnets.networks.deepen import deepen
from resnets.weights import weights_file
from resnets.weights.sources import find_weights


@dataclass(frozen=True, kw_only=True)
class Deepened:
    """A weights file of a deeper network, and the number of its layers that are new."""

    out: Path
    source: str
    network: str
    added_layers: int


def deepen_weights(source: str | Path, network: str, out: str | Path) -> Deepened:
    """Write the weights of a deeper network that computes what the network of a run does, to train on from there.

    Args:
        source: a run's folder, or any weights that `train --weights` takes.
        network: the name of the deeper network, such as plain56.
        out: a .safetensors file.

    Raises: UsageError, if the network is not a deeper one of the same kind; WeightsError, as `load`; RunError, if the
        file cannot be written.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the name of a weights file must end in .safetensors")
    require_file(out)
    depth = registry.declare(network).depth
    found = find_weights(source).noted()
    shallow = found.build()
    deep = deepen(shallow, depth or 0)
    if deep.spec.name != network:
        raise UsageError(
            f"{source} is of {registry.name_of(shallow)}, which is deepened to {deep.spec.name}, not {network}"
        )
    with writing(out):
        make_folder(out.parent)
        about = {"classes": found.classes, "input_spec": found.input_spec, "calibration": found.calibration}
        weights_file.save(out, deep, **about)  # type: ignore[arg-type]
    before = registry.spec_of(shallow)
    assert before is not None and before.depth is not None
    return Deepened(out=out, source=str(source), network=network, added_layers=deep.spec.depth - before.depth)
