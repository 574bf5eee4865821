"""Networks made fully convolutional, for whole images of any shape. Paper: section 3.4, "as in [41, 13]".

The classifier that training put after the last maps, 7x7 of a 224x224 image, is applied at every position of larger
maps, and its class scores are averaged over the positions.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from resnets.errors import UsageError
from resnets.networks.baselines.vgg import VGG
from resnets.networks.resnet import ResNet


class Dense(nn.Module):
    """A network's class scores, averaged over all positions of its classifier; it shares the network's weights.

    On images of `size` x `size` there is one position, and the scores are the network's own.

    Shape: (N, in_channels, H, W) -> (N, num_classes); H and W at least `size`
    Raises: UsageError, if the network is none of this package's, or a VGG whose last maps are not 7x7 at `size`.
    Paper: section 3.4.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        if not isinstance(network, ResNet | VGG):
            raise UsageError(
                f"{type(network).__name__} is a module of your own, which cannot be made fully convolutional: it is "
                f"not known where its classifier begins; networks of this package can"
            )
        # each halving rounds up in a ResNet, down in a VGG; the whole is as if it were one
        halvings = 5 if network.spec.type == "imagenet" else 2
        self.window = size >> halvings if isinstance(network, VGG) else -(-size >> halvings)
        if isinstance(network, VGG) and self.window != 7:
            raise UsageError(
                f"{network.spec.name} takes images of {size} x {size} pixels here, whose last maps it stretches to "
                f"7x7; as convolutions its fc layers need 224 x 224"
            )
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.network, VGG):
            return _vgg(self.network, x)
        maps = F.avg_pool2d(self.network.features(x), self.window, stride=1)  # (N, C, h, w): a window at each position
        return self.network.fc(maps.mean((2, 3)))  # fc is linear: the mean of its scores is its score of the mean


def _vgg(network: VGG, x: Tensor) -> Tensor:
    """Return the scores with fc6 as a 7x7 convolution, fc7 and the classifier as 1x1 ones.

    Paper: [41], its section 3.2.
    """
    maps = network.features(x)  # (N, 512, h + 6, w + 6)
    channels = network.spec.widths[-1]
    for layer in network.classifier:
        if isinstance(layer, nn.Linear):
            side = round((layer.in_features / channels) ** 0.5)
            maps = F.conv2d(maps, layer.weight.view(-1, channels, side, side), layer.bias)  # (N, C, h, w)
            channels = layer.out_features
        else:
            maps = layer(maps)
    return maps.mean((2, 3))
