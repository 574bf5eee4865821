"""Systems of other papers: their rows, and how those on ImageNet are read."""

from __future__ import annotations

from resnets.paper.declarations import Choice, Row
from resnets.paper.published import find_row

AUTHORS = {
    "vgg16": ("authors-vgg", "[41]"),
    "vgg19": ("authors-vgg", "[41]"),
    "googlenet": ("authors-googlenet", "[44]"),
    "prelu_net_c": ("authors-prelu-net", "[13]"),
    "bn_inception": ("authors-bn-inception", "[16]"),
}
"""The recipe of each earlier network's authors, and the paper's reference."""


READINGS = (
    Choice(
        open="which of its authors' networks each earlier row is",
        ours="VGG-16 their D, VGG-19 their E, both trained at several scales; PReLU-net their model C; GoogLeNet with "
        "a full first convolution; BN-Inception with projections of 96 in 4c and 4d",
        why="their papers' own tables have these errors, but for VGG (ILSVRC'14); GoogLeNet's released file and the "
        "sums of BN-Inception's table say the rest",
    ),
    Choice(
        open="how they were trained",
        ours="by their authors' recipes, whose departures are listed; `--recipe imagenet` is another run",
        why="their errors are cited from these papers",
    ),
)


TESTS_OF_EARLIER = (
    Choice(
        open="how the earlier networks were tested",
        ours="VGG at shorter sides of 256, 384 and 512, PReLU-net at 256, 384 and 480, both as the ResNets; GoogLeNet "
        "and BN-Inception by 144 crops",
        why="so their authors; of PReLU-net's model C they name no sides, of their model A these",
    ),
    Choice(
        open="on which images the rows of the test set are tested",
        ours="on the validation images, and so they are not judged",
        why="the labels of the test set are on ImageNet's server alone",
    ),
)


def cited(
    table: str, label: str, reference: str, *, tested_on: str | None = None, network: str | None = None, note: str = ""
) -> Row:
    """Return a row that the paper cites; its network is the catalogue's, where that has it."""
    return Row(
        label=label,
        reference=reference,
        cited=True,
        network=network,
        published=find_row(table, label),
        tested_on=tested_on,
        note=note,
    )
