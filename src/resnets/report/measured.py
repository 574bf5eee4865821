"""Result files of `resnets train` and `resnets reproduce`, read as measured runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from resnets.detection.recipes import all_recipes
from resnets.records.evaluations import Response
from resnets.report.runs import SCALES, SHORT, Errors, Measured, Point, Scale, Setting
from resnets.specs import identify

_FITTED = ("at_most", "values", "vectors")  # a warm-up's bound; the axes of the colours of the training images
_WORDS = ("name", "source", "deviations", "evaluate_every")  # of a recipe; they change no weight


class NotAResult(ValueError):
    """A file's content is not a result; says why."""


# ---------------------------------------------------------------- reading


def parse(file: str, content: Mapping[str, Any]) -> Measured:
    """Return the run that a result file's content describes.

    Raises: NotAResult, saying what is missing or is no number.
    """
    try:
        return _parse(file, content)
    except KeyError as error:
        raise NotAResult(f"it has no {error}") from None
    except (TypeError, AttributeError, IndexError, ValueError) as error:
        raise NotAResult(str(error)) from None


def _parse(file: str, content: Mapping[str, Any]) -> Measured:
    run = content["run"]
    network, recipe, data = run["network"], run["recipe"], run["data"]
    name = str(content["network"])
    trained_on = _data(content, data)
    declared = declared_in(content, network.get("shortcut"), trained_on)
    iterations = positive(content["iterations"])
    named = all_recipes().get(declared.recipe)
    full = iterations if named is None else named.iterations
    curve_on: Literal["test", "validation"] = "validation" if "validation_error" in content else "test"
    best = content.get("best_validation")
    return Measured(
        file=file,
        network=name,
        depth=network.get("depth"),
        shortcut=network.get("shortcut"),
        recipe=content["recipe"],
        iterations=iterations,
        declared_iterations=full,
        data=trained_on,
        seed=int(content["seed"]),
        scale=scale_of(
            content.get("scale"), iterations, full, known=named is not None and content["recipe"] == named.name
        ),
        declared=declared,
        errors=_errors(content, network.get("type")),
        training_error=number(content["training_error"]),
        training_images=_last_iterations(content) * int(recipe["batch_size"]),
        curve=tuple(_point(point, curve_on) for point in content["curve"]),
        curve_on=curve_on,
        best_validation=None if best is None else (int(best["iteration"]), number(best["error"])),
        responses=tuple(_response(one) for one in content.get("responses") or ()),
        changes=(
            *other_network(name, network, declared),
            *(["started from trained weights"] if run.get("weights") else []),
            *other_recipe(recipe, network, declared),
        ),
        deviations=tuple((one["what"], one["why"]) for one in recipe.get("deviations", ())),
        precision=run.get("precision", ""),
        seconds=number(content["seconds"]),
        images_per_second=number(content["images_per_second"]),
        provenance=places(run["provenance"]),
    )


def _data(content: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return what was trained on: what `reproduce` found it to be, else what its images show, with the split."""
    split = data.get("split", "all")
    name = str(content["data"])
    if "declared" not in content:
        train = int(data["training_images"]) if split == "all" else None
        tested = int(content.get("test_samples", data.get("test_images", 0)))
        classes = len(data["classes"])
        name = identify(name, digest=data.get("digest"), train=train, test=tested, classes=classes)
    return name if split == "all" else f"{name} ({split})"


def _last_iterations(content: Mapping[str, Any]) -> int:
    """Return the iterations from the last but one point of the curve to the last."""
    *_, before, last = (0, *(int(point["iteration"]) for point in content["curve"]))
    return last - before


def declared_in(content: Mapping[str, Any], shortcut: str | None, data: str) -> Setting:
    """Return what a result says to be an answer to, else what it is itself."""
    own = {"network": content["network"], "shortcut": shortcut, "recipe": content["recipe"], "data": data}
    return Setting.of(**{key: (content.get("declared") or {}).get(key, value) for key, value in own.items()})


def scale_of(named: str | None, iterations: int, full: int, *, known: bool) -> Scale:
    """Return the scale that a file names, or a lesser one by its length where the full length is `known`."""
    if named is not None and named not in SCALES:
        raise NotAResult(f"its scale is {named!r}, not one of {', '.join(SCALES)}")
    by_length: Scale = "full" if iterations >= full else "short" if iterations >= round(full / SHORT) else "smoke"
    claimed = [scale for scale in SCALES if scale == named]
    if not known:
        return claimed[0] if claimed else "smoke"
    return max([by_length, *claimed], key=SCALES.index)


def _errors(content: Mapping[str, Any], kind: str | None) -> dict[str, Errors]:
    """Return the errors by protocol, first training's own test, of one view or the centre crop of a photo.

    A later test by the same protocol does not replace it.
    """
    view = "center-crop" if kind == "imagenet" else "single-view"
    found = {view: Errors(number(content["test_error"]), _optional(content.get("test_top5_error")))}
    for protocol, errors in (content.get("errors") or {}).items():
        found.setdefault(protocol, Errors(number(errors["top1"]), _optional(errors.get("top5"))))
    return found


def _response(response: Mapping[str, Any]) -> Response:
    others = (_optional(response.get(name)) for name in ("median", "batch_std", "batch_median"))
    return Response(str(response["layer"]), number(response["std"]), *others)


def _point(point: Mapping[str, Any], on: str) -> Point:
    return Point(int(point["iteration"]), number(point["training_error"]), number(point[f"{on}_error"]))


def number(value: Any) -> float:
    """Return a finite number. Raises: NotAResult, if it is none."""
    found = float(value)
    if not math.isfinite(found):
        raise NotAResult(f"{value} is no number")
    return found


def positive(value: Any) -> int:
    """Return a number of iterations. Raises: NotAResult, if it is none."""
    if int(value) < 1:
        raise NotAResult(f"it has {value} iterations")
    return int(value)


def places(provenance: Any) -> tuple[Mapping[str, Any], ...]:
    """Return where the sessions of a run were made; older files have one object. Raises: NotAResult."""
    found = provenance if isinstance(provenance, list) else [provenance]
    if not all(isinstance(one, Mapping) for one in found):
        raise NotAResult("its provenance cannot be read")
    return tuple(found)


def _optional(value: Any) -> float | None:
    return None if value is None else number(value)


# ---------------------------------------------------------------- what differs from the declaration


def other_network(name: str, network: Mapping[str, Any], declared: Setting) -> list[str]:
    """Return in what a network differs from the declared one."""
    found = [] if name == declared.network else [f"{name} instead of {declared.network}"]
    shortcut = network.get("shortcut")
    if name == declared.network and shortcut is not None and shortcut != declared.shortcut:
        found.append(f"shortcut option {shortcut} instead of {declared.shortcut}")
    if network.get("residual_layers", 2) != 2:
        found.append(f"shortcuts span {network['residual_layers']} layers")
    if network.get("initialization", "he_fan_in") != "he_fan_in":
        found.append(f"initialisation {network['initialization']}")
    if network.get("stride") == "3x3" and not name.endswith("_v1_5"):
        found.append("stride 2 on the 3x3 of a bottleneck")
    return found


def other_recipe(recipe: Mapping[str, Any], network: Mapping[str, Any], declared: Setting) -> list[str]:
    """Return in what a recipe differs from the declared one at the run's length; a field that it lacks is as declared.

    A warm-up that the network is too shallow for does not count, nor does the bound on its length.
    """
    if recipe["name"] != declared.recipe:
        return [f"recipe {recipe['name']} instead of {declared.recipe}"]
    named = all_recipes().get(declared.recipe)
    if named is None:
        return []
    full, iterations = named.iterations, int(recipe["iterations"])
    wanted = json.loads(json.dumps(msgspec.to_builtins(named.scaled(iterations))))
    longer = [f"{iterations:,} iterations instead of {full:,}"] if iterations > full else []
    depth, warm_ups = network.get("depth") or 0, [one for one in (wanted["warm_up"], recipe.get("warm_up")) if one]
    if all(depth < one["from_depth"] for one in warm_ups):
        del wanted["warm_up"]
    return longer + [
        f"{key.replace('_', ' ')} {_plain(recipe[key])} instead of {_plain(value)}"
        for key, value in wanted.items()
        if key not in _WORDS and key in recipe and not _same(recipe[key], value)
    ]


def _same(found: Any, wanted: Any) -> bool:
    """Return whether a recipe's value is the declared one, whatever was fitted to the data or has no effect here."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return all(_same(found[key], wanted[key]) for key in (found.keys() & wanted.keys()) - set(_FITTED))
    return bool(found == wanted)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
