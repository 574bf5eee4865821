"""Grey images of 16 bits, as some PNG and TIFF files hold, in the 8 bits that networks are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image


def in_8_bits(image: Any, name: str) -> Image.Image:
    """Return a grey image of 16 bits (TIFF: or fewer) as one of 8, a strip at a time: 100 megapixels take gigabytes.

    Raises: ValueError, for a TIFF's values of 32 bits, with a sign or a fraction, of which no one is white.
    """
    white, inverted = 65_535, False
    if name == "TIFF":
        bits, kind = image.tag_v2.get(258, (1,))[0], image.tag_v2.get(339, (1,))[0]
        if bits > 16 or kind != 1:
            of_kind = {2: "signed integers", 3: "fractions"}.get(kind, "integers")
            raise ValueError(f"its pixels are {of_kind} of {bits} bits, of which none is white; store it in 8 or 16")
        white, inverted = 2**bits - 1, image.tag_v2.get(262) == 0
    low = Image.new("L", image.size)
    for top in range(0, image.height, 64):
        strip = image.crop((0, top, image.width, min(top + 64, image.height)))
        high = (np.asarray(strip, np.float64) * (255 / white)).round().clip(0, 255).astype(np.uint8)
        low.paste(Image.fromarray(255 - high if inverted else high), (0, top))
    return low
