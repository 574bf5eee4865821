"""Progress and outcome of `predict` and `embed` where they write into a folder, in parts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from resnets.inference.parts import ImageParts, Observe, PartsProgress


def is_folder(out: Path | None) -> bool:
    """Return whether results are to be written into a folder: one that is there, or a name without a suffix."""
    return out is not None and (not out.suffix or out.is_dir())


def write_shown(write: Callable[[Observe], ImageParts], *, json: bool = False) -> None:
    """Let results be written, show how many images and parts of all processes are done, and print what there is."""
    from resnets.cli.output import outlive
    from resnets.files import to_json
    from resnets.quantities import plural

    outlive()
    with ExitStack() as shown:
        found = write(_Shown(shown))
    if json:
        print(to_json({**vars(found), "folder": str(found.folder)}))
        return
    print(f"{found.folder}: {plural(found.images, 'image')} in {plural(found.parts, 'part')}")
    if found.unreadable:
        print(f"{plural(found.unreadable, 'image')} failed to read; the column `error` says why")


class _Shown:
    """A live line on standard error, from the first report on; a line each minute where that is no terminal."""

    def __init__(self, until: ExitStack) -> None:
        self.until = until
        self.started = self.printed_at = time.monotonic()
        self.bar: Callable[[int, int | None], None] | None = None
        self.images: int | None = None

    def __call__(self, progress: PartsProgress) -> None:
        from resnets.cli.display import PLAIN_SECONDS, progress_of
        from resnets.quantities import rate

        if self.images is None:
            self.images = progress.images
        if sys.stderr.isatty():
            by_images = progress.all_images is not None
            if self.bar is None:
                self.bar = self.until.enter_context(progress_of("images" if by_images else "parts"))
            done = (progress.images, progress.all_images) if by_images else (progress.parts, progress.all_parts)
            self.bar(*done)
        elif (now := time.monotonic()) - self.printed_at > PLAIN_SECONDS:
            self.printed_at = now
            speed = rate((progress.images - self.images) / (now - self.started))
            images = f"{progress.images:,}" + (f"/{progress.all_images:,}" if progress.all_images is not None else "")
            print(
                f"{images} images, {progress.parts:,}/{progress.all_parts:,} parts, {speed} images/s", file=sys.stderr
            )
