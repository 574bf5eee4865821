"""VOC's average precision is the devkit's: cases computed by hand, and its code in plain Python on random boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_boxes import Object, random_boxes, write_voc

from resnets.detection import result_files
from resnets.detection import voc as layout
from resnets.detection import voc_score as voc
from resnets.detection.annotations import AnnotatedImage, Detections
from resnets.detection.average_precision import Metric, average_precision
from resnets.errors import DataError, UsageError

Truth = dict[str, tuple[np.ndarray, np.ndarray]]

BOX, AWAY = (10, 10, 19, 19), (50, 50, 59, 59)  # each of 10 x 10 pixels


def ap(
    truth: dict[str, list[tuple[tuple[int, ...], bool]]],
    detections: list[tuple[str, float, tuple[float, ...]]],
    metric: Metric = "area",
) -> float | None:
    """Return the AP of (box, difficult) by image, and (image, confidence, box)."""
    return average_precision(
        {
            image: (np.array([box for box, _ in objects], float), np.array([hard for _, hard in objects]))
            for image, objects in truth.items()
        },
        [image for image, _, _ in detections],
        np.array([confidence for _, confidence, _ in detections], float),
        np.array([box for _, _, box in detections], float).reshape(-1, 4),
        metric,
    )


def devkit(truth: Truth, ids: list[str], confidence: np.ndarray, boxes: np.ndarray, metric: Metric) -> float:
    """VOCevaldet.m and VOCap.m, statement by statement, in plain Python."""
    npos = sum(sum(not d for d in difficult) for _, difficult in truth.values())
    detected = {image: [False] * len(difficult) for image, (_, difficult) in truth.items()}
    order = sorted(range(len(ids)), key=lambda d: -confidence[d])  # stable, as MATLAB's
    tp, fp = [0] * len(ids), [0] * len(ids)
    for place, d in enumerate(order):
        bb, ovmax, jmax = [float(x) for x in boxes[d]], float("-inf"), -1
        gt, difficult = truth.get(ids[d], (np.zeros((0, 4)), np.zeros(0, bool)))
        for j, bbgt in enumerate(gt.tolist()):
            bi = [max(bb[0], bbgt[0]), max(bb[1], bbgt[1]), min(bb[2], bbgt[2]), min(bb[3], bbgt[3])]
            iw, ih = bi[2] - bi[0] + 1, bi[3] - bi[1] + 1
            if iw > 0 and ih > 0:
                ua = (
                    (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                    + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1)
                    - iw * ih
                )
                if iw * ih / ua > ovmax:
                    ovmax, jmax = iw * ih / ua, j
        if ovmax >= 0.5:
            if not difficult[jmax]:
                if not detected[ids[d]][jmax]:
                    tp[place] = 1
                    detected[ids[d]][jmax] = True
                else:
                    fp[place] = 1
        else:
            fp[place] = 1
    rec, prec, trues, falses = [], [], 0, 0
    for t, f in zip(tp, fp, strict=True):
        trues, falses = trues + t, falses + f
        rec.append(trues / npos)
        prec.append(trues / (trues + falses) if trues + falses else 0.0)
    if metric == "11-point":
        return sum(
            max([p for r, p in zip(rec, prec, strict=True) if r >= k * 0.1], default=0.0) / 11 for k in range(11)
        )
    mrec, mpre = [0.0, *rec, 1.0], [0.0, *prec, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1])


def test_all_found_is_1_and_nothing_found_is_0() -> None:
    """The ends of the scale, by both metrics."""
    truth = {"a": [(BOX, False), (AWAY, False)]}
    for metric in ("area", "11-point"):
        assert ap(truth, [("a", 0.9, BOX), ("a", 0.8, AWAY)], metric) == pytest.approx(1)  # type: ignore[arg-type]
        assert ap(truth, [], metric) == 0  # type: ignore[arg-type]
        assert ap(truth, [("b", 0.9, BOX)], metric) == 0  # type: ignore[arg-type]


def test_one_of_two_found_after_a_false_one() -> None:
    """Recall 0, 1/2 at precision 0, 1/2: the area is 1/4; the points 0, 0.1 ... 0.5 have 1/2 each."""
    truth = {"a": [(BOX, False), (AWAY, False)]}
    detections = [("a", 0.9, (70, 70, 79, 79)), ("a", 0.8, BOX)]
    assert ap(truth, detections) == pytest.approx(1 / 4)
    assert ap(truth, detections, "11-point") == pytest.approx(6 * (1 / 2) / 11)


def test_precision_is_the_best_at_that_or_a_higher_recall() -> None:
    """True, false, true of two objects: precision 1, 1/2, 2/3."""
    truth = {"a": [(BOX, False), (AWAY, False)]}
    detections = [("a", 0.9, BOX), ("a", 0.8, (70, 70, 79, 79)), ("a", 0.7, AWAY)]
    assert ap(truth, detections) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert ap(truth, detections, "11-point") == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_an_object_found_twice_is_false_the_second_time() -> None:
    """A second detection of an object is a false one."""
    truth = {"a": [(BOX, False), (AWAY, False)]}
    assert ap(truth, [("a", 0.9, BOX), ("a", 0.8, BOX), ("a", 0.7, AWAY)]) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_the_second_detection_does_not_take_the_next_best_object() -> None:
    """It overlaps two objects by half or more; the better one is taken already, so it is false."""
    truth = {"a": [((10, 10, 19, 19), False), ((10, 13, 19, 22), False)]}
    detections = [("a", 0.9, (10, 10, 19, 19)), ("a", 0.8, (10, 11, 19, 20))]  # overlaps of 9/11 and 8/12
    assert ap(truth, detections) == pytest.approx(1 / 2)


def test_a_difficult_object_counts_neither_way() -> None:
    """Finding a difficult object is neither true nor false."""
    truth = {"a": [(BOX, True), (AWAY, False)]}
    assert ap(truth, [("a", 0.9, BOX), ("a", 0.8, BOX), ("a", 0.7, AWAY)]) == 1
    assert ap(truth, [("a", 0.9, BOX)]) == 0
    assert ap(truth, [("a", 0.9, BOX)], "11-point") == 0  # 0 / 0 in the devkit


def test_a_class_of_difficult_objects_only_has_no_ap() -> None:
    """Without an object that counts there is no AP."""
    assert ap({"a": [(BOX, True)]}, [("a", 0.9, BOX)]) is None
    assert ap({}, [("a", 0.9, BOX)]) is None


def test_an_overlap_of_exactly_one_half_counts_and_pixels_are_inclusive() -> None:
    """5 of the 10 columns, by widths of xmax - xmin + 1; one column less is too little, and no +1 would be 4 of 9."""
    assert ap({"a": [(BOX, False)]}, [("a", 0.9, (10, 10, 14, 19))]) == 1
    assert ap({"a": [(BOX, False)]}, [("a", 0.9, (10, 10, 13, 19))]) == 0
    assert ap({"a": [(BOX, False)]}, [("a", 0.9, (10, 10, 13.99, 19))]) == 0
    assert ap({"a": [((5, 5, 5, 5), False)]}, [("a", 0.9, (5, 5, 5, 5))]) == 1  # a pixel is a box


@pytest.mark.parametrize("count", [2, 40])
def test_ties_are_taken_in_the_order_of_the_file(count: int) -> None:
    """40, since a sort that is not stable may well keep the order of a few."""
    truth = {"a": [(BOX, False)]}
    false = [("a", 0.5, AWAY)] * (count - 1)
    assert ap(truth, [("a", 0.5, BOX), *false]) == 1
    assert ap(truth, [*false, ("a", 0.5, BOX)]) == pytest.approx(1 / count)


def test_of_equal_overlaps_the_first_object_is_taken() -> None:
    """Here a difficult one, twice; the other order finds the object."""
    assert ap({"a": [(BOX, True), (BOX, False)]}, [("a", 0.9, BOX)]) == 0
    assert ap({"a": [(BOX, False), (BOX, True)]}, [("a", 0.9, BOX)]) == 1


def test_recalls_of_seven_tenths_do_not_reach_the_point_as_in_the_port_and_octave() -> None:
    """7 * 0.1 is a little more than 7 / 10, and so is 6 * 0.1 than 6 / 10 and 3 * 0.1 than 3 / 10."""
    for found, points in ((7, 7), (6, 6), (3, 3), (8, 9), (5, 6)):
        truth = {str(n): [(BOX, False)] for n in range(10)}
        assert ap(truth, [(str(n), 1 - n / 100, BOX) for n in range(found)], "11-point") == pytest.approx(points / 11)


@pytest.mark.parametrize("metric", ["area", "11-point"])
@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_devkits_on_random_boxes(seed: int, metric: Metric) -> None:
    """Crowded images, many ties, difficult objects, empty images, detections of a fraction of a pixel."""
    generator = np.random.default_rng(seed)
    truth: Truth = {}
    for image in range(12):
        count = int(generator.integers(0, 9))
        truth[str(image)] = (random_boxes(generator, count).astype(float), generator.random(count) < 0.2)
    objects = [(image, box) for image, (boxes, _) in truth.items() for box in boxes]
    ids, boxes = [], []
    for _ in range(300):
        image, box = objects[generator.integers(len(objects))]
        ids.append(image if generator.random() < 0.9 else str(generator.integers(12)))
        boxes.append(box + generator.integers(-4, 5, 4) / generator.choice([1, 2]))
    confidence = generator.integers(0, 60, 300) / 60
    expected = devkit(truth, ids, confidence, np.array(boxes), metric)
    assert 0.01 < expected < 0.99
    assert average_precision(truth, ids, confidence, np.array(boxes), metric) == pytest.approx(expected, abs=1e-12)


def write_detections(folder: Path, by_class: dict[str, str], split: str = "test") -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in by_class.items():
        (folder / f"comp4_det_{split}_{name}.txt").write_text(lines)
    return folder


@pytest.fixture
def ground_truth(tmp_path: Path) -> Path:
    """A folder without a photo; the set test is of two of its three images."""
    objects: dict[str, list[Object]] = {
        "000001": [("dog", *BOX), ("cat", *AWAY), ("cat", 1, 1, 5, 5, True)],
        "000002": [("dog", *BOX)],
    }
    root = write_voc(tmp_path / "VOC2007", {"test": objects}, images=False)
    write_voc(tmp_path / "more", {"val": {"000003": [("dog", *BOX), ("cow", *AWAY)]}}, images=False)
    (tmp_path / "more" / "Annotations" / "000003.xml").rename(root / "Annotations" / "000003.xml")
    (tmp_path / "more" / "ImageSets" / "Main" / "val.txt").rename(root / "ImageSets" / "Main" / "val.txt")
    return root


def test_files_are_scored(ground_truth: Path, tmp_path: Path) -> None:
    """Only the images of the split count: 000003 is in another one."""
    folder = write_detections(
        tmp_path / "found",
        {
            "dog": "000001 0.9 10 10 19 19\n000002 0.8 50 50 59 59\n",
            "cat": "\n000001  0.700000\t50 50 59 59 \r\n000001 0.9 1 1 5 5\n",
        },
    )
    found = voc.score_files(ground_truth, folder, "area")
    assert found.ap == {"cat": 1.0, "dog": 0.5}
    assert found.mean_ap == 0.75
    assert (found.images, found.missing, found.no_objects, found.notes) == (2, (), (), ())


def test_a_class_without_a_file_is_noted_and_counts_as_0(ground_truth: Path, tmp_path: Path) -> None:
    """A missing file is noted; an empty one means that nothing was found."""
    folder = write_detections(tmp_path / "found", {"dog": "000001 0.9 10 10 19 19\n"})
    found = voc.score_files(ground_truth, folder, "area")
    assert found.ap == {"cat": None, "dog": 0.5}
    assert found.mean_ap == 0.25
    assert found.missing == ("cat",)
    assert len(found.notes) == 1 and "cat" in found.notes[0]
    write_detections(folder, {"cat": ""})  # found nothing, and says so
    found = voc.score_files(ground_truth, folder, "area")
    assert (found.ap, found.mean_ap, found.notes) == ({"cat": 0.0, "dog": 0.5}, 0.25, ())


def test_a_class_without_objects_is_left_out_of_the_mean(ground_truth: Path, tmp_path: Path) -> None:
    """A class that only detections have does not lower the mean."""
    found = voc.score_files(
        ground_truth,
        write_detections(tmp_path / "found", {"dog": "", "cat": "", "cow": "000001 0.9 10 10 19 19\n"}),
        "area",
    )
    assert found.ap == {"cat": 0.0, "cow": None, "dog": 0.0}
    assert found.mean_ap == 0
    assert found.no_objects == ("cow",)
    assert any("cow" in note for note in found.notes)


def test_a_detection_outside_the_split_is_refused_as_by_the_devkit(ground_truth: Path, tmp_path: Path) -> None:
    """The error names the file, the line, the image and the split."""
    folder = write_detections(tmp_path / "found", {"dog": "000001 0.9 1 1 9 9\n000003 0.9 1 1 9 9\n"})
    with pytest.raises(DataError, match="dog.txt: line 2 .*'000003'.*'test'"):
        voc.score_files(ground_truth, folder, "area")


@pytest.mark.parametrize(
    "line",
    [
        "000001 0.9 1 1 9",
        "000001 0.9 1 1 9 9 9 9",
        "000001 0.9 1 x 9 9",
        "000001 nan 1 1 9 9",
        "000001 0.9 1 1 inf 9",
        "x",
    ],
)
def test_a_line_that_is_no_detection_is_named(ground_truth: Path, tmp_path: Path, line: str) -> None:
    """A line with too few or too many fields, or no finite numbers, is an error that names it."""
    folder = write_detections(tmp_path / "found", {"dog": f"000001 0.9 1 1 9 9\n{line}\n"})
    with pytest.raises(DataError, match=r"comp4_det_test_dog.txt: line 2"):
        voc.score_files(ground_truth, folder, "area")


def test_files_are_found_by_their_split(ground_truth: Path, tmp_path: Path) -> None:
    """Those of another split are passed over next to the right ones; alone, they are taken, with a note."""
    folder = write_detections(tmp_path / "found", {"dog": "000003 0.9 10 10 19 19\n", "cow": ""}, split="val")
    write_detections(folder, {"dog": "000001 0.9 10 10 19 19\n", "cat": ""})
    (folder / "notes.txt").write_text("no detections")
    assert voc.score_files(ground_truth, folder, "area").ap == {"cat": 0.0, "dog": 0.5}
    assert voc.score_files(ground_truth, folder, "area", "val").ap == {"cow": 0.0, "dog": 1.0}
    for name in ("dog", "cat"):
        (folder / f"comp4_det_test_{name}.txt").unlink()
    (folder / "comp4_det_val_dog.txt").write_text("000001 0.9 10 10 19 19\n")
    found = voc.score_files(ground_truth, folder, "area")
    assert found.ap == {"cat": None, "cow": None, "dog": 0.5}
    assert "comp4_det_val_cow.txt" in found.notes[0]


def test_what_windows_and_macos_add_is_passed_over(ground_truth: Path, tmp_path: Path) -> None:
    """A byte order mark, line ends, and ._ files next to the real ones."""
    folder = write_detections(tmp_path / "found", {"dog": "\ufeff000001 0.9 10 10 19 19\r\n", "cat": "\r\n"})
    (folder / "._comp4_det_test_dog.txt").write_bytes(b"\xff")
    path = ground_truth / "ImageSets" / "Main" / "test.txt"
    path.write_text("\ufeff000001\r\n000002\r\n")
    assert voc.score_files(ground_truth, folder, "area").ap == {"cat": 0.0, "dog": 0.5}


def test_a_class_name_may_have_an_underscore_and_an_image_name_a_space(tmp_path: Path) -> None:
    """Names of classes and images are not cut at these; two files of a class are an error."""
    root = write_voc(tmp_path / "own", {"test": {"my photo 1": [("traffic_light", *BOX)]}}, images=False)
    for name in ("comp4_det_test_traffic_light.txt", "comp4_0a-1_det_test_traffic_light.txt"):
        folder = tmp_path / name.partition("_det")[0]
        folder.mkdir()
        (folder / name).write_text("my photo 1 0.9 10 10 19 19\n")
        assert voc.score_files(root, folder, "area").ap == {"traffic_light": 1.0}
    (folder / "comp4_det_test_traffic_light.txt").write_text("")
    with pytest.raises(DataError, match="'traffic_light'"):
        voc.score_files(root, folder, "area")


def test_what_is_missing_is_named(ground_truth: Path, tmp_path: Path) -> None:
    """A missing folder, set, annotation or detection file is an error that names it."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty.*comp4_det_test_(cat|dog).txt"):
        voc.score_files(ground_truth, tmp_path / "empty", "area")
    with pytest.raises(DataError, match="nowhere"):
        voc.score_files(ground_truth, tmp_path / "nowhere", "area")
    with pytest.raises(DataError, match="empty.*Annotations"):
        voc.score_files(tmp_path / "empty", tmp_path, "area")
    with pytest.raises(DataError, match="train.txt.*test, val"):
        voc.score_files(ground_truth, tmp_path, "area", "train")
    (ground_truth / "Annotations" / "000002.xml").unlink()
    with pytest.raises(DataError, match="000002.xml"):
        voc.score_files(ground_truth, tmp_path, "area")


def test_a_devkit_of_one_year_is_as_good_as_its_folder(ground_truth: Path, tmp_path: Path) -> None:
    """A devkit with several years is an error that lists them."""
    folder = write_detections(tmp_path / "found", {"dog": "", "cat": ""})
    assert voc.score_files(ground_truth.parent, folder, "area").images == 2
    (ground_truth.parent / "VOC2012").mkdir()
    with pytest.raises(DataError, match="VOC2007, VOC2012"):
        voc.score_files(ground_truth.parent, folder, "area")


def an_image(name: str, boxes: list[tuple[int, ...]], labels: list[int], hard: list[bool], crowd: list[bool]):  # type: ignore[no-untyped-def]
    given = np.array(boxes, np.float32).reshape(-1, 4)
    return AnnotatedImage(
        path=Path(f"{name}.jpg"),
        id=name,
        size=(100, 80),
        boxes=given,
        labels=np.array(labels, np.int64),
        difficult=np.array(hard, bool),
        crowd=np.array(crowd, bool),
        areas=(given[:, 2:] - given[:, :2]).prod(axis=1),
    )


def test_detections_at_hand_score_exactly_as_their_files(tmp_path: Path) -> None:
    """Continuous boxes from 0 on one side, pixels counted from 1 on the other; a class that is never found too."""
    generator = np.random.default_rng(0)
    classes, images, found, written = ("dog", "cat", "emu"), [], [], {}
    for number in range(10):
        corners = random_boxes(generator, 6)
        labels, hard = generator.integers(0, 3, 6), generator.random(6) < 0.2
        images.append(an_image(str(number), (corners - (1, 1, 0, 0)).tolist(), labels, hard, [False] * 6))
        written[str(number)] = [(classes[k], *c, h) for k, c, h in zip(labels, corners.tolist(), hard, strict=True)]
        noise = generator.normal(0, 1.5, (6, 4)).astype(np.float32)
        scores = generator.random(6).astype(np.float32)
        found.append(Detections(str(number), images[-1].boxes + noise, scores, labels.astype(np.int64) % 2))
    root = write_voc(tmp_path / "VOC2012", {"test": written}, images=False)
    paths = result_files.write_voc(tmp_path / "found", found, classes)
    assert [path.name for path in paths] == [f"comp4_det_test_{name}.txt" for name in classes]
    for metric in ("area", "11-point"):
        at_hand = voc.score(images, found, classes, metric)  # type: ignore[arg-type]
        of_files = voc.score_files(root, tmp_path / "found", metric)  # type: ignore[arg-type]
        assert at_hand.ap == of_files.ap
        assert 0.1 < at_hand.mean_ap < 0.9
        assert at_hand.ap["emu"] == 0


def test_a_crowd_counts_as_difficult_and_other_images_are_refused() -> None:
    """Crowds are passed over; detections of an unknown image are an error."""
    images = [an_image("a", [(9, 9, 19, 19), (49, 49, 59, 59)], [0, 0], [False, False], [True, False])]
    boxes = np.array([(9, 9, 19, 19), (9, 9, 19, 19), (49, 49, 59, 59)], np.float32)  # the crowd, twice, and the dog
    scores, labels = np.array([0.9, 0.8, 0.7]), np.zeros(3, np.int64)
    found = [Detections("a", boxes, scores, labels)]
    assert voc.score(images, found, ("dog",), "area").ap == {"dog": 1.0}
    assert voc.score(images, [], ("dog",), "area").ap == {"dog": 0.0}
    with pytest.raises(DataError, match="image b"):
        voc.score(images, [Detections("b", boxes, scores, labels)], ("dog",), "area")
    with pytest.raises(DataError, match="object"):
        voc.score(images[:0], [], ("dog",), "area")


@pytest.mark.parametrize("name", ["n/a", "", " ", "a\nb", "\0", "\ud800", "é" * 120])
def test_names_that_files_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    """A class in the name of a file, an image in a line of it; an image may have any length, and slashes."""
    with pytest.raises(UsageError, match="class"):
        result_files.write_voc(tmp_path / "found", [], [name])
    if name not in ("n/a", "é" * 120):
        with pytest.raises(UsageError, match="image"):
            result_files.require_voc_names(["dog"], [3, name], split="test")
    assert not (tmp_path / "found").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.parametrize("metric", ["area", "11-point"])
def test_real_annotations_are_scored_as_by_the_devkit(real_data: Path, tmp_path: Path, metric: Metric) -> None:
    """The objects of VOC 2007 test, moved about at random and written with one decimal, with many equal confidences."""
    root = real_data / "voc" / "VOCdevkit" / "VOC2007"
    generator = np.random.default_rng(0)
    truth: dict[str, Truth] = {}
    lines: dict[str, list[str]] = {name: [] for name in layout.CLASSES}
    for image_id in layout.Folder(root).image_ids("test"):
        record = layout.read(root / "Annotations" / f"{image_id}.xml")
        for name, corners in zip(record.names, record.corners, strict=True):
            mine = np.array([other == name for other in record.names])
            truth.setdefault(name, {})[image_id] = (record.corners[mine], record.difficult[mine])
            for _ in range(4):
                box = corners + generator.normal(0, 0.12, 4) * np.tile(corners[2:] - corners[:2], 2)
                numbers = " ".join(f"{number:.1f}" for number in box)
                lines[name].append(f"{image_id} {generator.integers(0, 40) / 40:.3f} {numbers}\n")
    for name, entries in lines.items():
        (tmp_path / f"comp4_det_test_{name}.txt").write_text("".join(entries))
    scored = voc.score_files(root, tmp_path, metric)
    for name, entries in lines.items():
        rows = [entry.split() for entry in entries]
        numbers = np.array([row[1:] for row in rows], float)
        expected = devkit(truth[name], [row[0] for row in rows], numbers[:, 0], numbers[:, 1:], metric)
        assert scored.ap[name] == pytest.approx(expected, abs=1e-12)
    assert 0.2 < scored.mean_ap < 0.9
