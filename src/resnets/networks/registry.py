"""Networks by name: `resnet56` -> its declaration -> the module. Paper: Tables 1 and 6, section 4.2.

This table imports no torch; what builds a module is imported when it is built.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from resnets.errors import UsageError, as_declared, calling_module, nearest, plain_scalar, public, require_at_least
from resnets.registry import Registry, function_of
from resnets.specs import (
    BNInceptionSpec,
    ComparisonSpec,
    DSNSpec,
    FitNetSpec,
    FunctionSpec,
    GoogLeNetSpec,
    HighwaySpec,
    MaxoutSpec,
    NetworkSpec,
    NINSpec,
    PReLUNetSpec,
    ResNetSpec,
    Spec,
    VGGSpec,
)
from resnets.specs.networks import IMAGENET_STAGES, VGG_STAGES, Option

if TYPE_CHECKING:
    from torch import nn

CIFAR_DEPTHS = (20, 32, 44, 56, 110, 1202)  # 6n + 2 with n = 3, 5, 7, 9, 18, 200: section 4.2


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks of one kind.

    `names` are listed, `pattern` is a regular expression of all names. `declare` returns the declaration of a name with
    options, which is a `spec`, and `build` the module of a declaration.
    """

    name: str
    summary: str
    names: tuple[str, ...]
    pattern: str
    spec: type[Spec]
    options: frozenset[str]
    fixed: frozenset[str] = frozenset()  # options that its function does not take
    declare: Callable[..., NetworkSpec]
    build: str | Callable[..., nn.Module]

    def require_option(self, network: str, option: str) -> None:
        """Verify that a network has an option. Raises: UsageError, naming those that it has."""
        if option not in self.options:
            known = ", ".join(sorted(self.options))
            raise UsageError(f"{network} has no option {option!r}{nearest(option, self.options)}; it has {known}")


def _options_of(declare: Callable[..., NetworkSpec]) -> frozenset[str]:
    return frozenset(inspect.signature(declare).parameters) - {"name"}


_RESIDUAL = {
    "pattern": "(resnet|plain)[1-9][0-9]*(_v1_5|_cifar)?",
    "spec": ResNetSpec,
    "options": _options_of(ResNetSpec.named),
    "declare": ResNetSpec.named,
    "build": "resnets.networks.resnet:ResNet",
}


def _compared(name: str, spec: type[ComparisonSpec], build: str, summary: str) -> Family:
    """Return the family of networks that the paper compares with."""
    names = tuple(spec.named_fields)
    return Family(
        name=name,
        summary=summary,
        names=names,
        pattern="|".join(names),
        spec=spec,
        options=spec.all_options(),
        declare=spec.named,  # type: ignore[arg-type]
        build=f"resnets.networks.comparison.{build}",
    )


NETWORKS: Registry[Family] = Registry(
    "network",
    Family(
        name="cifar",
        summary="Residual networks for small images, and their plain counterparts; any depth 6n + 2 (section 4.2)",
        names=tuple(f"{kind}{depth}" for kind in ("plain", "resnet") for depth in CIFAR_DEPTHS),
        **_RESIDUAL,  # type: ignore[arg-type]
    ),
    Family(
        name="imagenet",
        summary="Residual networks for ImageNet, and their plain counterparts (section 3.3, Table 1)",
        names=(
            *(f"{kind}{depth}" for kind in ("plain", "resnet") for depth in IMAGENET_STAGES),
            *(f"resnet{depth}_v1_5" for depth in (50, 101, 152)),
        ),
        **_RESIDUAL,  # type: ignore[arg-type]
    ),
    Family(
        name="vgg",
        summary="VGG networks, which the paper compares with (Figure 3, Table 3)",
        names=tuple(f"vgg{depth}" for depth in VGG_STAGES),
        pattern="|".join(f"vgg{depth}" for depth in VGG_STAGES),
        spec=VGGSpec,
        options=_options_of(VGGSpec.named),
        declare=VGGSpec.named,
        build="resnets.networks.comparison.vgg:VGG",
    ),
    _compared("maxout", MaxoutSpec, "maxout:Maxout", "Maxout network (Table 6)"),
    _compared("nin", NINSpec, "nin:NIN", "Network in network (Table 6)"),
    _compared("dsn", DSNSpec, "dsn:DSN", "Deeply supervised network (Table 6)"),
    _compared("fitnet", FitNetSpec, "fitnet:FitNet", "FitNet of 19 layers (Table 6)"),
    _compared("highway", HighwaySpec, "highway:HighwayNetwork", "Highway networks of 19 and 32 layers (Table 6)"),
    _compared("googlenet", GoogLeNetSpec, "googlenet:GoogLeNet", "GoogLeNet (Tables 3, 4 and 5)"),
    _compared("bn-inception", BNInceptionSpec, "bn_inception:BNInception", "BN-Inception (Tables 4 and 5)"),
    _compared("prelu-net", PReLUNetSpec, "prelu_net:PReLUNet", "PReLU-nets A, B and C (Tables 3, 4 and 5)"),
)


_WHOLE = ("num_classes", "in_channels", "residual_layers", "bn_group")  # options that are whole numbers


def names() -> tuple[str, ...]:
    """Return the names that are listed; any `plainD` or `resnetD` of another depth D = 6n + 2 exists as well."""
    return tuple(name for family in NETWORKS for name in family.names)


def option_names() -> set[str]:
    """Return the names of the options of all networks."""
    return {option for family in NETWORKS for option in family.options}


def find_family(name: str) -> Family:
    """Return the family of a network's name. Raises: UsageError, with the nearest names, if there is none."""
    if not isinstance(name, str):
        raise UsageError(f"network is of type {type(name).__name__}; it must be a name, such as resnet20")
    for family in NETWORKS:
        if re.fullmatch(family.pattern, name):
            return family
    raise UsageError(f"unknown network {name!r}{nearest(name, names())}; `resnets list` shows all")


def declare(name: str, **options: Any) -> NetworkSpec:
    """Return the declaration of a network by its name; an option that is None takes the family's value.

    Raises: UsageError, if there is no such network or an option does not apply to it.
    """
    family = find_family(name)
    given = {
        option: as_declared(option, plain_scalar(value), "int" if option in _WHOLE else None)
        for option, value in options.items()
        if value is not None
    }
    for option in given:
        family.require_option(name, option)
    return family.declare(name, **given)


def declare_as(start: NetworkSpec | None, name: str, **options: Any) -> NetworkSpec:
    """Return the declaration of a network that takes the weights of another one, of the same name.

    What the options leave open is as in `start`; so is what only converted weights have, the authors' pooling or
    another project's zero channels.

    Raises: UsageError, as `declare`.
    """
    declared = declare(name, **options)
    if start is None or type(start) is not type(declared):
        return declared
    if start.name == name:
        given = {option for option, value in options.items() if value is not None}
        theirs = start.options if isinstance(start, FunctionSpec) else start.fields()
        ours = declared.options if isinstance(declared, FunctionSpec) else declared.fields()
        variant = find_family(name).options - given - start.of_training - {"num_classes", "in_channels"}
        taken = {one: theirs[one] for one in variant & theirs.keys() if one not in ours or theirs[one] != ours[one]}
        declared = declare(name, **{**options, **taken})
    if isinstance(declared, ResNetSpec) and isinstance(start, ResNetSpec):
        declared = declared.with_changes(pool=start.pool, zeros=start.zeros)
    return declared


def build(declaration: NetworkSpec) -> nn.Module:
    """Return the module that a declaration describes, freshly initialised; its `spec` is the declaration.

    Raises: UsageError, if it is of a registered network, and the module that registers it is not imported.
    """
    if not isinstance(declaration, FunctionSpec):
        family = next(family for family in NETWORKS if isinstance(declaration, family.spec))
    elif declaration.name in NETWORKS:
        family = NETWORKS.find(declaration.name)
    else:
        module = declaration.module
        how = f"module {module}: import it first, or use `resnets --import {module} ...`"
        if module == "__main__":
            how = "a script: call resnets.register_network first, in a module for the command line"
        raise UsageError(f"network {declaration.name!r} is not known here; it was registered by {how}")
    network: nn.Module = function_of(family.build)(declaration)
    network.spec = declaration  # type: ignore[assignment]
    return network


def create(name: str, **options: Any) -> nn.Module:
    """Return a freshly initialised network; the options are those of `declare`.

    Raises: UsageError, as `declare`.
    """
    return build(declare(name, **options))


def spec_of(network: object) -> NetworkSpec | None:
    """Return the declaration of a network that was made by its name; None for any other module."""
    spec = getattr(network, "spec", None)
    return spec if isinstance(spec, NetworkSpec) else None


def name_of(network: object) -> str:
    """Return the name of a network, or of a custom module's class."""
    spec = spec_of(network)
    return type(network).__name__ if spec is None else spec.name


def decoded_side(network: str | nn.Module) -> int | None:
    """Return the side to which a network's images are resized when they are read; None: they keep their size.

    For the CIFAR type it is 32 pixels: so small images are kept in memory.

    Raises: UsageError, if there is no network of this name.
    """
    found = declare(network) if isinstance(network, str) else spec_of(network)
    return found.input_size if found is not None and found.type == "cifar" else None


# ---------------------------------------------------------------- networks of users


@public
def register_network(
    name: str,
    function: Callable[..., nn.Module],
    *,
    summary: str = "",
    input_size: int = 224,
    num_classes: int | None = None,
    depth: int | None = None,
) -> None:
    """Register a network for `create`, `train`, `plan`, `study`, `evaluate`, `predict`, `resnets list` ...

    A weights file holds the name and the options: to read it, the module that registers the network must be imported,
    on the command line by `resnets --import MODULE ...`.

    Args:
        name: of the network.
        function: returns a module, (N, C, H, W) -> (N, num_classes). It is called with `num_classes` and `in_channels`
            if it accepts them; its other arguments are options of the network, as in `create(name, width=2)`.
        summary: one line for lists.
        input_size: side of the input images in pixels; below 64, images are resized to it and kept in memory.
        num_classes: the default, and the only number if `function` does not accept it.
        depth: weighted layers, for lists.

    Raises: UsageError, if the name is taken or is not a name, or the number of classes is unknown.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise UsageError(f"network {name!r}: a name is of letters, digits, '_', '-' and '.', and starts with a letter")
    if name not in NETWORKS and any(re.fullmatch(family.pattern, name) for family in NETWORKS):
        raise UsageError(f"there is another network {name!r} already; give yours another name")
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(function).parameters
    parameters = {key: parameter for key, parameter in signature.items() if parameter.kind not in variable}
    if num_classes is None and isinstance(default := getattr(parameters.get("num_classes"), "default", None), int):
        num_classes = default
    if num_classes is None and "num_classes" not in parameters:
        raise UsageError(f"network {name!r}: its function does not accept num_classes; register it with num_classes=")
    owner = calling_module()
    spec = FunctionSpec(
        name=name,
        module=owner,
        input_size=input_size,
        depth=depth,
        num_classes=num_classes or (10 if input_size < 64 else 1000),
    )
    family = Family(
        name=name,
        summary=summary or (inspect.getdoc(function) or "").partition("\n")[0],
        names=(name,),
        pattern=re.escape(name),
        spec=FunctionSpec,
        options=frozenset({"num_classes", "in_channels", *parameters}),
        fixed=frozenset({"num_classes", "in_channels"}).difference(parameters),
        declare=partial(_declare_function, spec, frozenset(parameters)),
        build=partial(_call, function, frozenset(parameters)),
    )
    NETWORKS.add(family, owner)


def _declare_function(
    spec: FunctionSpec,
    parameters: frozenset[str],
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int = 3,
    **options: Any,
) -> FunctionSpec:
    for option, value in options.items():
        if not isinstance(value, Option):
            raise UsageError(
                f"{option} is of type {type(value).__name__}; an option is a number, a text or True or False"
            )
    declared = spec.with_changes(
        num_classes=num_classes or spec.num_classes, in_channels=in_channels, options=dict(sorted(options.items()))
    )
    for field in ("num_classes", "in_channels"):
        value, only = getattr(declared, field), getattr(spec, field)
        require_at_least(1, **{field: value})
        if field not in parameters and value != only:
            raise UsageError(f"{name} is only made with {field}={only}, not {value}: its function does not accept it")
    return declared


def _call(function: Callable[..., nn.Module], parameters: frozenset[str], spec: FunctionSpec) -> nn.Module:
    sizes = {"num_classes": spec.num_classes, "in_channels": spec.in_channels}
    network = function(**{key: value for key, value in sizes.items() if key in parameters}, **spec.options)
    if not callable(getattr(network, "state_dict", None)):
        raise UsageError(f"the function of {spec.name} returned a {type(network).__name__}, not a torch module")
    return network
