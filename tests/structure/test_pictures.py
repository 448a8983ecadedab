"""One decoder for pictures: nobody else opens picture files or decides what their colours are."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.structure.sources import Source, sources

COLOUR_MODES = {"RGB", "RGBA", "RGBa"}

ART = "data/world/artwork.py"
OTHERS = {
    *((ART, call) for call in ("Image.open", 'convert("RGBA")', 'convert("RGBa")')),
    ("generation/provenance.py", "Image.open"),
}
"""What may stand outside of `pictures`: packaged art is kept with its alpha, and provenance reads a text chunk."""


def picture_handling(source: Source) -> Iterator[str]:
    """Calls in a file that open pictures or convert colours."""
    for node in source.nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, owner = node.func.attr, ast.unparse(node.func.value)
        if name == "open" and owner.split(".")[-1] == "Image":
            yield "Image.open"
        modes = [argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)]
        modes += [
            word.value.value for word in node.keywords if word.arg == "mode" and isinstance(word.value, ast.Constant)
        ]
        if name == "convert" and COLOUR_MODES.intersection(map(str, modes)):
            yield f'convert("{modes[0]}")'


def test_pictures_are_decoded_in_one_place():
    found = {
        (source.name, call) for source in sources() if source.part != "pictures" for call in picture_handling(source)
    }
    assert found - OTHERS == set(), "use read_picture or as_rgb of occlusionformer.pictures"


def test_picture_handling_is_recognised(tmp_path):
    path = tmp_path / "odd.py"
    path.write_text(
        'import PIL.Image\nPIL.Image.open("a")\nImage.open(b).convert("RGB")\nc.convert(mode="RGBA")\nd.convert("L")\n'
    )
    assert sorted(picture_handling(Source(path))) == [
        "Image.open",
        "Image.open",
        'convert("RGB")',
        'convert("RGBA")',
    ]
