"""The folder of a run: its files, and what has been done so far. No torch.

| file | content |
|---|---|
| `run.json` | the plan of the run; written first, never changed |
| `items.jsonl` | the items of the benchmark |
| `pictures/KEY.png` | the drawn pictures |
| `references/KEY.webp` | small copies of the reference pictures, for reports |
| `pictures-KofN.jsonl` | the digests of pictures and references |
| `judges-KofN.jsonl` | identities of the judges, or why one was not available |
| `judgements-KofN.jsonl` | every judgement |
| `result.json`, `table.md`, `table.csv`, `table.tex`, `difficulty.csv`, `report.html` | computed from the above |

Every shard of a run that is divided, and every worker, appends to files of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from occlusionformer.evaluation.benchmark import BenchmarkItem, Subject
from occlusionformer.evaluation.judgement import Identity, Json, canonical
from occlusionformer.evaluation.records import JudgementRecord, RecordFile, read_lines, read_records
from occlusionformer.evaluation.running.snapshot import MERELY_PRINTED, item_as_json, item_of_json
from occlusionformer.layout import write_atomic

REFERENCES = "references"
FORMAT = 1
"""Version of the file formats; increased when a file changes its meaning."""


class Shard(NamedTuple):
    """One part of a run: items number part, part + parts, part + 2 parts, ..."""

    part: int = 0
    parts: int = 1

    def __str__(self) -> str:
        return f"{self.part}of{self.parts}"


@dataclass(frozen=True, kw_only=True)
class JudgeAvailability:
    """Identities of the judges that could be loaded, and why others could not; both by the name of the judge."""

    identities: Mapping[str, Identity]
    reasons: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class PictureEntry:
    """A picture whose digest is known: what has the same digest is the same picture."""

    item: str
    subject: Subject
    digest: str
    size: tuple[int, int] | None = None
    """Width and height, where they are not those of the layout."""
    made: Mapping[str, Json] | None = None
    """What it says about how it was made."""


class RunFolder:
    """Anybody may read; a shard writes through `writing`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, document: Mapping[str, Json], items: Sequence[BenchmarkItem]) -> None:
        """Lay out the folder, or go on with one that was laid out for the same run.

        Raises ValueError that lists what differs. Versions of code, notes and published figures may differ; what was
        written first stays.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "pictures").mkdir(exist_ok=True)
        if (self.path / "run.json").exists():
            _check_same(self.document(), json.loads(canonical(document)))
            return
        write_atomic(self.path / "items.jsonl", "".join(canonical(item_as_json(item)) + "\n" for item in items))
        write_atomic(self.path / "run.json", _pretty(document))

    def document(self) -> dict[str, Json]:
        """The content of `run.json`. Raises ValueError for a folder without a run."""
        try:
            document = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ValueError(f"{self.path}: expected the folder of a run, found no run.json in it") from error
        except ValueError as error:
            raise ValueError(f"{self.path / 'run.json'}: expected JSON: {error}") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"{self.path / 'run.json'}: expected a run of format {FORMAT}")
        return document

    def items(self) -> list[BenchmarkItem]:
        """The items as they were when the run started, without references."""
        return [item_of_json(line) for line in read_lines([self.path / "items.jsonl"])]

    def picture(self, item: BenchmarkItem) -> Path:
        """Where the picture of an item is, or will be."""
        return self.path / "pictures" / f"{item.key}.png"

    def reference(self, item: BenchmarkItem) -> Path:
        """Where the copy of the reference of an item is, or will be."""
        return self.path / REFERENCES / f"{item.key}.webp"

    def digests(self) -> dict[tuple[str, Subject], str]:
        """Digests of the generated and the reference pictures, by the key of their item."""
        return {(line["item"], line["subject"]): line["digest"] for line in self._lines("pictures")}

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Width and height of the generated pictures that do not have the size of their layout, by item."""
        return {line["item"]: (line["size"][0], line["size"][1]) for line in self._lines("pictures") if "size" in line}

    def provenances(self) -> list[dict[str, Json]]:
        """How the pictures were made: each way once, in a fixed order."""
        ways = {canonical(line["made"]): line["made"] for line in self._lines("pictures") if "made" in line}
        return [ways[name] for name in sorted(ways)]

    def judge_availability(self) -> JudgeAvailability:
        """Raises ValueError where one judge has several identities: their answers must not be mixed."""
        identities: dict[str, Identity] = {}
        reasons: dict[str, str] = {}
        for line in self._lines("judges"):
            if "identity" not in line:
                reasons[line["spec"]] = line["unavailable"]
            elif identities.setdefault(line["spec"], line["identity"]) != line["identity"]:
                known = canonical(identities[line["spec"]])
                raise ValueError(f"{line['spec']}: expected one judge, got {known} and {canonical(line['identity'])}")
        return JudgeAvailability(identities=identities, reasons=reasons)

    def records(self) -> dict[str, JudgementRecord]:
        return read_records(self._files("judgements"))

    def writing(self, shard: Shard) -> ShardFiles:
        return ShardFiles(self.path, shard)

    def _lines(self, name: str) -> list[dict[str, Json]]:
        return list(read_lines(self._files(name)))

    def _files(self, name: str) -> list[Path]:
        return sorted(self.path.glob(f"{name}-*of*.jsonl"))


class ShardFiles:
    """The files that one shard appends to; used as a context manager."""

    def __init__(self, path: Path, shard: Shard) -> None:
        self._names = {name: path / f"{name}-{shard}.jsonl" for name in ("pictures", "judges", "judgements")}
        self._stack = ExitStack()
        self._open: dict[str, RecordFile] = {}

    def __enter__(self) -> ShardFiles:
        self._open = {name: self._stack.enter_context(RecordFile(path)) for name, path in self._names.items()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def pictures(self, entries: Iterable[PictureEntry]) -> None:
        lines = [{name: value for name, value in vars(look).items() if value is not None} for look in entries]
        self._open["pictures"].append(lines)

    def judge(self, spec: str, identity: Identity) -> None:
        self._open["judges"].append([{"spec": spec, "identity": identity}])

    def unavailable(self, spec: str, reason: str) -> None:
        self._open["judges"].append([{"spec": spec, "unavailable": reason}])

    def judgements(self, records: Iterable[JudgementRecord]) -> None:
        self._open["judgements"].append(record.as_json() for record in records)


def _check_same(there: Mapping[str, Json], document: Mapping[str, Json]) -> None:
    there, document = _moving_numbers(there), _moving_numbers(document)
    names = sorted(there.keys() | document.keys())
    problems = [
        f"{name}: this folder holds a run with {_shown(there.get(name))}, asked for was {_shown(document.get(name))}"
        for name in names
        if there.get(name) != document.get(name)
    ]
    if problems:
        raise ValueError("\n".join(problems))


def _moving_numbers(document: Mapping[str, Json]) -> dict[str, Json]:
    """A run's document without what may be corrected later and moves no number."""
    kept = {name: value for name, value in document.items() if name != "code"}
    if isinstance(benchmark := kept.get("benchmark"), Mapping):
        kept["benchmark"] = {name: value for name, value in benchmark.items() if name not in MERELY_PRINTED}
    return kept


def _shown(value: Json) -> str:
    text = canonical(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _pretty(value: Json) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
