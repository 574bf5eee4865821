"""What the page of mistakes says: likely wrong labels, calibration, pictures, and a line for each image."""

from __future__ import annotations

import base64
import csv
import dataclasses
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import resnets
from resnets.data.splits import DataSplits
from resnets.errors import UsageError
from resnets.evaluation.mistakes import Mistakes
from resnets.evaluation.mistakes_pictures import draw_confusion


def answers(images: int, classes: int) -> Mistakes:
    """Random answers for labels of all classes but the last."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes - 1, images)
    logits = generator.normal(size=(images, classes)) + 2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Mistakes(labels, probabilities.astype(np.float32))


def test_likely_wrong_labels_are_those_of_confident_learning() -> None:
    """By its definition, a class at a time; a class without images is never suggested."""
    found = answers(300, 4)
    thresholds = {k: found.probabilities[found.labels == k, k].mean(dtype=float) for k in range(3)}
    for image in range(300):
        row, label = found.probabilities[image], found.labels[image]
        reached = [k for k in thresholds if row[k] >= thresholds[k]]
        expected = max(reached, key=lambda k: row[k]) if reached and label not in reached else -1
        assert found.suggested[image] == expected
    doubtful = found.likely_wrong_labels()
    assert 0 < len(doubtful) < 150
    assert np.all(np.diff(found.of_label[doubtful]) >= 0)


def test_images_are_in_the_order_of_their_confidence() -> None:
    """The surest mistake first, the least sure right answer first, and each image once."""
    found = answers(200, 5)
    wrong, right = found.confident_wrong(), found.unconfident_right()
    assert sorted([*wrong, *right]) == list(range(200))
    assert not found.right[wrong].any() and found.right[right].all()
    assert np.all(np.diff(found.confidence[wrong]) <= 0) and np.all(np.diff(found.confidence[right]) >= 0)


def test_the_calibration_error_is_the_mean_gap_over_the_bins() -> None:
    """Of 15 bins of equal width, by their images; a confidence of 1 is in the last one."""
    probabilities = np.array([[1, 0], [0.95, 0.05], [0.63, 0.37], [0.39, 0.61]], np.float32)
    found = Mistakes(np.array([0, 1, 0, 0]), probabilities)
    gaps = [abs(0.975 - 0.5), abs(0.62 - 0.5)]  # 0.61 and 0.63 are in the bin from 9/15 to 10/15
    assert [one.images for one in found.bins] == [2, 2]
    assert found.calibration_error == pytest.approx(50 * sum(gaps))


@pytest.mark.parametrize("classes", [1, 2, 12, 40, 120, 300, 1_000])
def test_every_mistake_is_in_the_picture(classes: int) -> None:
    """Of any number of classes: as a square with its numbers, or of very many as a pixel."""
    generator = np.random.default_rng(0)
    confusion = np.diag(generator.integers(1, 50, classes))
    np.add.at(confusion, (generator.integers(0, classes, classes), generator.integers(0, classes, classes)), 1)
    picture = draw_confusion(confusion, [f"<{name}>" for name in range(classes)])
    assert "<0>" not in picture.markup
    if classes <= 120:
        assert picture.markup.count('class="cell"') == np.count_nonzero(confusion)
        assert len(picture.markup) < 3_000_000
        return
    (link,) = re.findall(r"base64,([^\"]+)", picture.markup)
    with Image.open(BytesIO(base64.b64decode(link))) as image:
        alpha = np.asarray(image)[..., 3]
    assert max(alpha.shape) <= 250 and set(np.diag(alpha) > 0) == {True}
    off = int((alpha > 0).sum()) - len(alpha)
    assert 0 < off <= np.count_nonzero(confusion) - classes
    assert alpha[alpha > 0].min() >= 127


def lines(folder: Path) -> list[dict[str, str]]:
    with open(folder / "mistakes.csv", newline="") as file:
        return list(csv.DictReader(file))


def maps(folder: Path) -> list[str]:
    return re.findall(r'src="(data:image/jpeg[^"]+)" alt="Evidence', (folder / "mistakes.html").read_text())


def test_the_page_and_the_table_are_of_the_evaluation(
    digits_run: Path, plain_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one network and of an ensemble, in Python and as a command; the page needs nothing else."""
    from resnets.cli import run

    plain = resnets.evaluate(digits_run, "digits")
    found = resnets.evaluate(digits_run, "digits", mistakes=tmp_path / "python")
    assert (found.top1_wrong, found.confusion) == (plain.top1_wrong, plain.confusion)
    rows = lines(tmp_path / "python")
    assert [row["image"] for row in rows] == [str(number) for number in range(360)]
    assert sum(row["correct"] == "no" for row in rows) == found.top1_wrong
    assert all((row["label"] == row["prediction"]) == (row["correct"] == "yes") for row in rows)
    assert all(float(row["probability"]) >= float(row["label_probability"]) for row in rows)
    page = (tmp_path / "python" / "mistakes.html").read_text()
    assert f"{found.top1_error:.2f}\N{NO-BREAK SPACE}% of 360 test images" in page
    assert re.findall(r'(?:src|href)="(?!data:|#|mistakes\.csv|https://arxiv\.org)[^"]*"', page) == []
    assert len(maps(tmp_path / "python")) >= 24

    folder = tmp_path / "ensemble"
    assert run(["evaluate", str(digits_run), str(plain_run), "--data", "digits", "--mistakes", str(folder)]) == 0
    assert str(folder / "mistakes.html") in capsys.readouterr().out
    both = resnets.evaluate([digits_run, plain_run], "digits")
    assert sum(row["correct"] == "no" for row in lines(folder)) == both.top1_wrong


class Colours(nn.Module):
    """The class of an image of 8 x 8 is its strongest colour; no map of a class is that of another one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3)) + 40 * x.mean((2, 3))


def test_classes_in_another_order_and_files(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    """Each image of a folder has its file, and the map of its class, wherever that is among the network's classes."""
    torch.manual_seed(0)
    from resnets.inference.model import Model
    from resnets.specs import InputSpec

    spec = InputSpec(size=32, resize=36)
    model = Model(Path("colours"), Colours().eval(), ("cat", "dog", "emu"), spec, torch.device("cpu"))
    data = f"folder:{make_photos()}"
    resnets.evaluate(model, data, workers=0, mistakes=tmp_path / "own")
    rows = lines(tmp_path / "own")
    assert {Path(row["image"]).parts[-2] for row in rows} == {"cat", "dog", "emu"}
    assert all(row["correct"] == "yes" and row["label"] == Path(row["image"]).parts[-2] for row in rows)
    assert len(maps(tmp_path / "own")) == 6

    order = [2, 0, 1]
    other = Colours().eval()
    other.load_state_dict(model.network.state_dict())
    reordered = Reordered(other, order)
    model = dataclasses.replace(model, network=reordered, classes=("emu", "cat", "dog"))
    with pytest.warns(UserWarning, match="another order"):
        resnets.evaluate(model, data, workers=0, mistakes=tmp_path / "reordered")
    assert maps(tmp_path / "reordered") == maps(tmp_path / "own")


def test_shards_and_streams_have_the_same_page(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    """Their images are found again where they are, each in its shard."""
    pytest.importorskip("webdataset")
    from resnets.inference.model import Model
    from resnets.specs import InputSpec

    torch.manual_seed(0)
    spec = InputSpec(size=32, resize=36)
    model = Model(Path("colours"), Colours().eval(), ("cat", "dog", "emu"), spec, torch.device("cpu"))
    resnets.shard_data(f"folder:{make_photos()}", tmp_path / "shards")
    for name, data in (("shards", tmp_path / "shards"), ("stream", f"pipe:cat {tmp_path}/shards/manifest.json")):
        resnets.evaluate(model, f"webdataset:{data}", workers=0, mistakes=tmp_path / name)
    shards, stream = lines(tmp_path / "shards"), lines(tmp_path / "stream")
    assert [row["image"] for row in stream] == [f"pipe:cat {row['image']}" for row in shards]
    assert sorted(maps(tmp_path / "shards")) == sorted(maps(tmp_path / "stream")) and len(shards) == 6


class Reordered(nn.Module):
    def __init__(self, network: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.network, self.order = network, order

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[:, self.order]


def test_a_network_without_maps_has_a_page_without_them(tmp_path: Path, tiny_splits: DataSplits) -> None:
    """The page says why; all right or all wrong is no fault either."""
    from resnets.inference.model import Model
    from resnets.specs import InputSpec

    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    model = Model(Path("mean"), network, tiny_splits.classes, InputSpec(size=8, resize=8), torch.device("cpu"))
    found = resnets.evaluate(model, tiny_splits, mistakes=tmp_path / "right")
    assert found.top1_wrong == 0
    page = (tmp_path / "right" / "mistakes.html").read_text()
    assert "Every image is right" in page and "Sequential" in page and not maps(tmp_path / "right")
    rolled = dataclasses.replace(model, network=Reordered(network, [1, 2, 0]))
    assert resnets.evaluate(rolled, tiny_splits, mistakes=tmp_path / "wrong").top1_error == 100
    assert "No image is right" in (tmp_path / "wrong" / "mistakes.html").read_text()


def test_where_there_are_no_images_mistakes_are_refused(digits_run: Path, tmp_path: Path) -> None:
    """Of a dataset object, whose tensors are no pictures; and a file is no folder."""
    tensors = torch.utils.data.TensorDataset(torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    splits = DataSplits("tensors", tensors, tensors, tuple(map(str, range(10))))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mistakes"):
        resnets.evaluate(digits_run, splits, mistakes=tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        resnets.evaluate(digits_run, "digits", mistakes=tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
