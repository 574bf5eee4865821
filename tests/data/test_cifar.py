"""The official layouts of CIFAR, read exactly; whatever is not the published data is refused and named."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from fuzzing import COUNTS, fuzz

from resnets.data import cifar
from resnets.data.arrays import ImageArrays
from resnets.errors import DataError

PER_FILE = 4
SMALL = dataclasses.replace(cifar.CIFAR10, digests={}, train_images=5 * PER_FILE, test_images=PER_FILE)
SMALL100 = dataclasses.replace(cifar.CIFAR100, train_images=PER_FILE, test_images=PER_FILE)


def records(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the planes (N, 3072) and labels of one generated file."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (PER_FILE, 3072), np.uint8), generator.integers(0, 10, PER_FILE, np.uint8)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """A small folder in the binary layout."""
    folder = tmp_path / "binary" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for i, name in enumerate([*cifar.CIFAR10.layouts[0].train, "test_batch.bin"]):
        planes, labels = records(i)
        np.concatenate([labels[:, None], planes], axis=1).tofile(folder / name)
    return folder


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """The same in the Python layout."""
    folder = tmp_path / "python" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for i, name in enumerate([*cifar.CIFAR10.layouts[1].train, "test_batch"]):
        planes, labels = records(i)
        (folder / name).write_bytes(pickle.dumps({"data": planes, "labels": labels.tolist()}, protocol=2))
    return folder


def arrays(data_set: cifar.Cifar, path: Path) -> tuple[ImageArrays, ImageArrays]:
    splits = cifar.load(data_set, path)
    assert isinstance(splits.train, ImageArrays)
    assert isinstance(splits.test, ImageArrays)
    return splits.train, splits.test


@pytest.mark.data
def test_both_layouts_of_the_real_data_are_the_published_images(cifar10_folder: Path) -> None:
    """`load` verifies the digests of the whole content; here also the well-known first images."""
    for layout in cifar.CIFAR10.layouts:
        splits = cifar.load(cifar.CIFAR10, cifar10_folder / layout.folder)
        train, test = splits.train, splits.test
        assert isinstance(train, ImageArrays)
        assert isinstance(test, ImageArrays)
        assert train.images.shape == (50_000, 32, 32, 3)
        assert test.images.shape == (10_000, 32, 32, 3)
        assert splits.digest == ":".join(cifar.CIFAR10.digests.values())
        assert np.bincount(train.labels).tolist() == [5_000] * 10
        assert np.bincount(test.labels).tolist() == [1_000] * 10
        assert [splits.classes[label] for label in test.labels[:4]] == ["cat", "ship", "ship", "airplane"]
        assert train.images[0, 0, 0].tolist() == [59, 62, 63]


@pytest.mark.data
def test_one_changed_pixel_of_the_real_data_is_noticed(cifar10_folder: Path, tmp_path: Path) -> None:
    """One changed bit of the real data is an error that names the split."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for file in (cifar10_folder / "cifar-10-batches-bin").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "data_batch_3.bin").unlink()
    shutil.copy(cifar10_folder / "cifar-10-batches-bin" / "data_batch_3.bin", folder)
    with open(folder / "data_batch_3.bin", "r+b") as batch:
        batch.seek(12_345_678)
        value = batch.read(1)[0]
        batch.seek(12_345_678)
        batch.write(bytes([value ^ 1]))
    with pytest.raises(DataError, match=r"train images"):
        cifar.load(cifar.CIFAR10, folder)


def test_both_layouts_give_the_same_arrays(binary: Path, pickled: Path) -> None:
    """The binary and the Python layout give equal images and labels."""
    for one, other in zip(arrays(SMALL, binary), arrays(SMALL, pickled), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
        assert one.labels.dtype == np.int64


def test_planes_become_pixels(binary: Path) -> None:
    """A record holds the red plane, then green, then blue, each row by row."""
    planes, labels = records(0)
    train, _ = arrays(SMALL, binary)
    assert train.labels[0] == labels[0]
    assert train.images[0, 2, 5].tolist() == [planes[0, plane * 1024 + 2 * 32 + 5] for plane in range(3)]


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    """In its binary records the coarse label comes first, in its pickles there are both."""
    planes, labels = records(0)
    fine, coarse = (labels + 87).astype(np.uint8), np.zeros(PER_FILE, np.uint8)
    one, other = tmp_path / "cifar-100-binary", tmp_path / "cifar-100-python"
    one.mkdir()
    other.mkdir()
    for name in ("train", "test"):
        np.concatenate([coarse[:, None], fine[:, None], planes], axis=1).tofile(one / f"{name}.bin")
        entry = {"data": planes, "fine_labels": fine.tolist(), "coarse_labels": coarse.tolist()}
        (other / name).write_bytes(pickle.dumps(entry, protocol=2))
    for folder in (one, other):
        train, _ = arrays(SMALL100, folder)
        assert train.labels.tolist() == fine.tolist()
    assert len(set(cifar.CIFAR100.classes)) == 100
    assert list(cifar.CIFAR100.classes) == sorted(cifar.CIFAR100.classes)


@pytest.mark.parametrize("layout", ["binary", "pickled"])
def test_the_path_may_be_the_folder_its_parent_or_one_above(layout: str, request: pytest.FixtureRequest) -> None:
    """The folder is found at or under the path, also renamed."""
    folder: Path = request.getfixturevalue(layout)
    expected = cifar.load(SMALL, folder).digest
    assert cifar.load(SMALL, folder.parent).digest == expected
    assert cifar.load(SMALL, folder.parent.parent).digest == expected
    assert cifar.load(SMALL, folder.rename(folder.parent / "renamed")).digest == expected


def test_a_whole_folder_is_preferred_to_a_broken_one(binary: Path, pickled: Path) -> None:
    """As where fetching was interrupted: what is there is used, and `present` reports it."""
    together = binary.parent
    (binary / "data_batch_2.bin").unlink()
    assert not cifar.present(SMALL, together)
    pickled.rename(together / pickled.name)
    assert cifar.present(SMALL, together)
    assert len(arrays(SMALL, together)[0]) == 20


def test_a_missing_folder_or_file_is_named(binary: Path, tmp_path: Path) -> None:
    """What is missing is in the error with its path."""
    with pytest.raises(DataError, match=r"no folder .*/nowhere"):
        cifar.load(SMALL, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cifar-10-batches-bin or cifar-10-batches-py .*/empty"):
        cifar.load(SMALL, tmp_path / "empty")
    (binary / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"cifar10: .*/data_batch_4\.bin is missing"):
        cifar.load(SMALL, binary)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "12,291 bytes is not a whole number of records of 3,073 bytes"),
        (lambda data: b"", "0 bytes is not a whole number of records"),
        (lambda data: data[:-3073], "holds 3 images instead of 4"),
        (lambda data: data + data[:3073], "holds 5 images instead of 4"),
        (lambda data: data[:3073] + b"\xff" + data[3074:], "image 1 has label 255; cifar10 has labels 0 to 9"),
    ],
    ids=["truncated", "empty", "one image too few", "one too many", "label 255"],
)
def test_a_wrong_binary_file_is_refused(binary: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    """Wrong sizes and labels are errors with the file's name."""
    file = binary / "data_batch_2.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=rf"data_batch_2.bin: {message}"):
        cifar.load(SMALL, binary)


def test_other_content_than_the_published_is_refused(binary: Path) -> None:
    """Images with another digest than the published one are an error."""
    known = dataclasses.replace(SMALL, digests={"train": "0" * 64})
    with pytest.raises(DataError, match=r"SHA-256 .*expected 000000000000"):
        cifar.load(known, binary)


PLANES, LABELS = records(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"data": PLANES, "labels": LABELS.tolist()})[:-2000], "not a batch of the Python version"),
        (b"", "not a batch of the Python version"),
        (b"hello", "not a batch of the Python version"),
        (pickle.dumps([1, 2]), "not a batch of the Python version"),
        (pickle.dumps({"data": PLANES}), "not a batch of the Python version"),
        (pickle.dumps({"data": PLANES[:, :100], "labels": LABELS.tolist()}), r"data is uint8 \(4, 100\), expected"),
        (pickle.dumps({"data": PLANES.astype(np.float32), "labels": LABELS.tolist()}), "data is float32"),
        (pickle.dumps({"data": PLANES, "labels": [0, 1, 2, -1]}), "image 3 has label -1"),
        (pickle.dumps({"data": PLANES, "labels": [0, 1, 2, 255]}), "image 3 has label 255"),
        (pickle.dumps({"data": PLANES, "labels": [0, 1, 2, 0.5]}), "not a batch of the Python version"),
    ],
    ids=["truncated", "empty", "text", "list", "no labels", "shape", "float", "label -1", "label 255", "label 0.5"],
)
def test_a_wrong_pickle_is_refused(pickled: Path, content: bytes, message: str) -> None:
    """A pickle without the arrays of a batch is an error with the file's name."""
    (pickled / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match=rf"data_batch_2: .*{message}"):
        cifar.load(SMALL, pickled)


class Evil:
    """Asks to run a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_asks_for_code_is_refused_and_runs_nothing(pickled: Path, protocol: int) -> None:
    """A pickle that names a function is refused unrun."""
    marker = pickled / "it ran"
    content = pickle.dumps({"data": Evil(marker), "labels": LABELS.tolist()}, protocol)
    (pickled / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=r"it needs (posix|nt)\.system"):
        cifar.load(SMALL, pickled)
    assert not marker.exists()


def test_what_python_2_wrote_is_read(pickled: Path) -> None:
    """The published files hold Python 2 strings, as keys and within the arrays."""
    planes, labels = records(0)
    batch = (
        b"(dp0\nS'labels'\np1\n(lp2\n"
        + b"".join(b"I%d\na" % label for label in labels)
        + b"sS'data'\np3\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I4\nI3072\nt"
        + b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n"
        + b"T" + len(planes.tobytes()).to_bytes(4, "little") + planes.tobytes()
        + b"tbs."
    )  # fmt: skip
    expected = cifar.load(SMALL, pickled).digest
    (pickled / "data_batch_1").write_bytes(batch)
    assert cifar.load(SMALL, pickled).digest == expected


def test_an_unreadable_file_is_named(binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that fails to open is an error with its path."""

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(DataError, match=r"data_batch_1.bin: .*Permission denied"):
        cifar.load(SMALL, binary)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_batches_are_read_or_refused(pickled: Path, count: int) -> None:
    """Damaged content gives arrays or a DataError of one line."""
    path = pickled / "data_batch_1"

    def read(variant: bytes) -> None:
        path.write_bytes(variant)
        cifar.load(SMALL, pickled)

    fuzz(read, path.read_bytes(), count, documented=DataError)
