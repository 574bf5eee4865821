"""`resnets deepen`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from resnets.cli import options


def deepen(
    run: options.Trained,
    network: Annotated[str, Argument(help="The deeper network, such as plain56.", show_default=False)],
    out: Annotated[Path, Argument(help="A .safetensors file to write.", show_default=False)],
) -> None:
    """Write a deeper network that computes what a trained one does: section 1's solution by construction.

    The added layers are identities. `resnets train NETWORK --weights OUT` trains it on from there.
    """
    from resnets.quantities import plural
    from resnets.weights.deepened import deepen_weights

    done = deepen_weights(run, network, out)
    print(
        f"{done.out}: {done.network}, which computes what {done.source} does; {plural(done.added_layers, 'new layer')}"
    )
    print(f"To train it on:  resnets train {done.network} --weights {done.out} --data ...")
