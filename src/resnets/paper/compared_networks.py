"""Sizes of the networks that the paper compares with, as they are published. Paper: Tables 3 to 6, section 4.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """What is published of a network's size. `note` says where ours is another, or which reading it follows.

    Units: multiply-adds of one image for `macs`.
    """

    network: str
    options: Mapping[str, object] = field(default_factory=dict)  # of the network: the variant that is compared
    parameters: str = ""  # as printed
    macs: str = ""
    source: str = ""
    note: str = ""

    def in_words(self) -> str:
        """Return what is published, its source, and what our count is of; empty where there is nothing to say."""
        numbers = ((self.parameters, "parameters"), (self.macs, "multiply-adds"))
        counts = ", ".join(f"{number} {what}" for number, what in numbers if number)
        said = f"published are {counts} ({self.source})" if counts else ""
        return "; ".join(part for part in (said, self.note.replace("**", "")) if part)


_FITNETS = "FitNets [35], its Table 5"
_TESTED = {"auxiliary": False}

SIZES: tuple[PublishedSize, ...] = (
    PublishedSize(network="maxout", note="a maxout layer of 5 pieces, as in the authors' file"),
    PublishedSize(network="maxout", options={"fc_pieces": 2}, parameters="9 M", macs="725 M", source=_FITNETS),
    PublishedSize(network="nin"),
    PublishedSize(network="dsn", note="with the companions of training"),
    PublishedSize(network="dsn", options=_TESTED, note="as tested: NIN's size"),
    PublishedSize(
        network="fitnet19",
        parameters="2.5 M",
        macs="382 M",
        source=_FITNETS,
        note="**not met**: the authors' file and text have 5 pieces in the maxout layer",
    ),
    PublishedSize(
        network="fitnet19",
        options={"fc_pieces": 2},
        parameters="2.5 M",
        macs="382 M",
        source=_FITNETS,
        note="met with 2 pieces",
    ),
    PublishedSize(
        network="highway19",
        parameters="2.3 M",
        source="the paper, Table 6",
        note="the released network; the row's own had a fully connected layer, whose form is not published",
    ),
    PublishedSize(network="highway19", options={"head": "fc500"}, parameters="2.3 M", source="the paper, Table 6"),
    PublishedSize(
        network="highway32",
        parameters="1.25 M",
        source="the paper, Table 6",
        note="**a reconstruction**: widths and kernels are not published, and were chosen to meet the count",
    ),
    PublishedSize(network="googlenet", note="with the auxiliary classifiers of training"),
    PublishedSize(
        network="googlenet",
        options=_TESTED,
        parameters="6.8 M",
        macs="1.5 G",
        source="[44], sums of its Table 1",
        note="as tested; that table counts a separable first layer",
    ),
    PublishedSize(
        network="googlenet",
        options={**_TESTED, "separable_stem": True},
        parameters="6.8 M",
        macs="1.5 G",
        source="[44], sums of its Table 1",
        note="two rows of that table do not follow from their own columns",
    ),
    PublishedSize(
        network="bn_inception",
        parameters="13.6 M",
        macs="about 30 % above 1.5 G",
        source="[16]",
        note="**not met**: no reading of the authors' table comes to 13.6 M",
    ),
    PublishedSize(network="bn_inception", options={"variant": "caffe"}, note="as released for Caffe"),
    PublishedSize(network="prelu_net_a", macs="19.0 G", source="[13], its Table 3"),
    PublishedSize(network="prelu_net_b", macs="23.2 G", source="[13], its Table 3"),
    PublishedSize(network="prelu_net_c", macs="53.0 G", source="[13], its Table 3", note="ours is 0.9 % more"),
    PublishedSize(
        network="vgg16",
        parameters="138 M",
        macs="15.3 G",
        source="[41]; the paper, section 4.1",
        note="15.3 G leaves the fully connected layers out",
    ),
    PublishedSize(network="vgg19", parameters="144 M", macs="19.6 G", source="[41]; the paper, section 4.1"),
)
