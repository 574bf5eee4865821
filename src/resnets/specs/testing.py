"""Test protocols of trained networks. Paper: sections 3.4 and 4.2."""

from __future__ import annotations

from typing import Literal

from resnets.specs.base import Spec

TestProtocol = Literal["single-view", "center-crop", "ten-crop", "144-crop", "dense-multi-scale"]
"""How a classifier is tested: small images as they are, photos by crops or, fully convolutionally, as a whole."""

Precision = Literal["bf16", "fp32"]
"""What a network computes in.

bf16: autocast to bfloat16. Weights, gradients of weights, updates and batch norm's statistics are float32; activations,
and so each block's output and its sum F(x) + x, are bfloat16. fp32: everything in float32 (on a GPU convolutions in
TF32, unless torch.backends.cudnn.allow_tf32 is off, as torch has it).
"""

SCALES = (224, 256, 384, 480, 640)
"""Shorter sides, in pixels, at which section 3.4 tests whole images, for a network that takes 224 x 224."""

CROP_SCALES = (256, 288, 320, 352)
"""Shorter sides from which GoogLeNet's authors [44] take their 144 crops of 224 x 224."""


class TestConfig(Spec, frozen=True, kw_only=True):
    """A test protocol with its choices made: the views of an image whose class probabilities are averaged.

    Units: pixels of the shorter side for `scales`, which `144-crop` and `dense-multi-scale` have.
    """

    protocol: TestProtocol
    flips: bool = False  # each view's mirror image is a view as well
    scales: tuple[int, ...] = ()
