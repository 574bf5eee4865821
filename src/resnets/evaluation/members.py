"""Members of an evaluation: each model with the data as it reads it and the protocol as it applies to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from resnets.data import class_names
from resnets.data.load import Data, load_data, load_of_runs, require_trained_on
from resnets.data.splits import DataSplits, Split
from resnets.errors import DataError, UsageError, warn
from resnets.evaluation.metrics import Counts
from resnets.evaluation.multi_view import Run, Scored, score
from resnets.evaluation.protocols import PROTOCOLS, how_tested, label
from resnets.evaluation.single_view import SingleView, single_view_by_engine
from resnets.inference.engine import PREPARATION_SECONDS, Engine, fastest
from resnets.inference.model import Model, load
from resnets.inference.several import load_each
from resnets.networks.dense import Dense
from resnets.networks.modes import in_mode
from resnets.networks.registry import decoded_side, name_of
from resnets.quantities import plural
from resnets.records.evaluations import Agreement
from resnets.records.runs import record_of
from resnets.runtime.device import choose_precision, forward
from resnets.runtime.processes import WHOLE, Share
from resnets.specs import Precision, TestConfig


@dataclass(frozen=True, eq=False)
class Member:
    """A model, and how it is tested on the splits as it reads them."""

    model: Model
    splits: DataSplits
    how: TestConfig
    label: str
    precision: Precision
    order: list[int] | None  # of its logits, where its classes are those of the data in another order

    @property
    def name(self) -> str:
        return name_of(self.model.network)

    @property
    def is_plain(self) -> bool:
        """Whether one view of each image is all there is, so that the logits alone decide."""
        return not (self.how.flips or self.how.scales) and self.order is None

    def score(self, batch_size: int, workers: int, share: Share = WHOLE) -> Iterator[Scored]:
        """Yield the probabilities of all test images, or of a share of them."""
        model = self.model
        run = self._run()

        def ordered(images: Tensor) -> Tensor:
            return run(images) if self.order is None else run(images)[:, self.order]

        with in_mode(model.network, training=False):
            yield from score(
                ordered,
                self.splits.test.take(share),
                model.input_spec,
                self.how,
                device=model.device,
                batch_size=batch_size,
                workers=workers,
            )

    def _run(self) -> Run:
        model = self.model
        if PROTOCOLS[self.how.protocol].dense:
            assert model.input_spec is not None
            return partial(forward, Dense(model.network, model.input_spec.size), precision=self.precision)
        return model.engine or partial(forward, model.network, precision=self.precision)


def prepare(
    model: Model,
    splits: DataSplits,
    *,
    precision: str,
    protocol: str | None,
    scales: Sequence[int] | None,
    flips: bool | None,
    decode: str | None,
) -> Member:
    """Return a model made ready for a test; the arguments are those of `evaluate`.

    Raises: UsageError, DataError.
    """
    as_trained, model = model, model.decoding(decode)
    multiply = choose_precision(precision, model.device)
    if model.engine is not None:
        if precision != "fp32" and multiply != model.engine.precision:
            raise UsageError(f"precision is {precision!r}, and this model's engine runs in {model.engine.precision}")
        multiply = model.engine.precision
    order = class_order(model, splits)
    _require_unseen(model, splits)
    if order is not None:
        warn(f"{model.path} has the classes of {splits.name} in another order; they are matched by their names")
    own = fitting(model, splits)
    photos = own.test.kind == "photos"
    if decode is not None and not photos:
        raise UsageError(f"decode is {decode!r}, and {splits.name} has no photos, which are decoded in a test")
    how = how_tested(photos, model.input_spec, protocol=protocol, scales=scales, flips=flips)
    if PROTOCOLS[how.protocol].dense:
        if model.engine is not None:
            raise UsageError(
                "this model was optimised for images of one shape; dense testing has many, so load it again"
            )
        assert model.input_spec is not None
        Dense(model.network, model.input_spec.size)  # a network that cannot be dense is refused before any test
    baseline = how_tested(photos, model.input_spec, protocol=how.protocol)
    unusual = f", JPEGs {decode}" if model.input_spec != as_trained.input_spec else ""
    return Member(model, own, how, label(how, baseline) + unusual, multiply, order)


def load_all(runs: str | Path | Model | Iterable[str | Path | Model], device: str) -> list[Model]:
    """Return one model or several, each loaded unless it is. Raises: UsageError, if there are none; as `load`."""
    return load_each(runs, Model, partial(load, device=device))


def tested_alone(
    member: Member, classes: int, batch_size: int, workers: int, share: Share
) -> tuple[Counts, Agreement | None]:
    """Test by a single view, on all images or a share of them: the network itself in float32, else an engine."""
    model, test = member.model, member.splits.test.take(share)
    if model.engine is None and member.precision == "fp32":
        alone = SingleView(model.network, test, model.input_spec, classes=classes, device=model.device, workers=workers)
        return alone("fp32", batch_size=batch_size), None
    engine = model.engine or _engine(model, member.splits.test, member.precision, batch_size)
    return single_view_by_engine(
        engine, model.network, test, model.input_spec, classes=classes, batch_size=batch_size, workers=workers
    )


def _engine(model: Model, test: Split, precision: Precision, batch_size: int) -> Engine:
    """Return the fastest engine, or where the test is short the one that needs no preparation."""
    images, _ = next(test.test_batches(model.input_spec, batch_size=1))
    _, channels, height, width = images.shape
    make = partial(
        fastest,
        model.network,
        shape=(channels, height, width),
        batch_size=batch_size,
        device=model.device,
        precision=precision,
    )
    engine = make(engine="eager")
    batches = len(test) / engine.batch_size
    return engine if batches * engine.seconds < PREPARATION_SECONDS else make(engine="auto")


def class_order(model: Model, splits: DataSplits) -> list[int] | None:
    """Return the place of each class of the data among the weights' classes; None where they are in the same order.

    What is taken for granted is a warning.

    Raises: DataError, if they are other classes.
    """
    if model.classes is None:
        return None
    if (found := class_names.match(splits.classes, model.classes)) is not None:
        order, note = found
        if note is not None:
            warn(f"{splits.name} and {model.path}: {note}")
        return order
    if len(splits.classes) != len(model.classes):
        what = f"{len(splits.classes)} classes, and the weights know {len(model.classes)}"
    else:
        pairs = zip(splits.classes, model.classes, strict=True)
        here, there = next(pair for pair in pairs if pair[0] != pair[1])
        what = f"class {here!r} where the weights have {there!r}{class_names.look_alike(here, model.classes)}"
    raise DataError(f"{splits.name} is not what {model.path} was trained on: it has {what}")


def _require_unseen(model: Model, splits: DataSplits) -> None:
    """Refuse test images that were drawn of what may be the folder that the model was trained on, and has changed.

    Raises: DataError, since some of them would be images that it was trained on.
    """
    if not splits.test_is_drawn:
        return
    run = record_of(model.path)
    if run is not None and trained_digest(model, splits) == run.data.digest:
        return
    if run is None or run.data.name != splits.name:
        drawn = plural(len(splits.test), "image")
        warn(
            f"{splits.name} has no test/: {drawn}, drawn of each class, of {len(splits.train) + len(splits.test):,} "
            "are tested on, some of which may have been trained on if this is the data of the training under another "
            "name; split `all` is for all"
        )
        return
    raise DataError(
        f"{splits.name} is another folder than {model.path.parent} was trained on ({run.data.in_words()}), or has "
        f"changed since: test images are drawn of each class, and some may have been trained on; put new images into "
        f"test/, or test on all of a folder of new ones: --split all"
    )


def data_for(models: Sequence[Model], data: Data | None) -> DataSplits:
    """Return the given data, or where there is none what the runs of models were trained on.

    Raises: UsageError, DataError, as `load_of_runs` and `require_trained_on`.
    """
    if data is not None:
        return load_data(data)
    splits = load_of_runs([model.path for model in models], load_data)
    for model in models:
        require_trained_on(model.path, splits, trained_digest(model, splits))
    return splits


def division_of(model: Model, splits: DataSplits) -> DataSplits | None:
    """Return data as the run of a model divided it into training and validation images.

    It is None for weights of no run, and for other data than the run's.

    Raises: RunError, if the record cannot be read.
    """
    run = record_of(model.path)
    if run is None or trained_digest(model, splits) not in (None, run.data.digest):
        return None
    with suppress(UsageError, DataError):  # of other data, whose digest is not known
        divided = splits.divided(run.data.split, run.seed)
        if (len(divided.train), len(divided.test)) == (run.data.training_images, run.data.test_images):
            return divided
    return None


def divided_as_trained(models: Iterable[Model], splits: DataSplits) -> DataSplits:
    """Return data as the runs of models divided it, or as it is where it is not theirs.

    Raises: UsageError, if they held out different images.
    """
    divisions: dict[tuple[str, int], DataSplits] = {}
    for model in models:
        divided, run = division_of(model, splits), record_of(model.path)
        if divided is not None and run is not None:
            divisions.setdefault((run.data.split, run.seed), divided)
    if all(divided is splits for divided in divisions.values()):
        return splits
    if len(divisions) > 1:
        raise UsageError(f"the runs held out different images of {splits.name}; test each alone")
    return next(iter(divisions.values()))


def trained_digest(model: Model, splits: DataSplits) -> str | None:
    """Return the digest of the images as a training of this network reads them; None for dataset objects.

    Raises: DataError, if an image cannot be decoded.
    """
    channels = None if model.input_spec is None else model.input_spec.channels
    return load_data(splits.with_channels(channels), decoded_side(model.network)).digest


def fitting(model: Model, splits: DataSplits) -> DataSplits:
    """Return the splits as the model reads them.

    Raises: DataError, where they are not of the kind that it was trained on.
    """
    class_order(model, splits)
    input_spec = model.input_spec
    if input_spec is None:
        if splits.test.kind == "tensors":
            return splits
        raise DataError(f"{model.path} does not say how its input is normalised; pass a dataset that does it")
    if splits.test.kind == "arrays":
        height, width, channels, _ = splits.test.stats()
        if (height, width, channels) != (input_spec.size, input_spec.size, input_spec.channels):
            raise DataError(
                f"{splits.name} has images of {height} x {width} x {channels}, and {model.path} "
                f"takes {input_spec.size} x {input_spec.size} x {input_spec.channels}"
            )
    return splits
