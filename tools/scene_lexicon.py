"""A lexicon written by hand: which objects English wordings mean, for the text table's answers.

`lexicon.tsv` has a wording, an object's name and a sign in each line: "=" where who writes the wording expects this
picture or is content with it, "~" where the object is only the nearest there is. It was written without sight of the
wordings that training holds out, nor of those that it uses.

Run from the repository root, `python tools/scene_lexicon.py` brings a changed lexicon into the packaged table;
`rebuild_scene_text.py` makes the whole table, lexicon included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save

from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import ONLY_NEAREST, packaged_tokenizer
from occlusionformer.embedded.wordings import wording
from occlusionformer.generation.vocabulary import Vocabulary
from occlusionformer.layout.atomic import write_atomic

LEXICON = Path(__file__).with_name("lexicon.tsv")
SIGNS = {"=": True, "~": False}
TABLE = "diffusion_pytorch_model.safetensors"


class Entry(NamedTuple):
    """What a wording means."""

    text: str
    meaning: int
    """Number of the object."""
    sure: bool
    """Whether the object is what is meant, not only the nearest there is."""


def read_lexicon(text: str, names: Sequence[str]) -> list[Entry]:
    """The lexicon's entries; ValueError names every line with an unknown object or sign or a wording said before."""
    number = {name: place for place, name in enumerate(names)}
    found: dict[str, Entry] = {}
    problems = []
    for row, line in enumerate(text.splitlines(), 1):
        phrase, name, sign = [*line.split("\t"), "", ""][:3]
        if name not in number or sign not in SIGNS or line.count("\t") != 2:
            problems.append(f"line {row}: expected a wording, an object's name and = or ~ between tabs, got {line!r}")
        elif phrase in found:
            problems.append(f"line {row}: expected every wording once, got {phrase!r} again")
        else:
            found[phrase] = Entry(phrase, number[name], SIGNS[sign])
    if problems:
        raise ValueError("\n".join(problems))
    return list(found.values())


def plural(text: str) -> str:
    """Of a wording's last word, by the rules for most words; what they make of others does no harm, as none says it."""
    if text.endswith(("s", "x", "z", "ch", "sh")):
        return f"{text}es"
    if text.endswith("y") and text[-2:-1] not in tuple("aeiou"):
        return f"{text[:-1]}ies"
    return f"{text[:-3]}men" if text.endswith("man") else f"{text}s"


def spellings(entry: Entry) -> Iterator[str]:
    """The wording, with blanks for hyphens, and, where it is sure, its plurals."""
    forms = dict.fromkeys((entry.text, entry.text.replace("-", " ")))
    yield from forms
    if entry.sure:
        yield from map(plural, forms)


def lexicon_answers(
    entries: Sequence[Entry],
    ids_of: Callable[[str], Sequence[int]],
    left_out: Collection[int],
    is_background: Callable[[Sequence[int]], bool],
) -> dict[int, int]:
    """Answers by the numbers of wordings: an object's number, more by ONLY_NEAREST where it is only the nearest.

    left_out: tokens of colours, which are read by themselves. Wordings as they stand go before plurals, sure ones
    before others; of tokens in another order the first counts. What is read as a background stays so, if not sure.
    """
    found: dict[int, int] = {}
    ranked = [
        (not entry.sure, place > 0, entry, form) for entry in entries for place, form in enumerate(spellings(entry))
    ]
    for _, _, entry, form in sorted(ranked, key=lambda item: item[:2]):
        ids = ids_of(form)
        if ids and not set(ids) & set(left_out) and (entry.sure or not is_background(ids)):
            found.setdefault(wording(ids), entry.meaning + (0 if entry.sure else ONLY_NEAREST))
    return found


def with_answers(tensors: Mapping[str, np.ndarray], told: Mapping[int, int]) -> dict[str, np.ndarray]:
    """A table's answers, those told in place of its own where it has both, ascending."""
    own = dict(zip(tensors["answers"].tolist(), tensors["answers_as"].tolist(), strict=True))
    merged = own | dict(told)
    numbers = sorted(merged)
    return {
        "answers": np.array(numbers, dtype=np.int64),
        "answers_as": np.array([merged[number] for number in numbers], dtype=np.int16),
    }


def told_by_hand(
    tensors: Mapping[str, np.ndarray], ids_of: Callable[[str], Sequence[int]], read_as: Callable[[Sequence[int]], int]
) -> dict[int, int]:
    """The lexicon's answers for a table of the packaged objects; read_as: the row that its keys lead tokens to."""
    names = [item.name for item in Vocabulary.read(EMBEDDED.vocabulary).objects]
    entries = read_lexicon(LEXICON.read_text(encoding="utf-8"), names)
    said = set(tensors["said"].tolist())
    answers = lexicon_answers(entries, ids_of, tensors["colour_ids"].tolist(), lambda ids: read_as(ids) >= len(names))
    kept = {number: meaning for number, meaning in answers.items() if number not in said}
    logging.info("lexicon: %d wordings, %d answers", len(entries), len(kept))
    return kept


def main() -> None:
    from scene_answers import read_by_keys

    tensors, tokenizer = load_file(EMBEDDED.text / TABLE), packaged_tokenizer()
    told = told_by_hand(tensors, lambda text: tokenizer(text).input_ids, read_by_keys(tensors))
    tensors |= with_answers(tensors, told)
    config_path = EMBEDDED.text / "config.json"
    config = json.loads(config_path.read_text(encoding="utf-8")) | {"num_answers": len(tensors["answers"])}
    write_atomic(EMBEDDED.text / TABLE, save(tensors, metadata={"format": "pt"}))
    write_atomic(config_path, json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
