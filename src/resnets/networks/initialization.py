"""Initialisation as in [13]: zero-mean Gaussian weights of variance 2 / fan, zero biases. Paper: section 3.4.

What the paper leaves open is a named choice: fan-in (the default of [13]) or fan-out; the final fc layer is drawn
like the others; batch norm starts at weight 1 and bias 0, in every block.
"""

from __future__ import annotations

from torch import nn

from resnets.specs import Initialization


def initialize(network: nn.Module, how: Initialization) -> None:
    """Draw every convolution's and fully connected layer's weights again, in place."""
    mode = how.removeprefix("he_")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not module.weight.is_meta:  # meta: nothing to draw
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]
            if module.bias is not None:
                nn.init.zeros_(module.bias)
