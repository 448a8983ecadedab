"""A whole report: headings one after another, readable by day and by night, with nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    body_html: Markup
    """Made by the functions of this package; plain strings are escaped."""


def page(title: str, sections: Sequence[Section]) -> str:
    """The text of an HTML file; sections are listed at the top once there are more than two."""
    style = Markup((files("occlusionformer.reporting") / "style.css").read_text(encoding="utf-8"))
    body = Markup("\n").join(
        Markup('<section id="s{}"><h2>{}</h2>\n{}</section>').format(place, section.heading, section.body_html)
        for place, section in enumerate(sections)
    )
    switch = BOXES_SWITCH if BOXES_MARK in body else Markup("")
    return str(_FRAME.format(title=title, style=style, switch=switch, contents=_contents(sections), body=body))


BOXES_MARK = Markup('class="box')
BOXES_SWITCH = Markup('<input type="checkbox" id="boxes" class="boxes-shown"><label for="boxes">Show boxes</label>\n')
"""Shows or hides the boxes on all pictures of a page; it stands there when any picture has some."""

_FRAME = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{switch}<main>
<h1>{title}</h1>
{contents}{body}
</main>
</body>
</html>
""")


def _contents(sections: Sequence[Section]) -> Markup:
    if len(sections) <= 2:
        return Markup("")
    links = (Markup('<li><a href="#s{}">{}</a></li>').format(place, s.heading) for place, s in enumerate(sections))
    return Markup("<nav><ul>{}</ul></nav>\n").format(Markup("").join(links))
