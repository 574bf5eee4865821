"""Deep Residual Learning for Image Recognition (He, Zhang, Ren, Sun, 2015) as software."""

from __future__ import annotations

__version__ = "0.1.0"
