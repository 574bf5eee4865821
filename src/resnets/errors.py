"""The exceptions and warnings of the package: each message says what was wrong, where, and what would be right."""

from __future__ import annotations

import contextlib
import difflib
import errno
import functools
import importlib
import inspect
import operator
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar, get_type_hints

ANOTHER_FOLDER = "name another folder with --out"
"""What is right where a folder holds something else: the same words everywhere."""


class ResnetsError(Exception):
    """Base of every error that the package raises on purpose; the command prints it as one line."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(ResnetsError, ValueError):
    """A wrong request: an unknown name or an impossible setting."""

    exit_code = 2


class DataError(ResnetsError):
    """A data set is missing, incomplete, damaged or not what it should be."""


class ImageError(DataError):
    """An image file is missing, damaged, too large or none at all; `resnets data check` lists all those of a source."""


class NoMasksError(DataError):
    """A detection data set has boxes alone, and masks were requested."""


class StorageError(ResnetsError):
    """Remote storage does not give what it has, after several attempts: the same command can be run again later."""


class WeightsError(ResnetsError):
    """A weights file is damaged, unsafe to read or made for another network; `details` lists what does not fit."""

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details


class CheckpointError(ResnetsError):
    """A checkpoint cannot be written, read or trusted."""


class RunError(ResnetsError):
    """A run's folder is in use, holds another run, or cannot be written."""


class RecordError(RunError):
    """A record on disk is damaged, or not of the expected kind."""


class TrainingError(ResnetsError):
    """Training cannot go on, for example because the loss is not finite."""


class Interrupted(ResnetsError):
    """A signal asked a run to stop; what was done is `saved`. The exit code is 128 + the signal's number."""

    def __init__(self, message: str, signum: int, *, saved: bool = True) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum
        self.saved = saved


class ProcessLost(TrainingError):
    """Another of several processes ended without an error of its own; the message names it."""


class FailedElsewhere(ResnetsError):
    """Another of several processes failed first and reports why; this one ends with it, and prints nothing."""


def printable(text: str) -> str:
    """Return a text, such as a name in a file, with what would command a terminal as \\x1b; its lines stay."""
    if text.isprintable():
        return text
    return "".join(ascii(one)[1:-1] if unicodedata.category(one) == "Cc" and one != "\n" else one for one in text)


def is_utf8(text: str) -> bool:
    """Return whether a text can be written: a name of a file that is no UTF-8 is a text with surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ' (did you mean a, b or c?)' for the names in `known` nearest to `name`, or ''."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    if not matches:
        return ""
    return f" (did you mean {alternatives(matches)}?)"


def alternatives(names: Sequence[str]) -> str:
    """Return names in a sentence: a, b or c."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def require_known(call: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Make sure that a call has arguments of these names. Raises: UsageError, naming those nearest to a wrong one."""
    for name in names:
        if name not in known:
            raise UsageError(f"{call}() has no argument {name!r}{nearest(name, known)}")


def require_at_least(least: int, **values: int | None) -> None:
    """Make sure that no number is less than another; None is any. Raises: UsageError, naming the first that is."""
    for name, value in values.items():
        if value is not None and value < least:
            raise UsageError(f"{name} is {value}; it must be {least} or more")


F = TypeVar("F", bound=Callable[..., Any])

_PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "Path": "a path",
    "bool": "True or False",
    "None": "None",
    "Sequence[int]": "whole numbers",
    "Iterable[int]": "whole numbers",
    "tuple[int, ...]": "whole numbers",
    "tuple[float, ...]": "numbers",
    "Iterable[str]": "a list of names",
}
"""The declarations that are verified, and what they are called."""


def is_plain(declared: object) -> bool:
    """Return whether an annotation is of plain kinds alone, such as `int | None`, which `as_declared` verifies."""
    return isinstance(declared, str) and _PLAIN.keys() >= set(declared.split(" | "))


def as_declared(name: str, value: Any, declared: Any) -> Any:
    """Return an argument as it is declared, such as `int | None`: numbers of NumPy and torch become Python's.

    A torch device becomes its name.

    What is not declared in plain kinds alone is returned as it is.

    Raises: UsageError, if it is of another kind: a whole number is what `operator.index` takes.
    """
    if not is_plain(declared):
        return value
    kinds = declared.split(" | ")
    of_kind = {"None": value is None, "str": isinstance(value, str), "bool": isinstance(value, bool)}
    of_kind["Path"] = isinstance(value, os.PathLike)
    if any(of_kind.get(kind) for kind in kinds):
        return value
    if "str" in kinds and f"{type(value).__module__}.{type(value).__name__}" == "torch.device":
        return str(value)
    if not isinstance(value, str | bool):
        with contextlib.suppress(TypeError, ValueError):
            if "float" in kinds:
                return value if type(value) in (int, float) else float(value)
            if "int" in kinds:
                return operator.index(value)
            if any(kind.endswith(("[int]", "[int, ...]")) for kind in kinds):
                return tuple(map(operator.index, value))
            if "tuple[float, ...]" in kinds:
                return tuple(as_declared(name, one, "float") for one in value)
            if "Iterable[str]" in kinds:
                return tuple(as_declared(name, one, "str") for one in value)
            if "bool" in kinds and type(value).__name__ in ("bool", "bool_"):  # NumPy's
                return bool(value)
    raise UsageError(f"{name} is {value!r}; it must be {' or '.join(_PLAIN[kind] for kind in kinds)}")


def plain_scalar(value: Any) -> Any:
    """Return a number or truth value of NumPy or torch as Python's, and anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def plain_values(value: Any) -> Any:
    """Return numbers of NumPy and torch as Python's, also within lists and tuples; an array becomes a list."""
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(plain_values, value))
    is_array = hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0
    return value.tolist() if is_array else plain_scalar(value)


@contextmanager
def possible_names() -> Iterator[None]:
    """Turn what the system says of a name that no file can have into a UsageError; also as a decorator."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UsageError(f"{str(error.filename)[:80]}...: the name of the file is too long") from None
    except ValueError as error:
        if "embedded null" not in str(error):
            raise
        raise UsageError("the name of a file has a null byte") from None


def public(call: F) -> F:
    """Return a call of the package, or a class with a constructor, that verifies its arguments before it runs.

    An unknown keyword is a UsageError that names the nearest one, and so is an argument of another kind, `as_declared`,
    and the name of a file that the system cannot have, which each function reports in its own way.
    """
    if isinstance(call, type):
        call.__init__ = public(call.__init__)  # type: ignore[misc]
        return call
    declared = {name: parameter.annotation for name, parameter in inspect.signature(call).parameters.items()}
    others: Callable[[], Iterable[str]] = getattr(call, "other_arguments", tuple)
    title = call.__qualname__.removesuffix(".__init__")

    @functools.wraps(call)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        if keywords.keys() - declared.keys():
            require_known(title, keywords, [*(name for name in declared if name != "self"), *others()])
        given = [as_declared(name, value, declared[name]) for name, value in zip(declared, arguments, strict=False)]
        named = {name: as_declared(name, value, declared.get(name)) for name, value in keywords.items()}
        with possible_names():
            return call(*given, *arguments[len(declared) :], **named)

    return checked  # type: ignore[return-value]


def showing_settings(config: type | None = None, others: Callable[[], Iterable[str]] = tuple) -> Callable[[F], F]:
    """Return a decorator of a call with `**settings: Unpack[...]`, whose signature then names each, as `help` shows it.

    The defaults are those of the configuration, and None for what the recipe or the network has. `public` accepts
    `others` too, which are not shown.
    """

    def shown(call: F) -> F:
        signature = inspect.signature(call)
        *own, settings = signature.parameters.values()
        (declared,) = get_type_hints(call)[settings.name].__args__
        named = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(config, name, None),
                annotation=kind.__forward_arg__,
            )
            for name, kind in declared.__annotations__.items()
        ]
        call.__signature__ = signature.replace(parameters=[*own, *named])  # type: ignore[attr-defined]
        call.other_arguments = others  # type: ignore[attr-defined]
        return call

    return shown


def calling_module() -> str:
    """Return the name of the module that called the package, however many of its functions are in between."""
    return str(_calling_frame().f_globals.get("__name__"))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called the package, however many of its functions, and of torch's, are in between."""
    frame = _calling_frame()
    names, registry = frame.f_globals, frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, names.get("__name__"), registry)


def _calling_frame() -> FrameType:
    frame = sys._getframe(1)
    while frame.f_back is not None and _package(frame.f_globals) in ("resnets", "contextlib", "torch"):
        frame = frame.f_back
    return frame


def _package(names: dict[str, Any]) -> str:
    return str(names.get("__name__")).partition(".")[0]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def import_extra(package: str, extra: str) -> Any:
    """Return a module of an optional dependency. Raises: UsageError, naming the extra, if it is not installed."""
    name = package.partition(".")[0]
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name:
            raise
        raise UsageError(missing_extra(name, extra)) from None


def missing_extra(packages: str, extra: str) -> str:
    """Return what is reported of missing packages, with the command that installs them: the same text everywhere."""
    return f"{packages} {'are' if ',' in packages else 'is'} not installed: pip install 'resnets[{extra}]'"
