"""Other projects' weights, one file for each: how they are known by their names, and their names as ours."""

from __future__ import annotations

from resnets.weights.layouts import akamaster, caffe, chenyaofo, compared, detectron, timm, torchvision
from resnets.weights.layouts.layout import About, Layout, Tensors

LAYOUTS: tuple[Layout, ...] = (
    akamaster.LAYOUT,
    chenyaofo.LAYOUT,
    caffe.LAYOUT,
    detectron.CAFFE2,
    detectron.TORCHVISION,
    compared.TORCHVISION,
    compared.CAFFE_GOOGLENET,
    compared.CAFFE_NIN,
    compared.CADENE,
    timm.LAYOUT,
    torchvision.LAYOUT,
)
"""In the order in which they are tried: torchvision's names are others' too."""


def recognise(tensors: Tensors, about: About) -> Layout | None:
    """Return the layout of these tensors by their names and shapes, or None."""
    return next((layout for layout in LAYOUTS if layout.recognises(tensors, about)), None)
