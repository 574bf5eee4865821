"""Classes are matched by what they are called, and by their order only where that is said."""

from __future__ import annotations

import pytest

from resnets.data.class_names import match


@pytest.mark.parametrize(
    ("ours", "theirs", "order"),
    [
        (("cat", "dog"), ("cat", "dog"), None),
        (("cat", "dog"), ("dog", "cat"), [1, 0]),
        (("n01440764 tench", "n01443537 goldfish"), ("goldfish", "tench"), [1, 0]),
        (("n01440764", "n01443537"), ("n01443537 goldfish", "n01440764 tench"), [1, 0]),
        (("n00000001 crane", "n00000002 crane"), ("n00000001", "n00000002"), None),  # two classes of one name
    ],
)
def test_the_same_names_or_ids(ours: tuple[str, ...], theirs: tuple[str, ...], order: list[int] | None) -> None:
    """Classes match by name, by synonym or by WordNet id, in any order."""
    assert match(ours, theirs) == (order, None)


def test_numbers_stand_for_names_in_their_order() -> None:
    """Those of the data, as of shards without a list; weights that know numbers may know digits."""
    found = match(("0", "1"), ("tench", "goldfish"))
    assert found is not None
    assert found[0] is None and "are numbers" in (found[1] or "")
    assert match(("tench", "goldfish"), ("0", "1")) is None


def test_synonyms_in_the_same_order() -> None:
    """Of hundreds of classes a few may be called otherwise; what is, is said. Of ten that is another class."""
    names = tuple(f"name {number}" for number in range(200))
    more = tuple(f"{name}, other {name}" for name in names)
    found = match(more, names)
    assert found == (None, "the classes have other synonyms; they are taken to be the same, in the same order")
    found = match((*more[:-1], "crane"), names)
    assert found is not None and (found[1] or "").endswith(": 'crane' for 'name 199'")
    assert match((*more[:9], "crane"), names[:10]) is None


@pytest.mark.parametrize("theirs", [("cat", "cow"), ("cat",), ("dog, puppy", "cat, puss"), ("1", "2")])
def test_others_are_no_match(theirs: tuple[str, ...]) -> None:
    """Classes of other data do not match."""
    assert match(("cat", "dog"), theirs) is None
