"""A report is one file, says what it was given, and nothing it was given becomes markup."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from PIL import Image

from occlusionformer.reporting import Section, figure, gallery, line_chart, page, table, text

VOID = {"meta", "img", "line", "path", "input", "br"}


class Balance(HTMLParser):
    """Follows opening and closing tags."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag


def names_of(html: str) -> list[str]:
    parser = Balance()
    parser.feed(html)
    assert parser.stack == []
    return parser.names


def full_page(word: str) -> str:
    picture = Image.new("RGB", (3, 2), "red")
    chart = line_chart({word: [(0, 1), (1, 2)]}, word, word)
    body = text(word) + table([word], [[word], [1.5]]) + gallery([figure(picture, word)]) + chart
    return page(word, [Section(word, body), Section("b", text("c")), Section("d", text("e"))])


def test_nothing_given_becomes_markup():
    word = "<script>alert('&\"')</script>"
    assert "script" not in names_of(full_page(word))
    assert names_of(full_page(word)) == names_of(full_page("plain"))
    assert full_page(word).count("&lt;script&gt;") == full_page("plain").count("plain")


def test_a_plain_string_in_place_of_markup_is_escaped():
    assert "&lt;b&gt;" in page("t", [Section("h", "<b>")])


def test_page_fetches_nothing():
    found = re.findall(r"""(?:src|href)\s*=\s*"([^"]*)""", full_page("word"))
    assert found
    assert all(address.startswith(("data:", "#")) for address in found)
    assert "url(" not in full_page("word")
    assert "@import" not in full_page("word")


def test_page_is_readable_at_night():
    assert "prefers-color-scheme: dark" in full_page("word")


def test_contents_appear_with_the_third_section():
    two = page("t", [Section("a", text("x")), Section("b", text("y"))])
    assert "<nav>" not in two
    assert '<a href="#s2">d</a>' in full_page("word")


def test_table_shows_numbers_words_and_gaps():
    html = table(["name", "score", "sure"], [["cup", 0.25, True], ["dog", None, False], ["cat", 7, True]])
    assert re.findall(r"<td[^>]*>([^<]*)</td>", html) == [
        "cup", "0.250", "yes", "dog", "–", "no", "cat", "7", "yes"
    ]  # fmt: skip
    assert html.count('<td class="number">') == 3
    assert html.count('<th class="number">') == 1


def test_table_refuses_a_row_of_another_length():
    with pytest.raises(ValueError, match=r"^rows\[1\]: expected 2 cells, got 1$"):
        table(["a", "b"], [["x", "y"], ["z"]])


def test_figure_keeps_every_pixel():
    picture = Image.effect_noise((16, 12), 90).convert("RGB")
    encoded = re.search(r'src="data:image/png;base64,([^"]*)"', figure(picture, "noise")).group(1)
    shown = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert shown.tobytes() == picture.tobytes()


def test_figure_keeps_encoded_bytes():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="WEBP")
    html = figure(stream.getvalue(), "x")
    assert f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}" in html


def test_figure_refuses_other_bytes():
    with pytest.raises(ValueError, match=r"^image: expected PNG, JPEG, WebP or GIF bytes, got bytes that start with"):
        figure(b"%PDF-1.7", "x")


def curves(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [path.get("d") for path in root.iter("path")]


def test_chart_draws_points_inside_its_frame_and_rising_values_upwards():
    svg = line_chart({"loss": [(0, 0.1), (50, 0.7), (100, 3.2)]}, "step", "loss")
    (drawn,) = curves(svg)
    points = [tuple(map(float, step[1:].split())) for step in re.findall(r"[ML][\d. -]+", drawn)]
    assert len(points) == 3
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert all(64 <= x <= 708 and 12 <= y <= 276 for x, y in points)


def test_chart_leaves_a_gap_where_a_value_is_missing():
    (drawn,) = curves(line_chart({"a": [(0, 1), (1, float("nan")), (2, 3), (3, 4)]}, "x", "y"))
    assert drawn.count("M") == 2
    assert drawn.count("L") == 1


def test_chart_of_one_value_and_of_none():
    assert len(curves(line_chart({"a": [(5, 5)]}, "x", "y"))) == 1
    assert "Nothing to draw" in line_chart({"a": []}, "x", "y")
    assert "Nothing to draw" in line_chart({"a": [(0, float("inf"))]}, "x", "y")
