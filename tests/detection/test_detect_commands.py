"""`resnets detect score` and `check` as a user types them: what they print, their JSON and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_boxes import instances, write_voc

import resnets
from resnets.cli import run


@pytest.fixture
def voc(tmp_path: Path) -> list[str]:
    """A dog found, a cat not; the arguments that score this."""
    objects = {"000001": [("dog", 1, 1, 9, 9), ("cat", 1, 1, 9, 9)], "000002": [("dog", 1, 1, 9, 9, True)]}
    write_voc(tmp_path / "VOC2007", {"test": objects, "val": objects}, images=False)
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "comp4_det_test_dog.txt").write_text("000001 0.9 1 1 9 9\n")
    return ["detect", "score", "--ground-truth", str(tmp_path / "VOC2007"), "--detections", str(tmp_path / "found")]


@pytest.mark.parametrize("protocol", ["voc07", "voc"])
def test_voc_as_json(voc: list[str], protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object on standard output; that a class has no file is null there, and said on standard error."""
    assert run([*voc, "--protocol", protocol, "--json"]) == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert shown.keys() == {"mean_ap", "ap"}
    assert shown["ap"] == {"cat": None, "dog": pytest.approx(1)}
    assert shown["mean_ap"] == pytest.approx(0.5)
    assert err == "resnets: note: no detection file for cat; each counts as AP 0 in the mean\n"
    scored = resnets.score_detections(voc[3], voc[5], protocol)
    assert scored.ap == shown["ap"]


def test_voc_as_a_table(voc: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*voc, "--protocol", "voc07", "--split", "val"]) == 0
    out, err = capsys.readouterr()
    assert "11-point AP at IoU 0.5, 2 images" in out
    for line in ("cat no detection file", "dog 100.00", "mean 50.00"):
        assert line in " ".join(out.replace("│", " ").split())
    assert "named after another split (comp4_det_test_dog.txt); they are scored on 'val'" in err


def test_coco(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pycocotools", reason="the extra `detection` is not installed")
    box = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
    (tmp_path / "truth.json").write_text(json.dumps(instances([1], [box], {1: "dog"})))
    (tmp_path / "found.json").write_text(json.dumps([{**box, "score": 0.5}]))
    arguments = ["detect", "score", "-g", str(tmp_path / "truth.json"), "-d", str(tmp_path / "found.json")]
    assert run([*arguments, "-p", "coco", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    assert shown["AP"] == pytest.approx(1)
    assert shown["APl"] == -1
    assert run([*arguments, "-p", "coco"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "COCO, boxes, 1 images" in out
    assert "AP IoU 0.50:0.95 100.00" in out
    assert "APl large objects no objects" in out


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--protocol", "voc12"], 2, "unknown protocol 'voc12' (did you mean voc"),
        (["--protocol", "voc", "--iou-type", "segm"], 2, "protocol voc scores boxes only"),
        (["--protocol", "coco", "--iou-type", "mask"], 2, "IoU type is 'mask'; it must be bbox or segm"),
        (["--protocol", "coco", "--split", "val"], 2, "split 'val': an instances JSON is one split"),
        (["--protocol", "voc", "--split", "train"], 1, "train.txt: no such image set"),
        (["--protocol", "coco"], 1, "VOC2007: cannot be read"),
        ([], 2, "Missing option '--protocol'"),
    ],
)
def test_wrong_usage_is_one_line(
    voc: list[str], more: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*voc, *more]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_check_counts_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects = [("dog", 1, 1, 9, 9), ("dog", 9, 9, 1, 1), ("cat", 1, 1, 9, 9, True)]
    root = write_voc(tmp_path / "own", {"train": {"a": objects, "b": [], "c": objects * 6}, "val": {"d": objects}})
    assert run(["detect", "check", f"voc:{root}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["splits"]["training"] == {
        "images": 3,
        "without_objects": 1,
        "objects": {
            "cat": 7,
            "dog": 7,
            **{name: 0 for name in shown["splits"]["test"]["objects"] if name not in ("cat", "dog")},
        },
        "difficult": 7,
        "crowd": 0,
    }
    assert len(shown["repairs"]) == 8
    assert run(["detect", "check", f"voc:{root}", "--classes", "dog"]) == 0
    out = capsys.readouterr().out
    assert "9 repairs" in out
    assert "8 objects of class 'cat', which was not asked for; left out" in out
    big = [("dog", 9, 9, 1, 1)] * 11
    (tmp_path / "own" / "Annotations" / "b.xml").write_text(
        "<annotation>"
        + "".join(
            f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for n, a, b, c, d in big
        )
        + "</annotation>"
    )
    assert run(["detect", "check", f"voc:{root}"]) == 0
    assert "and 10 more; --all lists them" in capsys.readouterr().out
    assert run(["detect", "check", f"voc:{root}", "--all"]) == 0
    assert "more; --all" not in capsys.readouterr().out


@pytest.mark.data
def test_perfect_detections_of_real_annotations(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The objects of VOC 2007 test as detections, the difficult ones among them, have an AP of 1 in every class."""
    from resnets.detection import voc as layout

    root = real_data / "voc" / "VOCdevkit" / "VOC2007"
    lines: dict[str, list[str]] = {}
    for image_id in layout.Folder(root).image_ids("test"):
        record = layout.read(root / "Annotations" / f"{image_id}.xml")
        for name, corners in zip(record.names, record.corners.tolist(), strict=True):
            lines.setdefault(name, []).append(f"{image_id} 0.5 {' '.join(map(str, corners))}\n")
    for name, entries in lines.items():
        (tmp_path / f"comp4_det_test_{name}.txt").write_text("".join(entries))
    assert run(["detect", "score", "-g", str(root), "-d", str(tmp_path), "-p", "voc07", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["ap"]) == 20
    assert shown["ap"] == pytest.approx(dict.fromkeys(layout.CLASSES, 1.0))
