"""Localisers learn their images, resume to the last bit, and answer alike by each way to test them. Appendix C."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from observing import Crash, CrashAt
from small_localisers import BY_HEART, CLASS_IDS, RCNN, SIDE, TinyLocaliser, save_classifier, train, write_clsloc

import resnets
from resnets.errors import DataError, UsageError, WeightsError
from resnets.localisation.evaluate import evaluate_localiser
from resnets.localisation.localiser import load_localiser
from resnets.localisation.score import read_guesses, score_guesses
from resnets.localisation.sources import load_localisation_data
from resnets.localisation.train import LocaliserResult, train_localiser
from resnets.records.base import as_json
from resnets.records.runs import LocaliserResult as Record
from resnets.report.collect import collect
from resnets.specs import LocalisationRecipe
from resnets.training.run_folder import RunFolder
from resnets.weights import weights_file
from resnets.weights.tensor_file import read_tensors, write_tensors

pytestmark = [
    pytest.mark.filterwarnings("ignore:a localiser that starts from random weights"),
    pytest.mark.filterwarnings("ignore:.* of an epoch"),
]

CROPPED = BY_HEART.with_changes(
    iterations=4,
    milestones=(),
    augmentation=BY_HEART.augmentation.with_changes(longest=48, flip=True),  # type: ignore[union-attr]
)


@pytest.fixture(scope="module")
def second(tiny_localiser: TinyLocaliser, tmp_path_factory: pytest.TempPathFactory) -> LocaliserResult:
    """A per-class R-CNN of four iterations on the proposals of the tiny localiser."""
    out = tmp_path_factory.mktemp("second") / "run"
    return train(tiny_localiser.data, out, RCNN, rpn=tiny_localiser.run, save_every=2)


@pytest.fixture(scope="module")
def guesser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the three classes, which has learnt nothing."""
    return save_classifier(tmp_path_factory.mktemp("classifier"))


def test_it_learns_a_few_images_by_heart(tiny_localiser: TinyLocaliser) -> None:
    """The error on the training images is 0, the losses fell, and the result records the run."""
    result = RunFolder(tiny_localiser.run).result(Record)
    assert result is not None
    assert result.scores.true_class_error == 0
    first, *_, last = result.curve
    assert last.loss < first.loss / 3
    assert last.losses.keys() == {"class_loss", "box_loss"}
    assert result.run.network.detector == "rpn"
    assert isinstance(result.run.recipe, LocalisationRecipe) and result.run.recipe.anchor_sizes == (9, 18, 32)


def test_dense_is_the_centre_crop_where_both_see_the_same(tiny_localiser: TinyLocaliser) -> None:
    """On square images at the scale of the crop, whole images are the crops, with the same boxes and scores."""
    options = {"workers": 0, "device": "cpu"}
    crop = evaluate_localiser(tiny_localiser.run, f"clsloc:{tiny_localiser.data}", protocol="center", **options)
    dense = evaluate_localiser(
        tiny_localiser.run, f"clsloc:{tiny_localiser.data}", protocol="dense", scales=[SIDE], **options
    )
    assert crop.scores == dense.scores
    assert (crop.protocol, dense.protocol, dense.scales) == ("center-crop", "dense-multi-scale", (SIDE,))


def test_the_images_that_a_run_held_out(tmp_path: Path) -> None:
    """Without data they are those of the run, divided as it divided them; other boxes are other data."""
    write_clsloc(tmp_path / "data")
    train(tmp_path / "data", tmp_path / "run", CROPPED, split="50%", seed=3)
    result = RunFolder(tmp_path / "run").result(Record)
    assert result is not None and result.validation_scores is not None
    options: dict[str, Any] = {"workers": 0, "device": "cpu", "protocol": "center"}
    held_out = evaluate_localiser(tmp_path / "run", split="validation", **options)
    assert held_out.scores.true_class_error == result.validation_scores.true_class_error
    assert held_out.scores.images == 3 == evaluate_localiser(tmp_path / "run", split="train", **options).scores.images
    boxes = tmp_path / "data" / "LOC_train_solution.csv"
    boxes.write_text(boxes.read_text().replace(" 3", " 2"))
    with pytest.raises(DataError, match="--data"):
        evaluate_localiser(tmp_path / "run", **options)


@pytest.mark.parametrize("stage", ["rpn", "rcnn"])
def test_resumed_to_the_last_bit(
    tiny_localiser: TinyLocaliser, second: LocaliserResult, tmp_path: Path, stage: str
) -> None:
    """A run of either stage that died and was resumed has the same weights as one that never stopped.

    Proposals are computed once, image by image with their progress.
    """
    recipe, rpn = (CROPPED, None) if stage == "rpn" else (RCNN, tiny_localiser.run)
    done: list[tuple[int, int]] = []
    settings = {"rpn": rpn, "progress": lambda *count: done.append(count)}
    whole = second if stage == "rcnn" else train(tiny_localiser.data, tmp_path / "whole", recipe)
    with pytest.raises(Crash):
        train(tiny_localiser.data, tmp_path / "run", recipe, save_every=2, observers=[CrashAt(3)], **settings)
    images = len(load_localisation_data(f"clsloc:{tiny_localiser.data}").train)
    assert done == ([] if rpn is None else [(count, images) for count in range(1, images + 1)])
    stored = sorted((tmp_path / "run").glob("proposals/*"))
    before = [path.stat().st_mtime_ns for path in stored]
    done.clear()
    again = train(tiny_localiser.data, tmp_path / "run", recipe, resume=True, **settings)
    assert bool(stored) == (stage == "rcnn") and not done
    assert [path.stat().st_mtime_ns for path in stored] == before  # they were read
    ours, theirs = (read_tensors(one.folder / "weights.safetensors")[0] for one in (again, whole))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.scores == whole.scores


def test_a_second_stage_holds_the_first(tiny_localiser: TinyLocaliser, second: LocaliserResult) -> None:
    """Its weights file has both networks, the RPN is the one that it was trained on, and its log counts images."""
    both, first = load_localiser(second.folder, device="cpu"), load_localiser(tiny_localiser.run, device="cpu")
    assert (both.names, first.names) == (("resnet8", "resnet8"), ("resnet8",))
    ours, theirs = both.rpn.state_dict(), first.rpn.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    run = RunFolder(second.folder).record()
    assert run is not None and run.rpn is not None and run.rpn.of == "localiser"
    assert sum(line.images for line in RunFolder(second.folder).logged()) == 4 * 2  # of 4 regions each


def test_guesses_of_a_classifier(
    tiny_localiser: TinyLocaliser, second: LocaliserResult, guesser: Path, tmp_path: Path
) -> None:
    """With three classes the best of three guesses is the box of the true class; files score as the evaluation does."""
    for weights in (tiny_localiser.run, second.folder):
        found = evaluate_localiser(
            weights,
            f"clsloc:{tiny_localiser.data}",
            classifier=guesser,
            protocol="center",
            out=tmp_path / "found",
            workers=0,
            device="cpu",
        )
        scores = found.scores
        assert scores.errors is not None and scores.class_errors is not None
        assert scores.errors[2] == scores.errors[4] == scores.true_class_error
        assert scores.class_errors[2] == 0 and found.classifiers == ("resnet8",)
        files = score_guesses(tiny_localiser.data, tmp_path / "found" / "guesses_test.txt")
        assert (files.errors, files.class_errors) == (scores.errors, scores.class_errors)
        (run,) = collect([weights / "result.json", tmp_path / "found"]).localisers
        assert run.tests == {"center-crop": scores}  # the run's own test of the true class hides no guesses
    ids = {label for one in read_guesses(tmp_path / "found" / "guesses_test.txt") for label in one.labels.tolist()}
    assert ids == {*CLASS_IDS}


def test_an_ensemble_of_one_localiser_twice(
    tiny_localiser: TinyLocaliser, second: LocaliserResult, guesser: Path
) -> None:
    """Answers as it does alone, in both stages, and with a classifier twice."""
    for weights in (tiny_localiser.run, second.folder):
        alone, twice = (
            evaluate_localiser(
                [weights] * count,
                f"clsloc:{tiny_localiser.data}",
                classifier=[guesser] * count,
                protocol="center",
                workers=0,
                device="cpu",
            )
            for count in (1, 2)
        )
        assert alone.scores == twice.scores
        assert len(twice.networks) == 2


def test_only_the_server_knows(tiny_localiser: TinyLocaliser, guesser: Path, tmp_path: Path) -> None:
    """Test images without boxes get a line each in the server's file, and no score; without one they are refused."""
    write_clsloc(tmp_path / "data")
    (tmp_path / "data" / "Data" / "CLS-LOC" / "val").rename(tmp_path / "data" / "Data" / "CLS-LOC" / "test")
    data = load_localisation_data(f"clsloc:{tmp_path / 'data'}@train/test")
    options = {"protocol": "center", "workers": 0, "device": "cpu"}
    with pytest.raises(UsageError, match="classifier and out"):
        evaluate_localiser(tiny_localiser.run, data, **options)
    found = evaluate_localiser(tiny_localiser.run, data, classifier=guesser, out=tmp_path / "found", **options)
    assert found.scores.errors is None
    assert [len(one.labels) for one in read_guesses(tmp_path / "found" / "guesses_test.txt")] == [3] * 6
    unnumbered = dataclasses.replace(data, class_ids=None)
    with pytest.raises(UsageError, match=r"map_clsloc\.txt"):
        evaluate_localiser(tiny_localiser.run, unnumbered, classifier=guesser, out=tmp_path, **options)


def test_boxes_on_image_files(tiny_localiser: TinyLocaliser, guesser: Path, tmp_path: Path) -> None:
    """Each class comes with the box that the evaluation finds; a file that is no image is an answer too."""
    images = tiny_localiser.data / "Data" / "CLS-LOC" / "val"
    (tmp_path / "no.jpg").write_text("no image")
    found = list(
        resnets.locate(
            tiny_localiser.run,
            [images, tmp_path / "no.jpg"],
            classifier=guesser,
            top=3,
            out=tmp_path / "drawn",
            protocol="center",
            device="cpu",
        )
    )
    assert len(found) == 7 and isinstance(found[-1][1], DataError)
    for (path, guesses), one in zip(found, tiny_localiser.drawn, strict=False):
        assert isinstance(guesses, list) and len(guesses) == 3
        (own,) = [guess.box for guess in guesses if guess.name.startswith(one.wnid)]
        truth = np.add(one.box, (0, 0, 1, 1))
        assert np.abs(np.asarray(own) - truth).max() < 8, path
    assert (tmp_path / "drawn" / "detections.json").is_file()


def test_a_classifier_with_its_classes_in_another_order(
    tiny_localiser: TinyLocaliser, guesser: Path, tmp_path: Path
) -> None:
    """Its guesses are located by the names of the classes, in an evaluation and on image files."""
    known = weights_file.load(guesser)
    network = known.build()
    network.fc.load_state_dict({name: tensor.flip(0) for name, tensor in network.fc.state_dict().items()})  # type: ignore[union-attr,operator]
    turned = tmp_path / "turned.safetensors"
    assert known.classes is not None
    weights_file.save(turned, network, classes=known.classes[::-1], input_spec=known.input_spec)
    data, options = f"clsloc:{tiny_localiser.data}", {"protocol": "center", "device": "cpu"}
    with pytest.warns(UserWarning, match="another order"):
        ours = evaluate_localiser(tiny_localiser.run, data, classifier=turned, workers=0, **options)
    theirs = evaluate_localiser(tiny_localiser.run, data, classifier=guesser, workers=0, **options)
    assert ours.scores == theirs.scores
    image = tiny_localiser.data / "Data" / "CLS-LOC" / "val" / f"{tiny_localiser.drawn[0].name}.JPEG"
    answers = [list(resnets.locate(tiny_localiser.run, image, classifier=one, **options)) for one in (turned, guesser)]
    (found, again) = (answer[0][1] for answer in answers)
    assert isinstance(found, list) and isinstance(again, list)
    assert [(one.name, one.box) for one in found] == [(one.name, one.box) for one in again]


def test_what_does_not_fit_is_refused(tiny_localiser: TinyLocaliser, guesser: Path, tmp_path: Path) -> None:
    """Stages without their RPN, other classes, protocols and networks, and weights of another kind."""
    data, out = f"clsloc:{tiny_localiser.data}", tmp_path / "run"
    with pytest.raises(UsageError, match="needs a trained RPN"):
        train(tiny_localiser.data, out, RCNN)
    with pytest.raises(UsageError, match="needs no other"):
        train(tiny_localiser.data, out, BY_HEART, rpn=tiny_localiser.run)
    with pytest.raises(UsageError, match="anchor_sises"):
        train(tiny_localiser.data, out, anchor_sises=[3])
    for stage, setting in ((BY_HEART, {"proposals": 5}), (RCNN, {"rpn": tiny_localiser.run, "anchors": [8]})):
        with pytest.raises(UsageError, match=f"{[*setting][-1]} is a setting of"):
            train(tiny_localiser.data, out, stage, **setting)
    with pytest.raises(UsageError, match=r"anchors is \[8, 'x'\]"):
        train(tiny_localiser.data, out, anchors=[8, "x"])
    with pytest.raises(UsageError, match="ten-crop"):
        evaluate_localiser(tiny_localiser.run, data, protocol="ten")
    with pytest.raises(UsageError, match="a residual or a plain network"):
        train_localiser("nin", data, weights=None, recipe=BY_HEART, out=out, device="cpu")
    with pytest.raises(WeightsError, match="not a localiser"):
        evaluate_localiser(guesser, data)
    with pytest.raises(WeightsError, match="a localiser's weights"):
        resnets.load(tiny_localiser.run)
    other = dataclasses.replace(load_localisation_data(data), classes=("a", "b", "c"))
    with pytest.raises(DataError, match="3 classes, a"):
        evaluate_localiser(tiny_localiser.run, other)
    with pytest.raises(DataError, match="other classes"):
        train_localiser("resnet8", other, weights=None, rpn=tiny_localiser.run, recipe=RCNN, out=out, device="cpu")


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("rpn", None, r"\$\.rpn"),
        ("rcnn", {}, r"\$\.rcnn"),
        ("classes", [3], r"\$\.classes"),
        ("classes", ["one"], "of another shape"),
        ("kind", "detector weights", "detector|input|network|unknown"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    tiny_localiser: TinyLocaliser, tmp_path: Path, field: str, value: Any, wrong: str
) -> None:
    """The field that is wrong is named, or what does not fit the tensors."""
    tensors, header = read_tensors(tiny_localiser.run / "weights.safetensors")
    write_tensors(tmp_path / "w.safetensors", tensors, as_json(header) | {field: value})
    with pytest.raises(WeightsError, match=wrong):
        load_localiser(tmp_path / "w.safetensors", device="cpu")
