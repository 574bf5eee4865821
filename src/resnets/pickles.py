"""Pickles of plain data and NumPy arrays, read without Python's pickle machine: nothing that they name is called."""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Refused(ValueError):
    """A pickle names something that is no plain data; `name` is that."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it needs {name}, which would run code")
        self.name = name


class Opaque:
    """An object in a pickle that is of no interest here: its class is known to be harmless, its content is dropped."""

    __slots__ = ()

    def __init__(self, *_: Any) -> None:
        pass


class Settings(Opaque):
    """An object whose attributes are plain data: the arguments of a program. `values` are these by name."""

    __slots__ = ("values",)

    def __init__(self, *_: Any) -> None:
        self.values: dict[Any, Any] = {}


@dataclass(frozen=True, slots=True)
class Named:
    """What a pickle names; `value` is what is here in its place: a function of this package, or any other value."""

    name: str
    value: Any


# ---------------------------------------------------------------- NumPy's part


class _Type:
    """A dtype whose byte order is not known yet."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[biufSU][1-9]\d{0,5}", code):
            raise ValueError(f"arrays of type {str(code)[:20]!r} are not read")
        self.code = code.lstrip("<>|=")
        self.order = code[0] if code[0] in "<>" else "="

    def build(self, state: Any) -> None:
        """Take the byte order from a state, and nothing else."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]

    def array(self, data: Any, shape: Any, order: str) -> NDArray[Any]:
        content = data.encode("latin1") if isinstance(data, str) else data  # of Python 2
        if not isinstance(content, bytes | bytearray) or not isinstance(shape, tuple):
            raise ValueError("an array without its bytes or its shape")
        return np.frombuffer(content, np.dtype(self.order + self.code)).reshape(shape, order=order)  # type: ignore[call-overload]


class _Array:
    """An array whose state has not come yet."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Type):
            raise ValueError("an array without a type")
        self.value = kind.array(data, shape, "F" if fortran else "C")


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(kind, _Type) or order not in ("C", "F"):
        raise ValueError("an array without a type")
    return kind.array(data, shape, order)


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in encoding {str(encoding)[:20]!r}")
    return str.encode(text, "latin1")


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in items}


def _set(items: Any = ()) -> set[Any]:
    return {_key(item) for item in items}


def _no_bytes() -> bytes:
    return b""


PLAIN: dict[str, Any] = {
    "collections.OrderedDict": _dictionary,
    "_codecs.encode": _encoded,
    **{f"{builtins}.set": _set for builtins in ("builtins", "__builtin__")},
    **{f"{builtins}.bytes": _no_bytes for builtins in ("builtins", "__builtin__")},  # those of protocol 2
    "numpy.ndarray": None,
    "numpy.dtype": _Type,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": Opaque for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
"""What a pickle of plain data and arrays may name."""


# ---------------------------------------------------------------- the reader

MOST_ARGUMENTS = 16
_COPIED = (str, bytes, bytearray, list, tuple, dict, set)  # by a call that is given it; a storage is shared
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING"),
    *("SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES"),
    *("BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_CONTAINERS: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARKED: dict[str, Callable[[list[Any]], Any]] = {"TUPLE": tuple, "LIST": list, "DICT": lambda items: _pairs({}, items)}


def read_pickle(file: BytesIO, known: Mapping[str, Any] = PLAIN, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return what the pickle at the place of a file in memory holds; the file is then after it.

    Lists, dicts, tuples and sets are Python's; dicts have texts, bytes and small integers as keys. What it names is
    looked up in `known`. A persistent id becomes what `persistent` returns. Python 2's pickles are read too.

    Raises: Refused, if it names something else; nearly anything, if it is damaged.
    """
    return _Reader(known, persistent, 1_000_000 + 4 * file.getbuffer().nbytes).read(file)


class _Reader:
    """A stack of values, the stacks below the marks, and the memo; a budget of what calls may be given."""

    def __init__(self, known: Mapping[str, Any], persistent: Callable[[Any], Any] | None, budget: int) -> None:
        self.known, self.persistent, self.budget = known, persistent, budget
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def read(self, file: BytesIO) -> Any:
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name in _VALUES:
                self.stack.append(argument)
            elif name == "STOP":
                break
            else:
                self._step(name, argument)
        return self._pop()

    def _pop(self) -> Any:
        value = self.stack.pop()
        return value.value if isinstance(value, _Array) else value

    def _marked(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(self.memo[argument])
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "PROTO" | "FRAME":
                pass
            case "POP":
                if stack:
                    stack.pop()
                else:
                    self.stack = self.below.pop()
            case "POP_MARK":
                self._marked()
            case "DUP":
                stack.append(stack[-1])
            case "APPEND" | "APPENDS" | "ADDITEMS" | "SETITEM" | "SETITEMS":
                self._add(name)
            case "GLOBAL" | "STACK_GLOBAL" | "REDUCE" | "NEWOBJ" | "BUILD" | "PERSID" | "BINPERSID":
                self._object(name, argument)
            case _:
                self._container(name)

    def _container(self, name: str) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _CONTAINERS:
            self.stack.append(_CONTAINERS[name]())
        elif name in _MARKED:
            items = _resolved(self._marked())
            self.stack.append(_MARKED[name](items))
        elif count := _TUPLES.get(name):
            items = _resolved(self.stack[-count:])
            if len(items) < count:
                raise IndexError("an empty stack")
            self.stack[-count:] = [tuple(items)]
        else:
            raise Refused(f"the opcode {name}")

    def _add(self, name: str) -> None:
        """Add the last values, or those after the mark, to the container before them."""
        count = {"APPEND": 1, "SETITEM": 2}.get(name)
        items = self._marked() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        items, container = _resolved(items), self.stack[-1]
        if name.startswith("SETITEM") and type(container) is dict:
            _pairs(container, items)
        elif name.startswith("APPEND") and type(container) is list:
            container += items
        elif name == "ADDITEMS" and type(container) is set:
            container.update(map(_key, items))
        elif not isinstance(container, Opaque):
            raise TypeError(f"{name} on a {type(container).__name__}")

    def _object(self, name: str, argument: Any) -> None:
        if name == "GLOBAL":
            self.stack.append(self._named(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            last, module = self._pop(), self._pop()
            self.stack.append(self._named(".".join((module, last))))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = self._pop(), self._pop()
            if not isinstance(called, Named) or not callable(called.value):
                raise TypeError(f"a call of a {type(called).__name__}")
            self._spend(arguments)
            self.stack.append(called.value(*arguments))
        elif name == "BUILD":
            state = self._pop()
            if isinstance(self.stack[-1], Settings) and type(state) is dict:
                self.stack[-1].values = state
            elif isinstance(self.stack[-1], _Array | _Type):  # attributes of other objects are dropped
                self._spend(state)
                self.stack[-1].build(state)
        elif self.persistent is None:
            raise Refused("persistent ids")
        else:
            self.stack.append(self.persistent(argument if name == "PERSID" else self._pop()))

    def _spend(self, given: Any) -> None:
        """Count what a call is given: it is in the file once, and might be given a million times."""
        if type(given) is not tuple or len(given) > MOST_ARGUMENTS:
            raise TypeError("a call without arguments, or with too many")
        self.budget -= sum(len(value) for value in given if isinstance(value, _COPIED))
        if self.budget < 0:
            raise MemoryError("its calls are given more than it holds")

    def _named(self, name: str) -> Named:
        if name not in self.known:
            raise Refused(re.sub(r"[^\w.]", "?", name)[:100])
        return Named(name, self.known[name])


def _resolved(items: list[Any]) -> list[Any]:
    """Return values with arrays for those whose state has come since."""
    return [item.value if isinstance(item, _Array) else item for item in items]


def _pairs(container: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        container[_key(key)] = value
    return container


def _key(key: Any) -> Any:
    """Return a key of a dict or an item of a set. Others may be nested, or collide, without limit."""
    if isinstance(key, str | bytes | bool | None) or (isinstance(key, int) and abs(key) < 1 << 32):
        return key
    raise TypeError(f"a key of type {type(key).__name__}")
