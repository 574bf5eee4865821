"""Make weights that come with the package from a finished run.

    python tools/ship_weights.py RUN NAME --data SOURCE

writes src/resnets/weights/files/NAME.safetensors and NAME.json, the result of the run. Filters are stored as float16
where that leaves the number of wrong answers on the test images of SOURCE as it is, else as float32. The data and the
classes must be those of the run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import resnets
from resnets.weights import shipped


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", required=True, help="the data of the run, as in `resnets evaluate`")
    options = parser.parse_args(arguments)
    target = shipped.FOLDER / f"{options.name}.safetensors"
    data = resnets.load_data(options.data)
    wrong = resnets.evaluate(options.run, data).top1_wrong
    for half in (True, False):
        shipped.write(options.run, target, half=half)
        if resnets.evaluate(target, data).top1_wrong == wrong:
            break
    else:
        raise SystemExit(f"{target}: its test error is not that of {options.run}")
    stored = "float16" if half else "float32"
    print(f"{target}: {target.stat().st_size:,} bytes, filters in {stored}, {wrong:,} test images wrong as in the run")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
