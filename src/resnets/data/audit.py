"""Audits of data sets before they are trained on: what would fail, and what is worth knowing."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnets.data import folder, imagenet, sources
from resnets.data.arrays import ImageArrays
from resnets.data.decoding import decode_for, open_header, quiet
from resnets.data.folder import Listing
from resnets.data.headers import ImageHeader, read_headers
from resnets.data.image_files import ImageFiles
from resnets.data.layouts import role_of
from resnets.data.near_duplicates import SIDE, Match, NearDuplicates, greys_of
from resnets.data.shard_writer import Progress
from resnets.data.splits import DataSplits, Split, drawn_of_each_class, problems
from resnets.data.stored_file import ImageFile, InMemoryFile, content_of
from resnets.errors import DataError, UsageError, public, require_at_least
from resnets.files import expanded
from resnets.records.audits import Audit, Finding, Range, SplitSummary

LARGE = 25_000_000  # pixels, from which decoding takes long
TWELVE_BITS = 4_095
ZEROS = 512  # bytes at the end of a JPEG that only a broken copy has

KINDS = {
    "layout": "folders, classes or files that are not as they should be",
    "unreadable": "no image that can be decoded",
    "truncated": "the file ends before the image does",
    "huge": "more pixels than are decoded",
    "zeros at the end": "decodes, but a part is lost",
    "in both splits": "an image that is validated or tested on is trained on, too",
    "in validation and test": "an image that is tested on is validated on, too, and choices are made by it",
    "two classes": "the same image under two classes",
    "nearly in both splits": "nearly an image that is trained on: resized, recompressed, brightened, slightly cropped",
    "nearly in validation and test": "nearly an image that is validated on, likewise",
    "duplicate": "the same image twice in a split",
    "near-duplicate": "nearly the same image twice in a split",
    "large": f"more than {LARGE // 10**6} million pixels, slow to decode",
    "dark 16 bits": "all values are those of 12 bits or fewer: nearly black when they are scaled to 8 bits",
    "passed over": "no part of the data set: hidden, of a system, or with no suffix of an image",
    "extension": "the content is of another kind than the name says; the content counts",
    "frames": "only the first frame or page is taken",
    "CMYK": "converted to RGB",
    "16 bits": "scaled to 8 bits",
    "rotated": "turned upright as its EXIF orientation says",
    "grey": "its one channel is taken three times",
    "transparent": "its alpha channel is dropped",
}
"""What is found, the worst first."""

REPEATED = (
    "in both splits",
    "in validation and test",
    "two classes",
    "nearly in both splits",
    "nearly in validation and test",
    "duplicate",
    "near-duplicate",
)
"""With one of these an image is there before, which its detail names."""

FATAL = ("layout", "unreadable", "truncated", "huge")
"""With one of these training would fail."""


class Place(NamedTuple):
    """Where an image is, and its label."""

    split: str
    label: int
    where: str


@dataclass
class _Seen:
    """What is remembered of one image."""

    size: tuple[int, int] = (0, 0)
    length: int = 0  # bytes
    digest: bytes = b""
    orientation: int = 1
    notes: list[tuple[str, str]] = field(default_factory=list)  # kind, detail
    greys: NDArray[np.uint8] | None = None  # for near-duplicates, where it is large enough


@public
def check_data(source: str, *, workers: int | None = None, progress: Progress = lambda done, total: None) -> Audit:
    """Read and decode every image of a source, and return what would make training fail and what looks wrong.

    Images of 32 x 32 pixels or more are also compared with all others, for nearly equal ones (`near_duplicates`).

    `workers` threads decode (by default one per core, at most sixteen); `progress` is called with the number of
    finished images and their total.

    Raises: UsageError, if there is no such source; DataError, if nothing of it can be listed.
    """
    require_at_least(1, workers=workers)
    findings: list[Finding] = []
    found = _listed(source, findings)
    if isinstance(found, Listing):
        findings += [Finding("layout", name, found.name, what) for name, what in problems(found.classes, found.parts())]
    found = _divided(found)
    splits: dict[str, Split] = {"train": found.train}
    splits |= {"val": found.test} if found.validation is None else {"validation": found.validation, "test": found.test}
    findings += [Finding("passed over", role_of(one.where), one.where, one.kind) for one in found.passed_over]
    findings = [one if one.split in splits else one.with_changes(split="val") for one in findings]
    total, before = sum(map(len, splits.values())), 0
    summaries: dict[str, SplitSummary] = {}
    first: dict[bytes, Place] = {}  # by content
    compared, places = NearDuplicates(), list[Place]()
    for group, (name, split) in enumerate(splits.items()):
        seen = []
        for sample, where, image in _inspected(split, name, workers):
            assert split.labels is not None
            label = int(split.labels[sample])
            seen.append((label, image))
            findings += [Finding(kind, name, where, detail) for kind, detail in image.notes]
            if image.digest:
                place = Place(name, label, where)
                findings += _repeated(first.setdefault(image.digest, place), place)
                if image.greys is not None and first[image.digest] is place:  # a copy is found already
                    compared.add(image.greys, group)
                    places.append(place)
            image.greys = None
            before += 1
            progress(before, total)
        summaries[name] = _summary(seen)
    findings += [_near(places[one.image], places[one.earlier], one, found.classes) for one in compared.matches()]
    order = list(KINDS)
    findings.sort(key=lambda finding: order.index(finding.kind))  # stable: within a kind in the order of the files
    counts = Counter(finding.kind for finding in findings)
    return Audit(
        source=source,
        name=found.name,
        classes=len(found.classes),
        splits=summaries,
        findings=tuple(findings),
        would_fail=any(finding.kind in FATAL for finding in findings),
        counts={kind: counts[kind] for kind in KINDS if counts[kind]},
        notes=(*([found.roles] if found.roles else []), *found.notes),
    )


def decode_each(files: Sequence[ImageFile], progress: Progress) -> Iterator[ImageHeader | str]:
    """Read and decode image files as training does; yield the header of each, or a line where training would fail."""
    for done, (file, seen) in enumerate(_seen(files, None), 1):
        fatal = [f"{file}: {detail}" for kind, detail in seen.notes if kind in FATAL]
        progress(done, len(files))
        yield fatal[0] if fatal else ImageHeader(*seen.size, seen.orientation)


def damaged(files: Sequence[ImageFile], progress: Progress) -> list[str]:
    """Read and decode image files as training does, and return a line for each with which it would fail."""
    return [found for found in decode_each(files, progress) if isinstance(found, str)]


def _listed(source: str, findings: list[Finding]) -> DataSplits | Listing:
    name, _, rest = source.partition(":")
    lister = {"folder": folder.list_files, "imagenet": imagenet.list_files}.get(name)
    if lister is None or not rest:
        return sources.load(source)

    def note(message: str) -> None:
        where, _, what = message.partition(": ")
        findings.append(Finding("layout", role_of(where), where, what))

    return lister(expanded(rest), note)


def _divided(found: DataSplits | Listing) -> DataSplits | Listing:
    """Return a data set as `train` takes it with seed 0: with the images to validate on that it draws by default."""
    if found.validation_share is None or found.train.labels is None:
        return found
    held = np.sort(drawn_of_each_class(found.train.labels, len(found.classes), found.validation_share, seed=0))
    rest = np.setdiff1d(np.arange(len(found.train)), held)
    divided: dict[str, Any] = {"train": found.train.select(rest), "validation": found.train.select(held)}
    return replace(found, **divided)


def _inspected(split: Split, name: str, workers: int | None) -> Iterator[tuple[int, str, _Seen]]:
    """Yield each sample of a split with where it lies and what was seen of it, in order."""
    if isinstance(split, ImageArrays):
        height, width = split.images.shape[1:3]
        for sample, image in enumerate(split.images):
            digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            seen = _Seen((width, height), image.nbytes, digest)
            if min(width, height) >= SIDE:
                seen.greys = greys_of(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image))
            yield sample, f"image {sample} of {name}", seen
        return
    if not isinstance(split, ImageFiles):
        raise UsageError("a dataset object cannot be checked; name a source, such as folder:PATH")
    samples, files = itertools.tee(split.numbered())
    for (sample, _), (file, seen) in zip(samples, _seen((file for _, file in files), workers), strict=True):
        yield sample, str(file), seen


def _seen(files: Iterable[ImageFile], workers: int | None) -> Iterator[tuple[ImageFile, _Seen]]:
    """Yield image files with what is seen of each, in order; threads read them, by default one per core."""
    workers = workers or min(16, os.cpu_count() or 1)
    rest = iter(files)
    with quiet, ThreadPoolExecutor(workers) as threads:
        while some := list(itertools.islice(rest, 64 * workers)):
            yield from zip(some, threads.map(inspect, some), strict=True)


def inspect(file: ImageFile) -> _Seen:
    """Return what is seen of one image file, which is read once and decoded as in training."""
    seen = _Seen()
    try:
        content = content_of(file)
    except DataError as error:
        seen.notes.append(("unreadable", str(error).removeprefix(f"{file}: ")))
        return seen
    except OSError as error:
        seen.notes.append(("unreadable", f"failed to read ({error.strerror or error})"))
        return seen
    seen.length = len(content)
    seen.digest = hashlib.blake2b(content, digest_size=16).digest()
    held = InMemoryFile(str(file), content)
    try:
        image = decode_for(held, channels=3).image
    except DataError as error:
        reason = str(error).removeprefix(f"{file}: ")
        huge = " million are read" in reason or "exceeds limit" in reason
        cut = "truncated" in reason or "Truncated" in reason
        seen.notes.append(("huge" if huge else "truncated" if cut else "unreadable", reason))
        return seen
    if min(image.size) >= SIDE:
        seen.greys = greys_of(image)
    _describe(seen, held, Path(file.name).suffix.lower())
    if any(kind == "16 bits" for kind, _ in seen.notes):
        seen.notes += _dark(held)
    return seen


def _dark(held: InMemoryFile) -> Iterator[tuple[str, str]]:
    """Yield a note, if a 16-bit image holds a sensor's 12 bits, or fewer, in the lower of its bits."""
    image, _ = open_header(held.content)
    tops = range(0, image.height, 64)
    brightest = max(int(np.asarray(image.crop((0, top, image.width, top + 64))).max()) for top in tops)
    if not image.mode.startswith("I"):  # of colour images Pillow gives the higher eight bits
        brightest = 256 * brightest + 255
    if brightest <= TWELVE_BITS:
        yield "dark 16 bits", f"no value is above {brightest:,} of 65,535"


def _describe(seen: _Seen, held: InMemoryFile, suffix: str) -> None:
    content = held.content
    image, known = open_header(content)
    (header,) = read_headers([held])
    seen.size = width, height = header.width, header.height
    seen.orientation = header.orientation
    kind, mode = known.name, image.mode
    lost = len(content) - len(content.rstrip(b"\0")) if kind == "JPEG" else 0
    for found, name, detail in (
        (width * height > LARGE, "large", f"{width} x {height} pixels"),
        (bool(suffix) and suffix not in known.suffixes, "extension", f"is {kind}"),
        (lost >= ZEROS, "zeros at the end", f"{lost:,} bytes of them"),
        (kind != "JPEG" and getattr(image, "is_animated", False), "frames", ""),  # a phone's JPEG has previews
        (mode == "CMYK", "CMYK", ""),
        (_bits(image, kind) == 16, "16 bits", ""),
        (header.orientation != 1, "rotated", f"EXIF orientation {header.orientation}"),
        (mode in ("1", "L", "LA") or mode.startswith("I"), "grey", ""),
        (mode in ("RGBA", "LA", "PA") or "transparency" in image.info, "transparent", ""),
    ):
        if found:
            seen.notes.append((name, detail))


def _bits(image: Any, kind: str) -> int:
    """Return the bits of a channel as a PNG or TIFF stores it; 8 for other formats."""
    if kind == "PNG":
        return 16 if image.mode.startswith("I") or "16" in str(image.tile[0].args) else 8
    return max(image.tag_v2.get(258, (1,))) if kind == "TIFF" else 8


def _repeated(first: Place, place: Place) -> Iterator[Finding]:
    """Yield what is wrong with an image that was there before."""
    if (first.split, first.where) == (place.split, place.where):
        return
    kind, detail = "duplicate" if first.split == place.split else _shared(first, place), f"the same as {first.where}"
    yield Finding(kind, place.split, place.where, detail)
    if first.label != place.label:
        yield Finding("two classes", place.split, place.where, detail)


def _shared(first: Place, place: Place) -> str:
    """Return the kind of an image that two splits have."""
    return "in both splits" if "train" in (first.split, place.split) else "in validation and test"


def _near(place: Place, earlier: Place, match: Match, classes: Sequence[str]) -> Finding:
    """Return what is wrong with an image that is nearly the same as an earlier one."""
    kind = "near-duplicate" if earlier.split == place.split else f"nearly {_shared(earlier, place)}"
    detail = f"like {earlier.where}"
    if earlier.label != place.label:
        detail += f", of class {classes[earlier.label]} there"
    return Finding(kind, place.split, place.where, f"{detail} (details {100 * match.correlation:.0f} % alike)")


def _summary(seen: list[tuple[int, _Seen]]) -> SplitSummary:
    sizes = list(Counter(label for label, _ in seen).values())
    known = [image.size for _, image in seen if image.size[0]]
    return SplitSummary(
        images=len(seen),
        bytes=sum(image.length for _, image in seen),
        classes=len(sizes),
        class_sizes=_range(sizes),
        widths=_range([width for width, _ in known]),
        heights=_range([height for _, height in known]),
    )


def _range(values: list[int]) -> Range:
    return (min(values), round(float(np.median(values))), max(values)) if values else (0, 0, 0)
