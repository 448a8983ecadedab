"""Categories for a detector from captions: the noun phrase that a caption starts with."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words("a an the this that these those some one another its his her their")
ENDS = _words(
    "about above across against along among around as at atop before behind below beneath beside between beyond by "
    "covering displaying down during facing featuring filled for from hanging has having holding in inside into is "
    "are was were lying made near next of off on onto out over parked placed positioned showing sitting standing "
    "through to toward towards under underneath up upon walking wearing which who whose while with within without "
    "and or but where"
)
"""Words that end a noun phrase; what follows them is a place or an action."""
COLLECTIVE = _words("bunch group pair piece set part side stack pile row bottle cup glass bowl plate slice")
"""Nouns after which `of` belongs to the phrase: `cup of tea`."""


def head_phrase(caption: str) -> str:
    """`a red car parked on the street` as `red car`: lower case, without its article.

    A rule, not a parser: a caption that starts in another way is taken whole.
    """
    words = _WORD.findall(caption.lower())
    phrase: list[str] = []
    for word in words:
        if not phrase and word in DETERMINERS:
            continue
        continues = word == "of" and phrase and phrase[-1] in COLLECTIVE
        if not continues and (word in ENDS or not word[0].isalnum()):
            break
        phrase.append(word)
    return " ".join(phrase) or caption.strip().lower()
