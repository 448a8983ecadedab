"""Large JSON piece by piece: the same values as all at once, whatever the size of the pieces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlusionformer.data.converters import json_stream
from occlusionformer.data.converters.json_stream import JsonStream

TEXT = st.text(st.sampled_from('ab{}[],:"\\ \né'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_stream, "CHUNK", 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json")


def write(path: Path, value: object, indent: int | None, *, is_ascii: bool) -> Path:
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=is_ascii), encoding="utf-8")
    return path


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(TEXT, VALUES, max_size=5) | st.lists(VALUES, max_size=5), st.sampled_from([None, 2]), st.booleans()
)
def test_members_are_those_of_the_whole(folder: Path, value, indent, is_ascii):
    with JsonStream(write(folder / "a.json", value, indent, is_ascii=is_ascii)) as stream:
        members = list(stream.members())
    assert members == list(value.items() if isinstance(value, dict) else enumerate(value))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4), st.lists(VALUES, max_size=5))
def test_elements_of_one_list_among_others(folder: Path, others, wanted):
    value = {**others, "wanted": wanted, "z": [1, {"a": []}]}
    with JsonStream(write(folder / "b.json", value, None, is_ascii=True)) as stream:
        assert list(stream.elements("wanted")) == wanted
    with JsonStream(folder / "b.json") as stream:
        assert list(stream.names()) == list(value)


def test_a_byte_order_mark_is_passed_over(folder: Path):
    (folder / "c.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    with JsonStream(folder / "c.json") as stream:
        assert list(stream.members()) == [("a", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "byte 0: expected an object or a list"),
        ("3", "byte 0: expected an object or a list"),
        ('{"a": {}', "byte 8: expected a comma or }"),
        ('{"a": {"b": 1}, }', "byte 16: expected another member after the comma"),
        ('{"a": {"b": 1} "c": 2}', "byte 15: expected a comma or }"),
        ('{"a": {"b": 1', "byte 6: the value that starts here is cut off"),
        ('{"a": {"b": 1,}}', "byte 6: not JSON: "),
        ('{"a": {"b": nan}}', "byte 6: not JSON: "),
        ("{a: 1}", "byte 1: expected a name in quotes and a colon"),
        ('{"a" 1}', "byte 5: expected a name in quotes and a colon"),
        ('{"a": , "b": 1}', "byte 6: expected a value"),
        ("[1, 2]]", "byte 6: expected the end of the file"),
        ("[1 2]", "byte 3: expected a comma or ]"),
        ("[1, 2", "byte 5: expected a comma or ]"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(folder: Path, text: str, message: str):
    (folder / "d.json").write_text(text)
    with JsonStream(folder / "d.json") as stream, pytest.raises(ValueError, match=r"^.*d\.json: ") as caught:
        list(stream.members())
    assert str(caught.value).startswith(f"{folder / 'd.json'}: {message}")


def test_a_list_that_is_not_there(folder: Path):
    (folder / "e.json").write_text('{"a": 1}')
    with (
        JsonStream(folder / "e.json") as stream,
        pytest.raises(ValueError, match="the list 'annotations', got one without"),
    ):
        list(stream.elements("annotations"))


def test_values_too_large_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_stream, "LONGEST_VALUE", 100)
    (folder / "f.json").write_text('{"a": [' + "1," * 200 + "1]}")
    with JsonStream(folder / "f.json") as stream, pytest.raises(ValueError, match="values of at most 0 MB"):
        list(stream.members())
