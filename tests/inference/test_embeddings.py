"""Features of images and their neighbours, in Python, in files and by the commands."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.cli import run as run_command
from resnets.errors import DataError, UsageError
from resnets.inference.activation import features_of


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve images of noise, each brighter than the one before."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(12):
        noise = generator.integers(0, 60, (12, 12), np.uint8) + np.uint8(15 * number)
        Image.fromarray(noise).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def model(digits_run: Path) -> resnets.Model:
    return resnets.load(digits_run)


def command(*arguments: object) -> int:
    return run_command([str(argument) for argument in arguments])


def test_features_are_the_pooled_maps(model: resnets.Model, photos: Path) -> None:
    """Of a residual network they are `features` after global average pooling, whose classifier gives the logits."""
    paths = sorted(photos.iterdir())
    found = model.embed(paths)
    x = model.preprocess(paths)
    with torch.no_grad():
        pooled = model.network.features(x).mean((2, 3))
        logits = model.network.fc(torch.from_numpy(found))
    assert found.dtype == np.float32 and found == pytest.approx(pooled.numpy(), abs=1e-6)
    torch.testing.assert_close(logits, model(x))
    assert model.embed(paths[3]) == pytest.approx(found[3], abs=1e-6)
    assert model.embed([]).shape == (0, found.shape[1])
    with pytest.raises(DataError, match=r"images\[1\]"):
        model.embed([paths[0], b""])


@pytest.mark.parametrize(
    ("make", "size"),
    [
        pytest.param(lambda: resnets.create("vgg16", num_classes=3), 4096, marks=pytest.mark.slow),
        (lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 2, 1)), 6),
    ],
    ids=["vgg", "convolutions alone"],
)
def test_features_of_other_networks(make: Callable[[], torch.nn.Module], size: int) -> None:
    """Of a VGG network they are fc7, and of one whose classifier is a convolution the mean of what it is given."""
    torch.manual_seed(0)
    network, x = make().eval(), torch.randn(2, 3, 32, 32)
    found = features_of(network, x)
    assert found.shape == (2, size)
    *before, last = [*network.classifier] if hasattr(network, "classifier") else [*network]
    with torch.no_grad():
        if hasattr(network, "classifier"):
            torch.testing.assert_close(last(found), network(x))
        else:
            torch.testing.assert_close(found, torch.nn.Sequential(*before)(x).mean((2, 3)))
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_neighbours_are_those_of_a_search_through_all(
    digits_run: Path, model: resnets.Model, photos: Path, tmp_path: Path, suffix: str
) -> None:
    """Their cosines are scikit-learn's, largest first; an image in the set is its own nearest neighbour."""
    from sklearn.metrics.pairwise import cosine_similarity

    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    out, paths = tmp_path / "new" / f"e{suffix}", sorted(photos.iterdir())
    assert command("embed", digits_run, photos, "--out", out) == 0
    found = resnets.neighbours(model, photos, out, top=4)
    features = model.embed(paths)
    cosines = cosine_similarity(features)
    for number, one in enumerate(found):
        assert one.image == str(paths[number]) == one.names[0]
        assert one.similarities == pytest.approx(np.sort(cosines[number])[::-1][:4], abs=1e-5)
        assert [cosines[number, paths.index(Path(name))] for name in one.names] == pytest.approx(
            one.similarities, abs=1e-5
        )
    by_folder = resnets.neighbours(digits_run, paths[5].read_bytes(), photos, top=50)
    assert by_folder[0].names[0] == str(paths[5]) and len(by_folder[0].names) == 12
    assert resnets.neighbours(digits_run, [], resnets.embed(digits_run, photos)) == []


def test_the_commands(digits_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are no images are listed at the end, the others are processed, and the exit code is 1."""
    out, broken = tmp_path / "e.npz", tmp_path / "broken.png"
    broken.write_bytes(b"")
    assert command("embed", digits_run, photos, broken, "-o", out) == 1
    printed = capsys.readouterr()
    assert "12 images" in printed.out and "broken.png" in printed.err
    with np.load(out) as content:
        assert content["filename"].shape == (12,) and content["features"].shape == (12, 64)
    query = sorted(photos.iterdir())[2]
    assert command("neighbours", digits_run, query, broken, "--among", out, "--top", "2", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found[0]["neighbours"][0]["image"] == str(query) and "error" in found[1]
    assert command("neighbours", digits_run, query, "--among", photos, "--top", "2") == 0
    assert f"{query} 1.0000" in capsys.readouterr().out


def test_files_that_do_not_fit_are_refused(
    digits_run: Path, model: resnets.Model, photos: Path, tmp_path: Path
) -> None:
    """Other suffixes, damaged and missing files, an empty folder, and features of other weights."""
    out = tmp_path / "e.npz"
    resnets.embed(model, photos, out=out)
    with pytest.raises(UsageError, match=r"e\.csv"):
        resnets.embed(model, photos, out=tmp_path / "e.csv")
    found = resnets.embed(model, photos)
    with pytest.raises(UsageError, match="other weights"):
        resnets.neighbours(model, photos, dataclasses.replace(found, weights="0" * 64))
    (tmp_path / "cut.npz").write_bytes(out.read_bytes()[:200])
    np.savez(tmp_path / "short.npz", filename=["a"], features=found.features, weights=found.weights)
    for name in ("cut.npz", "short.npz", "none.npz"):
        with pytest.raises(DataError, match=name):
            resnets.neighbours(model, photos, tmp_path / name)
    with pytest.raises(UsageError, match="top"):
        resnets.neighbours(model, photos, out, top=0)
