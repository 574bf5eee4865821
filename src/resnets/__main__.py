"""`resnets` and `python -m resnets`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command and exit with its code."""
    from resnets.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
