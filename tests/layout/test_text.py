"""Documents as text: strict JSON and Python literals in, tidy JSON out."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.layout import LayoutError, read_layout, read_layouts, text
from occlusionformer.layout.limits import LAYOUTS, DocumentLimits
from occlusionformer.layout.literal import parse_literal
from tests.tables import for_each

GOOD = '{"prompt": "a cat", "width": 512, "height": 384}'


def problems(source: str | bytes | Path, form: str = "native") -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, form)
    return caught.value.problems


def test_a_document_is_text_bytes_a_file_or_its_value(tmp_path):
    file = tmp_path / "layout.json"
    file.write_text(GOOD)
    expected = read_layout(GOOD)
    assert expected.prompt == "a cat"
    assert read_layout(GOOD.encode()) == read_layout(file) == read_layout(json.loads(GOOD)) == expected
    assert read_layout(b"\xef\xbb\xbf" + GOOD.encode()) == expected


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_layout(tmp_path / "none.json")


def test_the_name_of_a_file_is_no_document():
    assert problems("layout.json") == [
        "line 1, column 1: not JSON: expecting value, got 'layout.json'; a file is passed as a pathlib.Path"
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ('{"prompt": "a",\n "width": }', "line 2, column 11: not JSON: expecting value"),
        ('{"prompt": "a",\n\n "width" 5}', "line 3, column 10: not JSON: expecting ':' delimiter"),
        ('{"prompt": "a"} {}', "line 1, column 17: not JSON: extra data"),
        (b'{"prompt": "\xff"}', "byte 12: expected UTF-8 text, got 0xff"),
    ],
)
def test_syntax_errors_have_a_place(document, problem):
    assert problems(document) == [problem]


def test_repeated_fields_are_refused_wherever_they_are():
    document = '{"prompt": "a", "width": 4, "height": 4, "width": 4, "instances": [{"id": "a", "id": "a", "id": "b"}]}'
    assert problems(document) == [
        "expected every field once, got 'width' again",
        "instances[0]: expected every field once, got 'id' again",
        "instances[0].caption: expected a value, got nothing",
        "instances[0].box: expected a value, got nothing",
    ]


def test_numbers_json_does_not_have_are_refused_once_and_with_the_rest():
    document = (
        '{"prompt": "", "width": 4, "height": 4, "seed": 1e999, '
        '"instances": [{"id": "a", "caption": "a", "box": [NaN, 0, Infinity, 1]}]}'
    )
    assert problems(document) == [
        "prompt: expected some text, got ''",
        "seed: expected a whole number, got inf",
        "instances[0].box: expected x1 to be a finite number, got nan",
        "instances[0].box: expected x2 to be a finite number, got inf",
    ]


def test_numbers_json_does_not_have_are_refused_where_nobody_looks():
    document = '{"images": [{"id": 1, "width": 4, "height": 4, "caption": "a", "score": NaN}], "annotations": []}'
    assert problems(document, "coco") == ["images[0].score: expected a finite number, got nan"]


def test_a_number_with_thousands_of_digits_is_refused():
    problem = "expected numbers of at most 20 digits, got one of 5000"
    assert problems(GOOD.replace("512", "9" * 5000)) == [f"width: {problem}"]
    assert problems(GOOD.replace("512", "-" + "9" * 5000)) == [f"width: {problem}"]
    assert problems(f"{{'caption': 0x{'f' * 4998}}}", "overlaybench") == [f"caption: {problem}"]


TOO_DEEP = "expected at most 64 levels of objects and lists inside each other, got more"


@pytest.mark.parametrize("form", ["native", "coco", "overlaybench"])
def test_deep_documents_are_refused(form):
    where = "" if form == "overlaybench" else "[0][0][0]: "
    assert problems("[" * 70 + "]" * 70, form) == [f"{where}{TOO_DEEP}"]
    assert len(problems("[" * 100_000 + "]" * 100_000, form)) == 1


def test_deep_values_are_refused():
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(LayoutError, match=TOO_DEEP):
        read_layouts(ring)


@pytest.mark.parametrize("chain", ["-" * 100_000 + "1", "1+" * 100_000 + "1", "not " * 100_000 + "1"])
def test_long_python_expressions_are_refused(chain):
    assert len(problems(chain, "overlaybench")) == 1


def test_large_documents_are_refused(tmp_path):
    limit = LAYOUTS.bytes
    long = "é" * (limit // 2) + " "
    file = tmp_path / "long.json"
    file.write_text(long, encoding="utf-8")
    for source in (long, long.encode(), file, gzip.compress(long.encode(), 1)):
        assert problems(source)[0].startswith("expected a document of at most 32 MB")
    assert problems(long[:-2] + " ")[0].startswith("line 1, column 1: not JSON")


def test_names_that_are_no_text_are_refused():
    with pytest.raises(LayoutError) as caught:
        read_layouts({"prompt": "a", "width": 4, "height": 4, "instances": [{5: 6}]}, "overlaybench")
    assert "instances[0]: expected text as the name of a field, got 5" in caught.value.problems


@for_each(
    ("literal", "problem"),
    [
        (
            "{'caption': open('x')}",
            "line 1, column 13: not a Python literal: expected only text, numbers, lists and dicts",
        ),
        (
            "{'caption': {**{}}}",
            "line 1, column 14: not a Python literal: expected only text, numbers, lists and dicts",
        ),
        ("{'caption': {(1,): 2}}", "line 1, column 14: not a Python literal: expected text as the name of a field"),
        ("{'caption': [1, 2", "line 1, column 13: not a Python literal: '[' was never closed"),
        (
            "{'caption': f'{1}'}",
            "line 1, column 13: not a Python literal: expected only text, numbers, lists and dicts",
        ),
        (
            "{'caption':\n 'a",
            "line 2, column 2: not a Python literal: expected the end of a text",
        ),
    ],
)
def test_python_literals_run_nothing_and_have_a_place_for_errors(literal, problem):
    assert problems(literal, "overlaybench") == [problem]


def test_python_literals_with_repeated_names_are_refused():
    document = "{'caption': 'a', 'annotations': {'dog': 1, 'dog': {'bbox': [0, 0, 9, 9], 'local_prompts': 'a dog'}}}"
    assert problems(document, "overlaybench") == ["annotations: expected every field once, got 'dog' again"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(values)
def test_tidy_json_is_the_same_value(value):
    assert json.loads(text.tidy_json(value)) == value


@given(values.filter(lambda value: "\\ud8" not in repr(value)))
def test_literals_are_read_as_python_writes_them(value):
    assert parse_literal(repr(value), DocumentLimits(digits=1000)) == value


@for_each(
    "literal",
    ["'a' \"b\"", "u'x'", "r'\\n'", "'''a'b\nc'''", '"""x"""', "(1)", "(1,)", "()", "[1,]", "{'a': 1,}", "0x1f",
     "1_000", "+5", ".5", "5.", "1e-3", "-1.5E+3", "'\\N{BULLET}\\x41\\u00e9\\U0001f600\\101\\\n\\t'", " [ 1 , 2 ] ",
     "None"],
)  # fmt: skip
def test_literals_are_read_as_python_reads_them(literal):
    value = ast.literal_eval(literal.strip())
    assert parse_literal(literal) == (list(value) if isinstance(value, tuple) else value)


@for_each("literal", ["b'x'", "f'x'", "1+2", "--1", "007", "{1, 2}", "nan", "1.2.3", "1e", "[,]", "x", ""])
def test_what_is_no_literal_of_a_document_is_refused(literal):
    with pytest.raises(LayoutError, match=r"line 1, column \d: not a Python literal: "):
        parse_literal(literal)


def test_tidy_json_breaks_only_what_is_long():
    value = {"short": [1, 2, {"a": None}], "long": [{"name": "x" * 50, "number": k} for k in range(2)], "é": {}}
    assert text.tidy_json(value) == (
        "{\n"
        '  "short": [1, 2, {"a": null}],\n'
        '  "long": [\n'
        f'    {{"name": "{"x" * 50}", "number": 0}},\n'
        f'    {{"name": "{"x" * 50}", "number": 1}}\n'
        "  ],\n"
        '  "é": {}\n'
        "}"
    )
