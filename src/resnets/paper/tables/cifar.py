"""Table 6 (section 4.2): CIFAR-10."""

from __future__ import annotations

from resnets.paper.declarations import Choice, Column, Row, Table
from resnets.paper.published import find_row
from resnets.paper.tolerances import CIFAR, CIFAR_MEAN_OF_FIVE, of_parameters
from resnets.specs import Setting


def _resnet(depth: int, seeds: int = 1, note: str = "") -> Row:
    published = find_row("Table 6", f"ResNet, {depth} layers")
    error, tolerance = ("error", CIFAR) if seeds == 1 else ("mean", CIFAR_MEAN_OF_FIVE)
    return Row(
        label=f"ResNet, {depth} layers",
        network=f"resnet{depth}",
        shortcut="A",
        recipe="cifar",
        data="cifar10",
        protocol="single-view",
        tested_on="cifar10 test",
        seeds=seeds,
        published=published,
        compared=("# layers", "# params", error),
        tolerances={"# params": of_parameters(published["# params"]), error: tolerance},
        note=note,
    )


def _compared(
    label: str,
    network: str,
    recipe: str,
    reference: str,
    seeds: int = 1,
    note: str = "",
    teacher: Setting | None = None,
) -> Row:
    """Return the row of a network that the paper compares with: trained by its authors' recipe."""
    published = find_row("Table 6", label)
    error, tolerance = ("error", CIFAR) if seeds == 1 else ("mean", CIFAR_MEAN_OF_FIVE)
    tolerances = {error: tolerance}
    if "# params" in published:
        tolerances["# params"] = of_parameters(published["# params"])
    return Row(
        label=label,
        reference=reference,
        network=network,
        recipe=recipe,
        data="cifar10",
        teacher=teacher,
        protocol="single-view",
        tested_on="cifar10 test",
        seeds=seeds,
        published=published,
        compared=tuple(column for column in ("# layers", "# params", error) if column in published),
        tolerances=tolerances,
        note=note,
    )


TABLE_6 = Table(
    name="table6",
    title="Errors on CIFAR-10's test set, all with the standard augmentation",
    section="4.2",
    kind="classification",
    columns=(
        Column(name="# layers", measure="depth", unit="layers"),
        Column(name="# params", measure="parameters", unit="parameters"),
        Column(name="error", measure="top-1 error", statistic="best"),  # printed as error (mean±std)
        Column(name="mean", measure="top-1 error", statistic="mean"),
        Column(name="std", measure="top-1 error", statistic="std"),
    ),
    rows=(
        _compared("Maxout", "maxout", "authors-maxout", "[10]"),
        _compared("NIN", "nin", "authors-nin", "[25]", note="its authors' schedule without augmentation"),
        _compared("DSN", "dsn", "authors-dsn", "[24]", note="parameters are with the companions of training"),
        _compared(
            "FitNet, 19 layers",
            "fitnet19",
            "authors-fitnet",
            "[35]",
            note="learns from the Maxout network; the published count is met with 2 pieces of the maxout layer",
            teacher=Setting(network="maxout", recipe="authors-maxout", data="cifar10"),
        ),
        _compared(
            "Highway, 19 layers",
            "highway19",
            "authors-highway",
            "[42, 43]",
            seeds=5,
            note="the network that its authors released; the row's own had another head, which is not published",
        ),
        _compared(
            "Highway, 32 layers",
            "highway32",
            "authors-highway",
            "[42, 43]",
            note="a reconstruction: of its structure only depth, parameters and alternating kernels are published",
        ),
        _resnet(20),
        _resnet(32),
        _resnet(44),
        _resnet(56),
        _resnet(110, seeds=5),
        _resnet(1202, note="trained as the others"),
    ),
    shows="residual networks gain from depth up to 110 layers; 1202 layers train as well and overfit",
    choices=(
        Choice(
            "whether it was trained on all 50,000 images or on 45,000 of them",
            "all 50,000",
            "the text names the split only where it chooses the schedule",
        ),
        Choice(
            "whether the error is that of the last iteration or the lowest",
            "the last iteration's",
            "the test set selects nothing; and the ends of Figure 6's curves agree with the table",
        ),
        Choice(
            "whether 1202 layers were warmed up as 110 were",
            "they are",
            "they are trained as described for 110, and others found that they do not start well without",
        ),
        Choice(
            "how many runs the rows without a deviation had",
            "one",
            "only 110 layers are said to have been run five times",
        ),
        Choice(
            "how the systems of other papers were trained and augmented",
            "by their authors' recipes, whose departures are listed; the paper's own recipe, `cifar`, is another run",
            "their errors are cited from these papers; what each of them leaves open is in its recipe",
        ),
    ),
)

TABLES = (TABLE_6,)
