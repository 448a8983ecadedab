"""Large JSON piece by piece: the same values as all at once, whatever the size of the pieces."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.data.converters import json_ends, json_stream
from occlusionformer.data.converters.json_ends import ValueEnd
from occlusionformer.data.converters.json_stream import JsonStream
from tests.clock import bounded
from tests.properties import examples
from tests.tables import for_each

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


@examples(100)
@given(
    st.dictionaries(TEXT, VALUES, max_size=5) | st.lists(VALUES, max_size=5), st.sampled_from([None, 2]), st.booleans()
)
def test_members_are_those_of_the_whole(folder: Path, value, indent, is_ascii):
    with JsonStream(write(folder / "a.json", value, indent, is_ascii=is_ascii)) as stream:
        members = list(stream.members())
    assert members == list(value.items() if isinstance(value, dict) else enumerate(value))


@examples(60)
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


@for_each(
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


def test_other_members_are_passed_over_however_large_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_stream, "LONGEST_VALUE", 100)
    other = {str(number): [number] * 5 for number in range(200)}
    path = write(folder / "g.json", {"other": other, "wanted": [1, 2]}, None, is_ascii=True)
    with JsonStream(path) as stream:
        assert list(stream.elements("wanted")) == [1, 2]


@examples(300)
@given(VALUES, TEXT, st.integers(0, 6), st.integers(1, 9))
def test_ends_are_found_in_windows_as_one_by_one(value, behind: str, before: int, step: int):
    """With the buffer growing byte by byte, and brackets and texts looked at in windows from the first on."""
    text = json.dumps(value, ensure_ascii=False).encode()
    content = b" " * before + text + b" " + behind.encode()
    for few in (1, 128):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_ends, "FEW", few)
            ending = ValueEnd(text[:1])
            ends = [ending.find(content[:length], before) for length in range(before + 1, len(content) + 1, step)]
        is_nested = text[:1] in (b'"', b"{", b"[")
        for length, end in zip(range(before + 1, len(content) + 1, step), ends, strict=True):
            whole = before + len(text)
            expected = whole if length >= whole else (None if is_nested else length)
            assert end == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": "' + b"\\" * 40_000_000, "byte 6: expected values of at most 12 MB, got "),
        (b'{"a": ' + b"[" * 11_000_000, "byte 6: the value that starts here is cut off"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "byte 6: not JSON: "),
        (b'{"a": "' + b'\\"' * 5_000_000, "byte 6: the value that starts here is cut off"),
    ],
    ids=["backslashes", "brackets", "levels", "quotes"],
)
def test_what_no_data_set_holds_is_refused_in_time(
    folder: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(json_stream, "CHUNK", 4 * 2**20)
    (folder / "h.json").write_bytes(content)
    with (
        bounded(2),
        JsonStream(folder / "h.json") as stream,
        pytest.raises(ValueError, match=r"^.*h\.json: ") as caught,
    ):
        list(stream.members())
    assert str(caught.value).startswith(f"{folder / 'h.json'}: {message}")


def test_a_packed_file_is_read_as_the_file_in_it(folder: Path):
    (folder / "i.json.gz").write_bytes(gzip.compress(b'{"a": {"b": 1}, "c": [2]}'))
    with JsonStream(folder / "i.json.gz") as stream:
        assert list(stream.members()) == [("a", {"b": 1}), ("c", [2])]
    cut = gzip.compress(json.dumps(list(range(5000))).encode())[:-20]
    (folder / "j.json.gz").write_bytes(cut)
    with pytest.raises(ValueError, match=r"j\.json\.gz: expected a whole gzip file: "):  # noqa: SIM117
        with JsonStream(folder / "j.json.gz") as stream:
            list(stream.members())
