"""Pickles are read without running anything: what they hold is what Python reads, and none crashes the interpreter."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from resnets.pickles import Refused, read_pickle

SHARED = ["a", 1]
PLAIN = {
    "numbers": [0, -1, 255, 65_536, 2**40, -(2**70), 0.5, float("inf"), True, False, None],
    "texts": ("", "é", "\x1b[31m", b"", b"\x80\xff", "x" * 300, b"y" * 300),
    "nested": {"list": [SHARED, SHARED, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 5: {"set": {1, "two"}}},
    "ordered": OrderedDict([("b", 1), ("a", [2])]),
}
ARRAYS = [
    np.arange(6).reshape(2, 3).astype(kind) for kind in ("f4", ">f8", "f2", "i8", ">i2", "u1", "?", "S5", "U7", "<U3")
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_and_arrays_are_what_python_reads(protocol: int) -> None:
    """With shared lists, and arrays of every kind, byte order and layout."""
    arrays = [*ARRAYS, np.asfortranarray(ARRAYS[0]), ARRAYS[0].T, ARRAYS[0][:, ::2], np.zeros((0, 3)), np.float32(1)]
    content = pickle.dumps((PLAIN, arrays[:-1], arrays[0]), protocol)
    plain, found, first = read_pickle(BytesIO(content))
    assert plain == PLAIN and plain["nested"]["list"][0] is plain["nested"]["list"][1]
    assert first is found[0]
    for ours, theirs in zip(found, arrays, strict=False):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


class Calls:
    """Asks to run something when it is unpickled."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("call", [(os.system, "true"), (eval, "1"), (np.save, "x", 1), (bytearray, 10**12)])
def test_anything_else_is_refused_by_its_name(call: tuple[Any, ...]) -> None:
    """A call that a pickle asks for is refused with its name."""
    with pytest.raises(Refused) as caught:
        read_pickle(BytesIO(pickle.dumps([Calls(*call)])))
    assert caught.value.name.endswith(call[0].__name__)


@pytest.mark.parametrize("kind", [object, "M8[s]", "m8[s]", "c8", "V4", [("a", "f4"), ("b", object)]])
def test_arrays_of_other_kinds_are_refused(kind: Any) -> None:
    """Of objects above all: their bytes would be addresses."""
    with pytest.raises(ValueError, match="not read"):
        read_pickle(BytesIO(pickle.dumps(np.zeros(3, kind))))
