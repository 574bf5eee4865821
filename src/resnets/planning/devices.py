"""Known accelerators by their data sheets, for plans on other machines."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.registry import Registry
from resnets.specs import Precision


@dataclass(frozen=True, kw_only=True)
class KnownDevice:
    """One accelerator; `rate` is of dense products in `precision`, the one that is chosen by default on it.

    Units: bytes; operations a second, a multiply-add counting as two; bytes a second, of `link` in one direction.
    """

    name: str
    memory: float
    precision: Precision  # bf16 where it is native; else fp32, which is TF32 where there is that
    rate: float
    share: float  # of the rate that these networks' convolutions are assumed to reach
    bandwidth: float
    link: float  # to its neighbours: NVLink, else PCI Express


def _device(
    name: str, memory: float, precision: Precision, rate: float, bandwidth: float, link: float, share: float = 0.4
) -> KnownDevice:
    return KnownDevice(
        name=name,
        memory=memory * 1e9,
        precision=precision,
        rate=rate * 1e12,
        share=share,
        bandwidth=bandwidth * 1e9,
        link=link * 1e9,
    )


DEVICES: Registry[KnownDevice] = Registry(
    "device kind",
    #       name       GB   precision  TFLOP/s  GB/s  link GB/s
    _device("h200", 141, "bf16", 989, 4_800, 450),  # SXM
    _device("h100", 80, "bf16", 989, 3_350, 450),  # SXM5
    _device("a100", 80, "bf16", 312, 2_039, 300),  # SXM4
    _device("l40s", 48, "bf16", 362, 864, 32),
    _device("l4", 24, "bf16", 121, 300, 32),
    _device("a10", 24, "bf16", 125, 600, 32),
    _device("rtx4090", 24, "bf16", 165, 1_008, 32),
    _device("rtx3090", 24, "bf16", 71, 936, 32),
    # without native bf16, and without TF32: float32 outside the tensor cores, nearer to its rate
    _device("v100", 32, "fp32", 15.7, 900, 150, share=0.8),  # SXM2
    _device("t4", 16, "fp32", 8.1, 320, 16, share=0.8),
)
