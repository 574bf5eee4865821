"""What tables and figures ask for: distinct trainings, each once, and what is left out."""

from __future__ import annotations

import pytest

from resnets.errors import UsageError
from resnets.paper.figures import FIGURES
from resnets.paper.tables import TABLES
from resnets.reproduction.tasks import NAMES, select


def networks(name: str, *only: str) -> list[str]:
    return [task.training.network for task in select([name], only).tasks]


def test_every_table_and_figure_can_be_asked_for() -> None:
    """Each name selects at least one table or figure."""
    assert set(NAMES) == {*TABLES, *FIGURES, "all"}
    for name in NAMES:
        selection = select([name])
        assert selection.tables or selection.figures


def test_a_row_is_run_left_out_with_a_reason_or_cited() -> None:
    """No row of any table is forgotten."""
    for table in TABLES.values():
        selection = select([table.name])
        trained = {task.training for task in selection.tasks}
        left_out = {one.label: one.why for one in selection.left_out}
        for row in table.rows:
            if row.cited:
                assert row.label not in left_out
            elif row.label in left_out:
                assert row.network is None and not row.members
                assert left_out[row.label].startswith("`resnets "), "an ensemble says what tests one"
            else:
                assert {*row.trainings} <= trained or table.kind == "complexity"


def test_table_6_in_the_order_of_depth() -> None:
    """Trainings are in the table's order, as many as the paper has, and none where a table has costs alone."""
    ours = [f"resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202)]
    assert networks("table6") == [*ours, "maxout", "nin", "dsn", "fitnet19", "highway19", "highway32"]
    assert [task.runs_in_the_paper for task in select(["table6"]).tasks] == [1, 1, 1, 1, 5, 1, 1, 1, 1, 1, 5, 1]
    assert networks("figure1") == ["plain20", "plain56"]  # training and test error are of one run
    assert networks("table1") == []


def test_an_ensemble_is_trained_member_by_member() -> None:
    """Table 5's of two VGGs is of the trainings of Tables 3 and 4."""
    assert networks("table5") == ["vgg16", "vgg19"]
    task = next(task for task in select(["table3", "table4", "table5"]).tasks if task.training.network == "vgg16")
    assert task.askers == (("table3", "VGG-16"), ("table4", "VGG (ILSVRC'14)"), ("table5", "VGG (v5)"))
    assert task.protocols == ("ten-crop", "dense-multi-scale at 256, 384, 512")


def test_a_teacher_is_trained_before_who_learns_from_it() -> None:
    """Also where it is not named, or later; it is the training of its own row."""
    for only in (["fitnet19"], ["fitnet19", "maxout"]):
        teacher, student = select(["table6"], only).tasks
        assert (teacher.training.network, student.training.network) == ("maxout", "fitnet19")
        assert student.teacher == teacher.training and teacher.teacher is None


def test_rows_that_are_named_are_run_in_their_order() -> None:
    """So that what is worth most is made first where time is short."""
    wanted = ("resnet56", "plain56", "ResNet-32", "plain20")
    assert networks("all", *wanted) == ["resnet56", "plain56", "resnet32", "plain20"]
    assert networks("all", *reversed(wanted)) == ["plain20", "resnet32", "plain56", "resnet56"]


def test_a_training_is_shared_by_all_that_ask_for_it() -> None:
    """A training that several tables and figures use is one task that lists them."""
    everything = select(["all"])
    trainings = [task.training for task in everything.tasks]
    assert len(set(trainings)) == len(trainings)
    task = next(task for task in everything.tasks if task.training.network == "resnet20")
    assert task.asked_by == ("table6", "figure6", "figure7")
    assert task.askers[:2] == (("table6", "ResNet, 20 layers"), ("figure6", "ResNet-20"))
    assert task.runs_in_the_paper == 1
    assert trainings[0].network == "plain20"  # the small ones first, plain next to residual


def test_a_detector_is_trained_once_and_tested_in_each_way_that_is_asked_for() -> None:
    """Rows that differ in their test share a training, also across tables."""
    plain, context, *_ = (task for task in select(["table9"]).tasks if task.training.network == "resnet101")
    assert [test.refinements for test in plain.detections] == [(), ("box-refinement",)]
    assert [test.refinements for test in context.detections] == [("box-refinement",), ("box-refinement", "multi-scale")]
    shared = next(task for task in select(["all"]).tasks if task.name == "resnet101 voc07+12")
    assert shared.asked_by == ("table7", "table10")
    assert [test.protocol for test in shared.detections] == ["voc07"]
    assert len([task for task in select(["all"]).tasks if task.detections]) == 11


def test_whoever_asks_responses_are_measured_where_figure_7_draws_them() -> None:
    """Figure 7's networks have responses also where Table 6 asks."""
    wanted = {task.training.network for task in select(["table6"]).tasks if task.responses}
    assert wanted == {"resnet20", "resnet56", "resnet110"}
    assert all(task.responses for task in select(["figure7"]).tasks)


@pytest.mark.parametrize("word", ["ResNet, 56 layers", "resnet-56-layers", "RESNET-56-LAYERS", "resnet56"])
def test_only_names_a_row(word: str) -> None:
    """A row is named by label, slug or network."""
    assert networks("table6", word) == ["resnet56"]
    assert [row.label for table in select(["table6"], [word]).tables for row in table.rows] == ["ResNet, 56 layers"]


def test_only_names_curves_and_several() -> None:
    """Curves are selected as rows are, several at once, and empty tables are left out."""
    assert networks("figure6", "plain-20", "resnet-110") == ["plain20", "resnet110"]
    panels = select(["figure6"], ["plain-20"]).figures[0].panels
    assert [[curve.network for curve in panel.curves] for panel in panels] == [["plain20", "plain20"]]
    assert {table.name for table in select(["all"], ["resnet-56-layers"]).tables} == {"table6"}


@pytest.mark.parametrize(
    ("name", "only", "message"),
    [
        ("tabel6", [], "'tabel6'.*table6"),
        ("figure2", [], "figure2.*figure"),
        ("table6", ["resnet-65-layers"], "'resnet-65-layers'.*resnet-56-layers"),
        ("table6", ["resnet20", "nope"], "'nope'.*maxout, "),
        ("all", ["plain-57"], "'plain-57'.*plain-5"),
    ],
)
def test_unknown_names(name: str, only: list[str], message: str) -> None:
    """An unknown table, figure or row is an error that names it and the nearest."""
    with pytest.raises(UsageError, match=message):
        select([name], only)


def test_several_tables_and_figures_share_their_trainings() -> None:
    """Table 6 and Figure 6 together are the trainings of both, each once, in their order; none at all is refused."""
    both = select(["table6", "figure6"])
    networks = [task.training.network for task in both.tasks]
    assert both.name == "table6 and figure6" and len(networks) == len(set(networks))
    alone = {task.training.network for name in ("table6", "figure6") for task in select([name]).tasks}
    assert set(networks) == alone and {"plain56", "resnet56", "resnet1202"} <= alone
    with pytest.raises(UsageError):
        select([])
