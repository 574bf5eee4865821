"""A reproduction from its plan to its page: on the digits, five iterations a run."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from observing import Recorder

import resnets
from resnets.errors import DataError, Interrupted, RunError, TrainingError, UsageError
from resnets.networks.complexity import Complexity
from resnets.planning.forecast import Rates
from resnets.records.base import read, write
from resnets.records.evaluations import Errors, ReproducedRun
from resnets.records.runs import ClassifierResult
from resnets.report.collect import collect
from resnets.reproduction import estimates, planned_run, summary
from resnets.reproduction import run as run_module
from resnets.reproduction.planned_run import PlannedRun
from resnets.specs import Setting

pytestmark = pytest.mark.usefixtures("one_thread")

PLAN = {"only": "resnet-20-layers", "scale": "smoke", "data": "digits", "device": "cpu"}
ROW = PLAN | {"workers": 0}
RATES = Rates(step=1.0, start=0.0, test=0.0, final_test=0.0, save=0.0, log=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> resnets.Reproduction:
    """ResNet-20's row of Table 6. Its folder is only read."""
    return resnets.reproduce("table6", out=tmp_path_factory.mktemp("table6"), **ROW)


@pytest.fixture
def copied(made: resnets.Reproduction, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return shutil.copytree(made.plan.out, tmp_path / "copy")


def recorded(file: Path) -> ReproducedRun:
    """Return what a result file holds."""
    record = read(file, ReproducedRun)
    assert record is not None
    return record


def result_of(made: resnets.Reproduction) -> ClassifierResult:
    """Return the result of the first run."""
    result = recorded(made.plan.runs[0].file).result
    assert isinstance(result, ClassifierResult)
    return result


def test_a_run_makes_a_result_file_that_says_what_it_is(made: resnets.Reproduction) -> None:
    """The file has the declared setting, the data, the scale, responses and provenance; checkpoints are gone."""
    found = recorded(made.plan.runs[0].file)
    assert made.made == ("resnet20-cifar-cifar10_digits-smoke-seed0",)
    assert (found.scale, found.data, found.result.run.recipe.iterations) == ("smoke", "digits", 5)
    assert found.declared == Setting(network="resnet20", shortcut="A", recipe="cifar", data="cifar10")
    assert found.identity == made.plan.runs[0].identity
    assert len(found.responses) == 19  # Figure 7 draws this network
    assert all(None not in (one.std, one.median, one.batch_std, one.batch_median) for one in found.responses)
    assert [point.iteration for point in found.result.curve] == [3, 5]
    assert found.result.run.provenance[0].versions["resnets"] == resnets.__version__
    folder = made.plan.runs[0].folder
    assert (folder / "weights.safetensors").exists()
    assert not list((folder / "checkpoints").iterdir())  # of no more use
    assert made.plan.runs[0].file.stat().st_size < 20_000


def test_it_is_set_beside_the_paper_and_passes_for_nothing_else(made: resnets.Reproduction) -> None:
    """The row has the published and the measured error, and is reduced, with both reasons; none is reproduced."""
    (row,) = made.tables[0].rows
    assert row.row.label == "ResNet, 20 layers"
    assert row.verdict.status == "reduced"
    assert "digits instead of cifar10; smoke: 5 of 64,000 iterations" in row.verdict.why
    error = next(cell for cell in row.cells if cell.column.name == "error")
    assert error.published is not None and error.published.value == 8.75
    assert error.measured == result_of(made).test_error
    depth = next(cell for cell in row.cells if cell.column.name == "# layers")
    assert depth.verdict.status == "counted"  # known without training
    assert "reproduced" not in made.report.counts and made.report.counts["reduced"] == 1
    assert made.report.page == made.plan.out / "site" / "index.html"
    assert "ResNet, 20 layers" in made.report.page.read_text()
    assert made.report.problems == ()


def test_what_is_done_is_not_made_again(made: resnets.Reproduction) -> None:
    """A second call trains nothing, and Figure 7 has the same run."""
    observers: list[Recorder] = []

    def observe(_: PlannedRun) -> Recorder:
        observers.append(Recorder())
        return observers[-1]

    again = resnets.reproduce("table6", out=made.plan.out, observe=observe, **ROW)
    assert (again.made, again.done_before) == ((), made.made)
    assert observers == []
    shared = resnets.plan_reproduction("figure7", out=made.plan.out, only="resnet-20", scale="smoke", data="digits")
    assert [run.state for run in shared.runs] == ["done"]  # the same run, with its responses


def test_another_recipe_data_or_version_is_another_run(
    made: resnets.Reproduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images, seeds and version make the identity of a run; the name of its data does not."""

    def states(**changes: Any) -> list[str]:
        plan = resnets.plan_reproduction("table6", out=made.plan.out, **PLAN | changes)
        return [run.state for run in plan.runs]

    digits = resnets.load_data("digits")
    assert states(data=digits) == ["done"]  # the same images, however they are named
    assert states(data=dataclasses.replace(digits, digest="other")) == ["to do"]
    assert states(seeds=2) == ["done", "to do"]
    monkeypatch.setattr(planned_run, "__version__", "9.9")
    assert states() == ["to do"]


def test_scales_do_not_pass_for_each_other(made: resnets.Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scale is a run of its own, and a file that claims a larger one is read by its length."""
    monkeypatch.setattr(estimates, "measure_quickly", lambda *_: RATES)
    for scale, iterations in (("short", 4_000), ("full", 64_000)):
        plan = resnets.plan_reproduction("table6", out=made.plan.out, only="resnet20", scale=scale, data="digits")
        (run,) = plan.todo
        assert run.recipe.iterations == plan.seconds == iterations
        assert run.file != made.plan.runs[0].file
    file = made.plan.out / "claim.json"
    write(file, recorded(made.plan.runs[0].file).with_changes(scale="full", data="cifar10"))
    assert collect([file]).runs[0].scale == "reduced"  # whatever the file says, its length counts
    file.unlink()


def test_seeds_start_at_0_and_come_network_by_network(copied: Path) -> None:
    """The first seed of each network before the second of any; a row has the mean of its seeds."""
    options = {"scale": "smoke", "data": "digits", "seeds": 2, "out": copied}
    plan = resnets.plan_reproduction("table6", only=["resnet20", "resnet32"], **options)
    runs = [(run.task.training.network, run.seed) for run in plan.runs]
    assert runs == [("resnet20", 0), ("resnet32", 0), ("resnet20", 1), ("resnet32", 1)]
    (row,) = resnets.reproduce("table6", out=copied, **ROW | {"seeds": 2}).tables[0].rows
    assert [run.seed for run in row.runs] == [0, 1]
    error = next(cell for cell in row.cells if cell.column.name == "error")
    assert error.measured == pytest.approx(sum(error.values) / 2) and error.std is not None


def test_interrupted_it_goes_on_where_it_was(tmp_path: Path, made: resnets.Reproduction) -> None:
    """SIGTERM in the second iteration: it is saved; --resume is required, and ends as if nothing had happened."""

    def interrupting(_: PlannedRun) -> Recorder:
        return Recorder(after=1, do=lambda: os.kill(os.getpid(), signal.SIGTERM))  # shown once it is saved

    def resume(**options: Any) -> resnets.Reproduction:
        return resnets.reproduce("table6", out=tmp_path, **ROW, **options)

    with pytest.raises(Interrupted, match="SIGTERM after iteration 2") as stop:
        resume(observe=interrupting)
    assert stop.value.exit_code == 143
    plan = resnets.plan_reproduction("table6", out=tmp_path, **PLAN)
    assert [(run.state, run.iteration) for run in plan.runs] == [("started", 2)]
    with pytest.raises(RunError, match="--resume"):
        resume()
    observer = Recorder()
    result = resume(resume=True, observe=lambda _: observer)
    assert (observer.began_at, observer.closings) == (2, 1)
    assert result_of(result).curve == result_of(made).curve
    assert result_of(result).test_error == result_of(made).test_error


def test_a_signal_in_a_runs_last_iteration_starts_no_other(tmp_path: Path) -> None:
    """The run that was at its end is reported."""
    begun: list[str] = []

    def observe(run: PlannedRun) -> Recorder:
        begun.append(run.name)
        return Recorder(after=5, do=lambda: os.kill(os.getpid(), signal.SIGTERM))

    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        resnets.reproduce("table6", out=tmp_path, observe=observe, **ROW | {"seeds": 2})
    assert begun == ["resnet20-cifar-cifar10_digits-smoke-seed0"]
    assert len(list((tmp_path / "results").glob("resnet20*"))) == 1


def test_a_file_lost_after_training_is_written_again(copied: Path, made: resnets.Reproduction) -> None:
    """As when the process was killed between the end of training and the result file."""
    (copied / "results" / made.plan.runs[0].file.name).unlink()
    observer = Recorder()
    again = resnets.reproduce("table6", out=copied, observe=lambda _: observer, **ROW)
    assert observer.began_at is None  # nothing was trained
    assert result_of(again) == result_of(made)


def test_tests_that_were_made_are_not_lost_or_made_again(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One table asks for one test of a run, another for another: the file has both, and responses are measured once."""
    (run,) = resnets.plan_reproduction("table6", out=copied, **PLAN).runs
    before = recorded(run.file)
    write(run.file, before.with_changes(errors={"ten-crop": Errors(5.0, 1.0)}))
    asked: list[str] = []

    def tested(*_: object, protocol: str, **__: object) -> Any:
        asked.append(protocol)
        return type("Evaluation", (), {"top1_error": 4.0, "top5_error": 0.5})

    monkeypatch.setattr(run_module, "evaluate", tested)
    monkeypatch.setattr(run_module, "responses", lambda *_, **__: pytest.fail("they were measured"))
    for protocols in (("ten-crop", "dense-multi-scale"), ("dense-multi-scale",)):
        run_module.train_and_test([dataclasses.replace(run, tests=protocols)], device="cpu", workers=0)
    after = recorded(run.file)
    assert asked == ["dense-multi-scale"]
    assert after.errors == {"ten-crop": Errors(5.0, 1.0), "dense-multi-scale": Errors(4.0, 0.5)}
    assert after.responses == before.responses


def test_a_test_that_fails_is_a_failure_of_its_run(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result file is there, and the others are made."""
    (run,) = resnets.plan_reproduction("table6", out=copied, **PLAN).runs
    run.file.unlink()

    def fail(*_: object, **__: object) -> None:
        raise UsageError("this network is not fully convolutional")

    monkeypatch.setattr(run_module, "evaluate", fail)
    tested = dataclasses.replace(run, tests=("dense-multi-scale",))
    (why,) = run_module.train_and_test([tested], device="cpu", workers=0)
    assert why is not None and "dense-multi-scale: this network" in why and recorded(run.file).errors == {}


def test_the_result_of_other_data_is_put_aside(copied: Path, made: resnets.Reproduction) -> None:
    """The plan announces it, and the new result takes its place."""
    digits, first = resnets.load_data("digits"), made.plan.runs[0]
    other = dataclasses.replace(digits, digest="other")
    plan = resnets.plan_reproduction("table6", out=copied, only="resnet20", scale="smoke", data=other)
    assert any(str(copied / "earlier") in note for note in plan.notes)
    second = resnets.reproduce("table6", out=copied, **ROW | {"data": other}).plan.runs[0]
    assert recorded(second.file).identity == second.identity != first.identity
    (aside,) = (copied / "earlier").glob("*.json")
    assert recorded(aside).identity == first.identity


def test_one_run_that_fails_leaves_the_others(tmp_path: Path) -> None:
    """It is named with its error, and the next one is made."""

    def fail() -> None:
        raise TrainingError("iteration 3: the loss is nan")

    def observe(run: PlannedRun) -> Recorder:
        return Recorder(3, fail) if run.seed == 0 else Recorder()

    for together in (1, 2):
        result = resnets.reproduce(
            "table6", out=tmp_path / str(together), together=together, observe=observe, **ROW | {"seeds": 2}
        )
        ((name, why),) = result.failed
        assert name == "resnet20-cifar-cifar10_digits-smoke-seed0" and "iteration 3: the loss is nan" in why
        assert result.made == ("resnet20-cifar-cifar10_digits-smoke-seed1",)


def test_networks_that_cannot_be_measured_are_planned_without_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is too large here has a note; the plan has the time of the others, if there are any."""

    def measure(task: Any, cost: Complexity) -> Rates:
        if cost.parameters > 300_000:  # resnet32 has 464,154
            raise MemoryError("too little for 128 images")
        return RATES

    monkeypatch.setattr(estimates, "measure_quickly", measure)
    asked = PLAN | {"scale": "short", "out": tmp_path}
    both = resnets.plan_reproduction("table6", **asked | {"only": ["resnet20", "resnet32"]})
    assert (both.seconds, both.unmeasured) == (4_000, 1)
    assert "1 run whose time was not measured" in "".join(summary.plan_sentences(both))
    large = resnets.plan_reproduction("table6", **asked | {"only": "resnet32"})
    assert large.runs[0].seconds is None is large.seconds
    assert "resnet32 could not be measured: too little for 128 images" in large.notes
    assert "time not measured" in "".join(summary.plan_sentences(large))


@pytest.mark.parametrize("call", [resnets.plan_reproduction, resnets.reproduce])
def test_a_signal_while_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., object]) -> None:
    """Nothing is started, and nothing is said to be saved."""
    rates = Rates(step=1.0, start=0.0, test=0.1, final_test=0.1, save=0.1, log=0.01)

    def interrupted(*_: object) -> Rates:
        signal.raise_signal(signal.SIGTERM)
        return rates

    monkeypatch.setattr(estimates, "measure_quickly", interrupted)
    asked = {key: value for key, value in ROW.items() if key != "workers"} | {"scale": "short"}
    with pytest.raises(Interrupted) as stop:
        call("table6", out=tmp_path / "out", **asked)
    assert not stop.value.saved
    assert not (tmp_path / "out").exists()


def test_a_plan_may_be_made_without_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where minutes count, the first run starts at once."""
    monkeypatch.setattr(estimates, "measure_quickly", lambda *_: pytest.fail("a network was measured"))
    plan = resnets.plan_reproduction("table6", out=tmp_path, measure=False, **PLAN | {"scale": "short"})
    assert [run.seconds for run in plan.runs] == [None]


def test_what_is_given_and_not_used_is_said(tmp_path: Path) -> None:
    """The plan has a note for data that no run takes."""
    plan = resnets.plan_reproduction(
        "table6", only="resnet20", scale="smoke", out=tmp_path, data=["digits", "voc:/nowhere"]
    )
    assert "--data voc:/nowhere is not used: nothing that is run here is made on it" in plan.notes
    assert not any("digits" in note for note in plan.notes)


def test_what_cannot_be_fetched_leaves_what_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without network CIFAR-10's rows are left out; where nothing else is asked for, that is the error."""
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "empty"))
    photos = dataclasses.replace(resnets.load_data("digits"), name="imagenet")
    asked = {"scale": "smoke", "data": photos, "device": "cpu"}
    plan = resnets.plan_reproduction("all", only=["resnet18", "resnet20"], out=tmp_path, **asked)
    assert [one.asked_by for one in plan.left_out if "CIFAR-10" in one.why or "cifar" in one.why]
    with pytest.raises(DataError, match="cifar"):
        resnets.plan_reproduction("table6", out=tmp_path, **asked)


def test_best_on_validation_is_labelled_and_replaces_nothing(tmp_path: Path) -> None:
    """With held-out images the best of them is reported as such, and the error is the test's."""
    digits = resnets.load_data("digits").hold_out(100, 0)
    result = resnets.reproduce("table6", out=tmp_path, **ROW | {"data": digits})
    found = result_of(result)
    (run,) = result.tables[0].rows[0].runs
    errors = {point.validation_error: point.iteration for point in reversed(found.curve)}
    assert None not in errors
    assert run.best_validation == (errors[min(errors)], min(errors))
    assert run.errors["single-view"].top1 == found.test_error


def test_table_1_needs_no_training(tmp_path: Path) -> None:
    """Table 1 compares costs alone."""
    result = resnets.reproduce("table1", out=tmp_path)
    assert result.plan.runs == ()
    assert {row.verdict.status for row in result.tables[0].rows} == {"counted"}


def test_no_row_is_blank(tmp_path: Path) -> None:
    """Each row of a table that is left out, or cited, says so, and a page is made."""
    result = resnets.reproduce("table14", out=tmp_path)
    assert {row.verdict.status for row in result.tables[0].rows} == {"cited", "not run"}
    assert {one.asked_by for one in result.plan.left_out} == {"table14"}
    assert result.report.page is not None and result.report.page.exists()


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("table16", {}, "'table16'"),
        ("table6", {"scale": "shrot"}, "'shrot'.*short"),
        ("table6", {"seeds": 0}, "seeds is 0"),
        ("table6", {"workers": -1}, "workers is -1"),
        ("table6", {"data": "digit", "scale": "smoke"}, "'digit'"),
        ("table6", {"device": "tpu"}, "'tpu'"),
        ("table6", {"only": "resnet-21"}, "'resnet-21'"),
    ],
)
def test_what_cannot_be_asked(name: str, options: dict[str, Any], named: str, tmp_path: Path) -> None:
    """The wrong value is named, and nothing is written."""
    with pytest.raises(UsageError, match=named):
        resnets.reproduce(name, out=tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_is_refused(tmp_path: Path) -> None:
    """The folder of a training is not overwritten."""
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match=re.escape(str(tmp_path))):
        resnets.plan_reproduction("table6", out=tmp_path, scale="smoke", data="digits")


@pytest.mark.slow
def test_photos_are_tested_as_their_rows_ask(make_photos: Callable[..., Path], tmp_path: Path) -> None:
    """Table 2 is of ten crops: the result file has them, and is not done without."""
    photos = make_photos(train=4, val=2)
    asked = {"only": "resnet18", "scale": "smoke", "data": f"folder:{photos}", "device": "cpu"}
    table = "table2"
    plan = resnets.plan_reproduction(table, out=tmp_path, **asked)
    (run,) = plan.runs
    assert run.tests == ("ten-crop",)
    resnets.reproduce(table, out=tmp_path, workers=0, **asked)
    record = recorded(run.file)
    assert {*record.errors} == {"ten-crop"}
    (again,) = resnets.plan_reproduction(table, out=tmp_path, **asked).runs
    assert again.state == "done"
    write(run.file, record.with_changes(errors={}))
    (again,) = resnets.plan_reproduction(table, out=tmp_path, **asked).runs
    assert again.state == "started"
