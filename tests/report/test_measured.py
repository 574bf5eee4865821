"""A result file is read for what it is, and what is no result is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up as results
import pytest

from resnets.records import base
from resnets.records.audits import Audit
from resnets.records.evaluations import Errors
from resnets.records.image_parts import PartsManifest
from resnets.records.jobs import SubmittedJobs
from resnets.records.runs import StartRecord
from resnets.records.shards import ShardManifest, ShardPlan
from resnets.report.collect import collect
from resnets.report.runs import Measured, Results
from resnets.specs import FunctionSpec, PadCropFlip, Preprocessing, PrincipalColors, ScaleCropFlip, Setting, WarmUp
from resnets.training import recipes

ROOT = Path(__file__).parents[2]
SCALES = ["full", "short", "reduced", "smoke"]


def test_a_run_as_train_writes_it_is_an_answer_to_itself() -> None:
    """A run of `train` is declared as what it is, with its own errors and no departure."""
    run = results.run("resnet20", 8.5, 0.5)
    assert run.declared == Setting(network="resnet20", shortcut="A", recipe="cifar", data="cifar10")
    assert (run.scale, run.departures, run.depth, run.is_residual) == ("full", (), 20, True)
    assert run.errors == {"single-view": Errors(8.5, 8.5 / 4)}
    assert run.curve[-1].tested == 8.5 and run.curve_on == "test"


def test_a_registered_network_is_not_residual_by_its_name() -> None:
    """Only the declaration in the record says whether a network has the paper's shortcuts."""
    found = results.result("resnet20", 9)
    spec = FunctionSpec(name="resnet_mine", module="mine", input_size=32, num_classes=10)
    network = found.run.network.with_changes(name=spec.name, spec=spec)
    run = results.shown(found.with_changes(run=found.run.with_changes(network=network)))
    assert (run.network, run.is_residual) == ("resnet_mine", False)


def test_every_committed_result_is_one() -> None:
    """Nothing under results/ is left out; the first of them has no top-5 error and says where it ran."""
    found = collect([ROOT / "results"])
    assert not [problem for problem in found.problems if "not shown" in problem]
    (run,) = (run for run in found.runs if run.file == "results/cifar10/resnet20-4000-iterations.json")
    assert run.errors["single-view"] == Errors(16.71, None)
    assert run.provenance[0].hardware["processor"] == "AMD EPYC"
    assert run.departures == ("short: 4,000 of 64,000 iterations",)


@pytest.mark.parametrize("named", ["full", "short", "smoke"])
@pytest.mark.parametrize(
    ("iterations", "scale"),
    [(64_000, "full"), (4_000, "short"), (39_062, "short"), (3_999, "reduced"), (70_000, "full")],
)
def test_a_run_can_never_pass_for_more_than_it_is(iterations: int, scale: str, named: str) -> None:
    """Its length gives the largest scale that its file may claim."""
    run = results.result("resnet20", 9, iterations=iterations)
    assert results.shown(run).scale == scale
    assert results.shown(results.reproduced(run, scale=named)).scale == max(scale, named, key=SCALES.index)


def test_a_departure_in_scale_is_more_than_its_length() -> None:
    """A full-length run of few images is a trial, and is not said to be of fewer iterations."""
    full_length = results.shown(results.reproduced(results.result("resnet20", 9), scale="smoke"))
    assert full_length.departures == ("smoke scale",)


def test_a_recipe_of_one_s_own_departs_from_nothing() -> None:
    """Its declared length is not known, so the run's own is the full one."""
    own = results.run("resnet20", 9, iterations=4_000, recipe_changes={"name": "mine"})
    assert (own.scale, own.departures) == ("full", ())


def test_what_reproduce_says_counts_before_what_follows() -> None:
    """A run of the digits that stands for one of CIFAR-10 is that, at its scale, and says so."""
    declared = {"shortcut": None, "recipe": "cifar", "data": "cifar10"}
    of_digits = results.result("resnet20", 5, recipe="digits", data="digits")
    run = results.shown(results.reproduced(of_digits, scale="smoke", declared=declared))
    assert run.declared == Setting(network="resnet20", shortcut="A", recipe="cifar", data="cifar10")
    assert run.departures == (
        "digits instead of cifar10",
        "smoke: 200 of 64,000 iterations",
        "recipe digits instead of cifar",
    )


START = StartRecord(file="x.safetensors", sha256="0" * 64)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"recipe_changes": {"lr": 1 / 3}}, "lr 0.3333 instead of 0.1"),
        ({"recipe_changes": {"milestones": (1, 2)}}, "milestones 1, 2 instead of 32000, 48000"),
        (
            {"recipe_changes": {"augmentation": PadCropFlip(pad=2, flip=True)}},
            "augmentation pad 2 instead of 4",
        ),
        ({"network_changes": {"residual_layers": 3}}, "shortcuts span 3 layers"),
        ({"network_changes": {"initialization": "he_fan_out"}}, "initialisation he_fan_out"),
        ({"split": "45k5k"}, "cifar10 (45k5k) instead of cifar10"),
        ({"iterations": 70_000}, "70,000 iterations instead of 64,000"),
        ({"run_changes": {"start": START}}, "started from trained weights"),
        ({"run_changes": {"class_weights": {"0": 2.0}}}, "the classes weigh differently in the loss"),
        ({"network_changes": {"in_channels": 1}}, "images of 1 channel instead of 3"),
    ],
)
def test_a_run_that_changes_something_says_so(options: dict[str, Any], change: str) -> None:
    """Each departure from the declared training is one phrase, with both values."""
    changed: Any = results.result("resnet20", 9, **options)
    assert results.shown(results.reproduced(changed)).departures == (change,)


@pytest.mark.parametrize(
    ("network", "changes"), [("maxout", ()), (None, ()), ("nin", ("learned from nin instead of maxout",))]
)
def test_another_teacher_is_a_change(network: str | None, changes: tuple[str, ...]) -> None:
    """Of Table 6's FitNet, which learned from a Maxout network; a record without the name is taken as it is."""
    taught = {"teacher": START.with_changes(network=network)}
    assert results.run("fitnet19", 9, recipe="authors-fitnet", run_changes=taught).changes == changes


def test_a_part_of_the_preprocessing_that_was_left_out_is_named() -> None:
    """NIN without contrast normalisation and whitening is said to be without them."""
    run = results.run("nin", 10, recipe="authors-nin", recipe_changes={"preprocessing": Preprocessing()})
    assert run.changes == ("no contrast normalisation", "no ZCA whitening")


def test_images_are_known_by_what_they_are_and_not_by_their_name() -> None:
    """A folder that is called cifar10 is not CIFAR-10, and ImageNet is ImageNet wherever it lies."""
    other = results.run("resnet20", 9.0, data_changes={"digest": "of others"})
    assert other.declared.data == "what is called cifar10"

    def of_photos(**changes: Any) -> Measured:
        return results.run("resnet34", 25.0, recipe="imagenet", data="imagenet", data_changes=changes)

    assert of_photos(name="ILSVRC2012").departures == ()
    assert of_photos(name="ILSVRC2012", classes=tuple(map(str, range(100)))).data == "ILSVRC2012"


def test_what_is_fitted_to_the_images_is_no_change() -> None:
    """The axes of the colours are declared by their spread alone; the spread itself counts."""

    def departures(std: float) -> tuple[str, ...]:
        colors = PrincipalColors(std=std, values=(0.2, 0.01, 0.003), vectors=((1.0, 0.0, 0.0),) * 3)
        augmentation = recipes.IMAGENET.augmentation
        assert isinstance(augmentation, ScaleCropFlip)
        changes = {"augmentation": augmentation.with_changes(colors=colors)}
        return results.run("resnet34", 25.0, recipe="imagenet", data="imagenet", recipe_changes=changes).departures

    assert departures(0.1) == ()
    assert departures(0.2) != ()


def test_what_changes_no_weight_is_no_change() -> None:
    """How often is tested, and a warm-up that the network is too shallow for."""
    changes = {"evaluate_every": 7, "warm_up": None, "source": "elsewhere"}
    assert results.run("resnet20", 9, recipe_changes=changes).changes == ()
    assert results.run("resnet110", 9, recipe_changes={"warm_up": None}).changes != ()
    warmed_up = WarmUp(from_depth=20)
    assert results.run("resnet20", 9, recipe_changes={"warm_up": warmed_up}).changes != ()


def test_the_curve_of_a_split_is_of_its_validation_images() -> None:
    """With a held-out part the curve is of that part, and the test error of the test images."""
    content = results.result("resnet20", 8.0, split="45k5k").with_changes(test_error=9.0)
    run = results.shown(content)
    assert (run.curve_on, run.curve[-1].tested, run.errors["single-view"].top1) == ("validation", 8.0, 9.0)


@pytest.mark.parametrize(
    ("where", "value", "named"),
    [
        ("result.test_error", None, "$.result.test_error"),  # as a number that is not finite is written
        ("result.curve", None, "$.result.curve"),
        ("result.run", {}, "$.result.run"),
        ("result.run.recipe.iterations", 0, "$.result.run.recipe"),
        ("result.run.provenance", None, "$.result.run.provenance"),
        ("scale", "huge", "$.scale"),
        ("errors.ten-crop", {}, "$.errors"),
    ],
)
def test_what_is_no_result_says_where(tmp_path: Path, where: str, value: object, named: str) -> None:
    """The other files are shown."""
    content = base.as_json(results.reproduced(results.result("resnet20", 9)))
    *path, last = where.split(".")
    inner = content
    for key in path:
        inner = inner[key]
    inner[last] = value
    found = results.read(results.write(tmp_path / "r", broken=content, good=results.result("resnet20", 8)))
    assert [run.file for run in found.runs] == ["r/good.json"]
    (problem,) = found.problems
    assert problem.startswith("r/broken.json: not shown") and named in problem


def test_a_curve_without_errors_is_no_result(tmp_path: Path) -> None:
    """A run whose curve lacks its last error is not shown, and named."""
    content = results.result("resnet20", 9)
    point = content.curve[-1].with_changes(test_error=None)
    found = results.read(
        results.write(tmp_path / "r", a=content, b=content.with_changes(curve=(*content.curve[:-1], point)))
    )
    assert "its curve has no error at iteration 64,000" in found.problems[0]


# ---------------------------------------------------------------- files


def test_a_folder_is_searched_and_what_is_no_result_is_named(tmp_path: Path) -> None:
    """Of a folder all results are shown, and each other JSON file is a problem of one line."""
    folder = results.write(
        tmp_path / "results", one=results.result("resnet20", 9), two={"a": 1}, three=[1], run={"no": "result"}
    )
    (folder / "four.json").write_text("{")
    results.write(folder, six={"matrix_rates": {}})
    (folder / "five.json").write_bytes(b"\xff\xfe\x00")
    found = collect([folder])
    assert [run.file for run in found.runs] == ["results/one.json"]
    assert sorted(problem.split(":")[0] for problem in found.problems) == [
        f"results/{name}.json" for name in ("five", "four", "six", "three", "two")
    ]
    assert all("\n" not in problem for problem in found.problems)


def test_files_of_the_package_that_are_no_results_are_passed_over(tmp_path: Path) -> None:
    """Such as the jobs of a cluster and the detections next to an evaluation, of which no note is of use."""
    manifest = ShardManifest(plan="a", name="b", classes=("c",), splits={})
    parts = PartsManifest(
        content="features", weights="a", columns=(), settings={}, parts=1, listing="b", provenance=results.PROVENANCE
    )
    audit = Audit(source="a", name="a", classes=1, splits={}, findings=(), would_fail=False, counts={})
    records = {"jobs": SubmittedJobs(), "manifest": manifest, "_manifest": parts, "found": audit}
    records |= {".plan": ShardPlan(plan="a", shards=1)}
    lists: dict[str, Any] = {"detections": [], "detections_test_results": [], "segmentations_val_results": []}
    folder = results.write(tmp_path / "r", one=results.result("resnet20", 9), **records, **lists)
    assert results.read(folder).problems == ()


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    """A run on another disk has the name of its link; links to what is searched anyway add nothing, nor do loops."""
    results.write(tmp_path / "runs" / "here", result=results.result("resnet20", 9))
    far = results.write(tmp_path / "disk" / "x7", result=results.result("resnet32", 8))
    results.write(far / "deep", result=results.result("resnet44", 7))
    links = {
        "runs/far": far,
        "runs/again": far,
        "runs/best": "here",
        "runs/here/up": "..",
        "disk/x7/back": "../../runs",
    }
    for link, target in links.items():
        (tmp_path / link).symlink_to(target, target_is_directory=True)
    files = [run.file for run in collect([tmp_path / "runs"]).runs]
    assert files == ["runs/again/deep/result.json", "runs/again/result.json", "runs/here/result.json"]
    (tmp_path / "link").symlink_to("runs", target_is_directory=True)
    assert [run.file for run in collect([tmp_path / "link"]).runs] == files


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    """A folder and a file in it give one run."""
    folder = results.write(tmp_path / "r", one=results.result("resnet20", 9))
    assert len(collect([folder, folder / "one.json"]).runs) == 1


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_run_and_what_reproduce_made_of_it_count_once(tmp_path: Path, names: str) -> None:
    """Whichever comes first: the one that says what it was declared as, and by which name its data is known."""
    of_digits = results.result("resnet20", 9, data="digits")
    of_few = results.result("resnet20", 9, iterations=5)
    declared = results.reproduced(of_digits, declared={"data": "cifar10"}, scale="smoke")
    named = results.reproduced(of_few, data="cifar10 (2,000 + 400 images)", scale="smoke")
    for folder, plain, made in (("digits", of_digits, declared), ("few", of_few, named)):
        files = dict(zip(names, (plain, made), strict=True))
        (run,) = collect([results.write(tmp_path / folder, **files)]).runs
        assert (run.declared.data, run.data) == ("cifar10", made.data)


def test_runs_on_other_images_are_other_runs(tmp_path: Path) -> None:
    """Two folders of one name and two runs of the same numbers, as short ones have: both are shown and count."""
    files = {name: results.result("resnet20", 9, data="pets", data_changes={"digest": name}) for name in "ab"}
    found = results.read(results.write(tmp_path / "r", **files))
    assert len(found.runs) == 2 and not found.problems


def test_of_two_runs_of_one_seed_the_first_file_counts_and_the_other_is_named(tmp_path: Path) -> None:
    """Two trainings of one seed are both shown, and the second is a problem that names the first."""
    first, second = results.result("resnet20", 8.9), results.result("resnet20", 8.5)
    files = {"a": first, "b": second.with_changes(seconds=second.seconds + 1)}
    found = results.read(results.write(tmp_path / "r", **files, c=results.result("resnet20", 8.7, seed=1)))
    assert len(found.runs) == 3
    (problem,) = found.problems
    assert problem.startswith("r/b.json: ") and "r/a.json" in problem


def test_a_test_is_of_the_images_and_not_of_their_name(tmp_path: Path) -> None:
    """What is called cifar10 is not CIFAR-10, and what a run was trained on is that in a folder of any name."""
    run = results.result("resnet20", 8.14)

    def read(name: str, digest: str | None) -> Results:
        test = results.evaluated(("resnet20", 8.6, run), data=name, digest=digest, protocol="ten-crop")
        return results.read(results.write(tmp_path / name / str(digest), run=run, result=run, test=test))

    same, renamed = read("cifar10", None), read("elsewhere", run.run.data.digest)
    other = read("cifar10", "of others")
    assert same.runs[0].errors["ten-crop"].top1 == renamed.runs[0].errors["ten-crop"].top1 == 8.6
    assert {*other.runs[0].errors} == {"single-view"}
    assert "a test on other images (10,000 of cifar10)" in other.problems[0]


def test_the_test_of_training_is_not_replaced() -> None:
    """A later test by the same protocol leaves the error that training measured."""
    again = results.reproduced(results.result("resnet20", 8.14), errors={"single-view": Errors(8.6, 1.0)})
    assert {name: one.top1 for name, one in results.shown(again).errors.items()} == {"single-view": 8.14}


def test_runs_of_the_same_name_are_distinguished(tmp_path: Path) -> None:
    """Two folders whose names differ in punctuation have different anchors on the page."""
    for seed, name in enumerate(("a/x", "a-x")):
        results.write(tmp_path / "r" / name, result=results.result("resnet20", 9, seed=seed))
    found = collect([tmp_path / "r"])
    assert {found.key(run) for run in found.runs} == {"run-r-a-x", "run-r-a-x-2"}


def test_costs_are_found_by_network_and_option(tmp_path: Path) -> None:
    """A network without a named option has its default one's costs."""
    found = results.read(results.write(tmp_path / "r", costs=results.COSTS))
    cost = found.cost("resnet18", "A", "imagenet")
    assert cost is not None and cost.stages[1].output_size == (56, 56)
    assert found.cost("resnet18", None, None) is None  # its default is option B
    assert found.cost("resnet20", None, None) is found.cost("resnet20", "A", "cifar10")
