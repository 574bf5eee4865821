"""ImageNet's three layouts give the same data set, in the order of the WordNet ids; what does not fit is refused."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data import imagenet, sources
from resnets.data.image_files import ImageFiles
from resnets.data.splits import DataSplits
from resnets.errors import DataError

TEN = (
    "n01440764", "n02102040", "n02979186", "n03000684", "n03028079",
    "n03394916", "n03417042", "n03425413", "n03445777", "n03888257",
)  # fmt: skip
THREE = ("n03888257", "n01440764", "n02102040")  # not in their order

MakePhotos = Callable[..., Path]


def files_of(split: object) -> list[tuple[str, int]]:
    assert isinstance(split, ImageFiles)
    return sorted((Path(path.name).name, label) for path, label in zip(split.paths, split.labels.tolist(), strict=True))


def flat(root: Path) -> dict[str, str]:
    """Rename a data set's validation images as ImageNet's, put them into one folder, and return their classes."""
    wnid_of = {}
    images = sorted((root / "val").glob("*/*"), key=lambda path: (path.name, path.parent.name))
    for number, path in enumerate(images, 1):
        name = f"ILSVRC2012_val_{number:08}"
        wnid_of[name] = path.parent.name
        path.rename(root / "val" / f"{name}.JPEG")
    for folder in list((root / "val").iterdir()):
        if folder.is_dir():
            folder.rmdir()
    return wnid_of


def devkit(folder: Path, wnid_of: dict[str, str]) -> None:
    """Write a devkit as ILSVRC 2012's: its own numbers of classes, some words of which are inner nodes."""
    from scipy.io import savemat

    leaves = sorted(set(wnid_of.values()), reverse=True)  # another order than the ids'
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [(number, wnid, f"word {wnid}", "", 0) for number, wnid in enumerate(leaves, 1)]
    rows.append((len(rows) + 1, "n00001740", "entity", "", 3))
    folder.mkdir(parents=True)
    savemat(folder / "meta.mat", {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)})
    number_of = {wnid: number for number, wnid in enumerate(leaves, 1)}
    lines = [str(number_of[wnid_of[name]]) for name in sorted(wnid_of)]
    (folder / imagenet.TRUTH).write_text("\n".join(lines) + "\n")


def test_classes_are_the_sorted_ids_with_names_where_torchvision_knows_them(make_photos: MakePhotos) -> None:
    """Classes are WordNet ids in order, with names where they are known."""
    splits = imagenet.load(make_photos(classes=THREE))
    assert splits.classes == ("n01440764 tench", "n02102040 English springer", "n03888257 parachute")
    assert imagenet.load(make_photos("other", classes=("n00000002", "n00000001"))).classes == ("n00000001", "n00000002")
    assert sources.load(f"imagenet:{make_photos('again', classes=THREE)}").classes == splits.classes


def test_all_thousand_have_torchvisions_names() -> None:
    """1,000 ids have 1,000 distinct names, the two cranes included."""
    synsets = pytest.importorskip("timm.data").ImageNetInfo("imagenet-1k").label_names()
    names = imagenet.readable(tuple(synsets))
    assert (names[0], names[517], names[-1]) == ("n01440764 tench", "n03126707 crane", "n15075141 toilet tissue")
    assert names[134].startswith("n02012849 crane")  # the bird
    assert len(set(names)) == 1000


def test_other_thousand_classes_are_refused(tmp_path: Path) -> None:
    """1,000 folders that are not ILSVRC 2012's are an error."""
    for number in range(1000):
        (tmp_path / "train" / f"n{number:08}").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match=r"1000 classes, but not those of ILSVRC 2012"):
        imagenet.load(tmp_path)


@pytest.mark.parametrize("kind", ["devkit", "packed devkit", "solution", "annotations"])
def test_a_flat_val_is_labelled_by_its_ground_truth(make_photos: MakePhotos, tmp_path: Path, kind: str) -> None:
    """Whose numbers are in another order than the ids, and which on Kaggle lies three folders above."""
    root = make_photos("folders", classes=THREE, train=2, val=3)
    wnid_of = flat(root)
    expected = sorted((f"{name}.JPEG", sorted(THREE).index(wnid)) for name, wnid in wnid_of.items())
    asked = root
    if kind == "devkit":
        devkit(root / imagenet.DEVKIT / "data", wnid_of)
    elif kind == "packed devkit":
        devkit(tmp_path / "packed", wnid_of)
        with tarfile.open(root / f"{imagenet.DEVKIT}.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "packed", f"{imagenet.DEVKIT}/data")
    else:
        asked = tmp_path / "kaggle"
        inside = asked / "ILSVRC" / "Data" / "CLS-LOC"
        inside.parent.mkdir(parents=True)
        root.rename(inside)
        if kind == "solution":
            rows = "".join(f"{name},{wnid} 1 2 30 40 {wnid} 5 6 7 8\n" for name, wnid in wnid_of.items())
            (asked / imagenet.SOLUTION).write_text("ImageId,PredictionString\n" + rows)
        else:
            notes = asked / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
            notes.mkdir(parents=True)
            for name, wnid in wnid_of.items():
                (notes / f"{name}.xml").write_text(f"<annotation><object><name>{wnid}</name></object></annotation>")
    splits = imagenet.load(asked)
    assert files_of(splits.test) == expected
    assert len(splits.train) == 6  # type: ignore[arg-type]


def test_what_a_flat_val_lacks_is_named(make_photos: MakePhotos) -> None:
    """Without ground truth, or for an image without it, the error says what is missing."""
    root = make_photos(classes=THREE)
    wnid_of = flat(root)
    with pytest.raises(DataError, match="ILSVRC2012_devkit_t12/"):
        imagenet.load(root)
    rows = [f"{name},{wnid} 1 2 3 4" for name, wnid in wnid_of.items()]
    (root / imagenet.SOLUTION).write_text("\n".join(["ImageId,PredictionString", *rows[1:]]))
    with pytest.raises(DataError, match="ILSVRC2012_val_00000001.JPEG"):
        imagenet.load(root)


def test_images_of_classes_that_are_not_trained_on_are_left_out(make_photos: MakePhotos) -> None:
    """A part of ImageNet is tested on its classes' part of the flat `val`."""
    root = make_photos(classes=THREE, val=1)
    wnid_of = flat(root)
    (root / imagenet.SOLUTION).write_text(
        "\n".join(["ImageId,PredictionString", *(f"{name},{wnid} 1" for name, wnid in wnid_of.items())])
    )
    (root / "train" / "n02102040").rename(root / "elsewhere")
    splits = imagenet.load(root)
    assert len(splits.classes) == len(splits.test) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "table", ["ImageId\nILSVRC2012_val_00000001", "ImageId,PredictionString\nILSVRC2012_val_00000001"]
)
def test_a_table_of_kaggle_without_classes_is_named(make_photos: MakePhotos, table: str) -> None:
    """A missing column or value is an error with the file's path."""
    root = make_photos(classes=THREE, val=1)
    flat(root)
    (root / imagenet.SOLUTION).write_text(table)
    with pytest.raises(DataError, match=imagenet.SOLUTION):
        imagenet.load(root)


@pytest.mark.parametrize("damage", [b"", b"MATLAB 5.0 MAT-file, but no more"])
def test_a_damaged_devkit_is_named(make_photos: MakePhotos, damage: bytes) -> None:
    """A devkit that fails to parse is an error with its path."""
    root = make_photos(classes=THREE)
    devkit(root / imagenet.DEVKIT / "data", flat(root))
    (root / imagenet.DEVKIT / "data" / "meta.mat").write_bytes(damage)
    with pytest.raises(DataError, match="devkit_t12/data: "):
        imagenet.load(root)


def test_folders_of_other_names_are_refused(make_photos: MakePhotos) -> None:
    """A class folder that is not a WordNet id is an error with its name."""
    with pytest.raises(DataError, match="train/cat: .*n01440764; folder:PATH"):
        imagenet.load(make_photos(classes=("cat", "n01440764")))


def test_a_png_and_cmyk_images_named_jpeg_are_trained_on(make_photos: MakePhotos) -> None:
    """As they occur in ImageNet: n02105855_2933.JPEG is a PNG, and some twenty are CMYK."""

    from resnets.specs import InputSpec

    root = make_photos(classes=THREE, train=1, val=1)
    for name, mode, kind in (("a.JPEG", "RGBA", "PNG"), ("b.JPEG", "CMYK", "JPEG"), ("c.JPEG", "L", "JPEG")):
        content = io.BytesIO()
        Image.new(mode, (40, 30), 128 if mode == "L" else tuple([128] * len(mode))).save(content, kind)
        (root / "train" / "n01440764" / name).write_bytes(content.getvalue())
    splits = imagenet.load(root)
    images, _ = next(iter(splits.train.test_batches(InputSpec(size=24, resize=32), batch_size=10)))
    assert images.shape == (6, 3, 24, 24)


@pytest.mark.data
def test_imagenette_is_a_part_of_imagenet(imagenette_folder: Path) -> None:
    """Ten real classes have ImageNet's ids and names."""
    splits: DataSplits = imagenet.load(imagenette_folder)
    assert tuple(name.split()[0] for name in splits.classes) == TEN
    assert splits.classes[3] == "n03000684 chain saw"
    assert (len(splits.train), len(splits.test)) == (1000, 300)  # type: ignore[arg-type]


def test_a_devkit_whose_parts_expand_to_gigabytes_is_refused(tmp_path: Path) -> None:
    """A MAT-file's parts are compressed, each with a size of its own."""
    packer = zlib.compressobj()
    part = b"".join(packer.compress(bytes(1_000_000)) for _ in range(60)) + packer.flush()
    root = tmp_path / "imagenet"
    (root / "val").mkdir(parents=True)
    (root / "train" / "n01440764").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(root / "train" / "n01440764" / "a.jpg")
    Image.new("RGB", (9, 9)).save(root / "val" / "ILSVRC2012_val_00000001.JPEG")
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n")
    (root / "meta.mat").write_bytes(bytes(124) + b"\0\1IM" + struct.pack("<II", 15, len(part)) + part)
    with pytest.raises(DataError, match="50,000,000 bytes"):
        imagenet.load(root)
