"""How fast a published SA-Z file becomes records, beside what reading its JSON costs alone, and in how much memory.

    python benchmarks/convert.py [--images 20000] [--json] [--folder DIR] [--keep]

Writes a synthetic SA-Z.json (5.69 instances a picture as in SA-Z; every mask another blob of 60 to 350 columns, some
450 characters; all fields of the published file), then, each in a process of its own: the JSON parsed alone by ijson
with its C backend (the usual reader for files larger than the memory), parsed alone by our reader, converted to
records, written back, and both files compared record by record. Rates are records by wall clock; shares are CPU
seconds of parsing over CPU seconds of converting; memory is the greatest resident set of the process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from occlusionformer.layout.rle import FIRST_CHARACTER, compress

HEIGHT, WIDTH = 1500, 2250
MEAN_INSTANCES = 5.69
LEAST_COLUMNS, MOST_COLUMNS = 60, 350
EDGE_STEP = 3
"""Rows by which an outline moves from one column to the next."""
CAPTION_WORDS = ("a", "small", "brown", "dog", "with", "red", "collar", "standing", "on", "the", "wet", "grass")
WORDS = [CAPTION_WORDS[place] for place in np.random.default_rng(1).integers(0, len(CAPTION_WORDS), 100_000)]
"""Captions and prompts are pieces of this."""
PROMPT_WORDS = 58
"""As long as the captions of SACap-1M."""


def write_synthetic(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            record = json.dumps(synthetic_record(number, rng))
            file.write(("{" if number == 0 else ", ") + f'"{number}": {record}')
        file.write("}")


def synthetic_record(number: int, rng: np.random.Generator) -> dict[str, Any]:
    instances = int(np.clip(rng.poisson(MEAN_INSTANCES), 1, 20))
    order = rng.random((instances, instances)) < 0.15
    np.fill_diagonal(order, False)
    return {
        "image_id": number,
        "folder_name": f"sa_{number % 1000:06d}",
        "image_path": f"images/sa_{number % 1000:06d}/sa_{number}.jpg",
        "prompt": _words(rng, PROMPT_WORDS),
        "mask_annotation": [_row(number * 100 + place, rng) for place in range(instances)],
        "pred_order": order.astype(int).tolist(),
    }


def _row(identifier: int, rng: np.random.Generator) -> dict[str, Any]:
    columns = int(rng.integers(LEAST_COLUMNS, MOST_COLUMNS))
    left = int(rng.integers(0, WIDTH - columns))
    tops = 500 + np.cumsum(rng.integers(-EDGE_STEP, EDGE_STEP + 1, columns))
    bottoms = 900 + np.cumsum(rng.integers(-EDGE_STEP, EDGE_STEP + 1, columns))
    top, bottom = int(tops.min()), int(bottoms.max())
    runs = bottoms - tops
    return {
        "id": identifier,
        "bbox": [float(left), float(top), float(columns), float(bottom - top)],
        "area": int(runs.sum()),
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": _counts(left, tops, bottoms)},
        "predicted_iou": float(rng.random()),
        "point_coords": [[float(rng.random() * WIDTH), float(rng.random() * HEIGHT)]],
        "crop_box": [0.0, 0.0, float(WIDTH), float(HEIGHT)],
        "stability_score": float(rng.random()),
        "caption": _words(rng, int(rng.integers(5, 16))),
    }


def _counts(left: int, tops: np.ndarray, bottoms: np.ndarray) -> str:
    """The compressed run lengths of a blob; changes between columns are small enough for one character each."""
    runs, gaps = bottoms - tops, HEIGHT - bottoms[:-1] + tops[1:]
    start = [left * HEIGHT + int(tops[0]), int(runs[0]), int(gaps[0])]
    changes = np.empty(2 * len(gaps) - 1, dtype=np.int64)
    changes[::2], changes[1::2] = np.diff(runs), np.diff(gaps)
    middle = ((changes & 31) + FIRST_CHARACTER).astype(np.uint8).tobytes().decode("ascii")
    rest = HEIGHT * WIDTH - start[0] - int(runs.sum()) - int(gaps.sum())
    return compress(start) + middle + compress([rest - int(gaps[-1])])


def _words(rng: np.random.Generator, count: int) -> str:
    start = int(rng.integers(0, len(WORDS) - count))
    return " ".join(WORDS[start : start + count])


def parse_with_ijson(folder: Path) -> int:
    import ijson

    assert ijson.backend == "yajl2_c", f"expected the C backend, got {ijson.backend}"
    with (folder / "SA-Z.json").open("rb") as file:
        return sum(1 for _ in ijson.kvitems(file, "", use_float=True))


def parse_alone(folder: Path) -> int:
    from occlusionformer.data.converters.json_stream import JsonStream

    with JsonStream(folder / "SA-Z.json") as stream:
        return sum(1 for _ in stream.members())


def convert(folder: Path) -> int:
    from occlusionformer.data.converters.sa_z import read_sa_z
    from occlusionformer.data.records import DataSetMaker

    return DataSetMaker(folder / "records").make(read_sa_z(folder / "SA-Z.json")).records


def write_back(folder: Path) -> int:
    from occlusionformer.data.converters.sa_z import write_sa_z
    from occlusionformer.data.records import RecordFolder

    return write_sa_z(RecordFolder(folder / "records"), folder / "back.json")


def compare(folder: Path) -> int:
    from occlusionformer.data.converters.json_stream import JsonStream

    count = 0
    with JsonStream(folder / "SA-Z.json") as there, JsonStream(folder / "back.json") as back:
        for first, second in zip(there.members(), back.members(), strict=True):
            assert first == second, f"record {first.key} came back as another"
            assert json.dumps(first.value, sort_keys=True) == json.dumps(second.value, sort_keys=True), first.key
            count += 1
    return count


STEPS: dict[str, Callable[[Path], int]] = {
    "ijson alone": parse_with_ijson,
    "our reader alone": parse_alone,
    "convert": convert,
    "write back": write_back,
    "compare": compare,
}


MODULES = ("ijson", "orjson", "pyarrow.compute", "pyarrow.parquet", "occlusionformer.data.converters.sa_z")
"""Loaded before the clock starts."""


def measured(step: str, folder: Path) -> dict[str, Any]:
    """One step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def run_step(step: str, folder: Path) -> None:
    for module in MODULES:
        importlib.import_module(module)
    wall, cpu = time.perf_counter(), time.process_time()
    records = STEPS[step](folder)
    facts = {
        "records": records,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(facts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the files")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder)
        return
    folder = Path(tempfile.mkdtemp(prefix="convert-", dir=arguments.folder))
    try:
        write_synthetic(folder / "SA-Z.json", arguments.images)
        steps = {step: measured(step, folder) for step in STEPS}
        report(steps, folder, as_json=arguments.json)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


def report(steps: dict[str, dict[str, Any]], folder: Path, *, as_json: bool) -> None:
    cpu = {step: facts["cpu_seconds"] for step, facts in steps.items()}
    result = {
        "images": steps["convert"]["records"],
        "json_mb": (folder / "SA-Z.json").stat().st_size / 2**20,
        "records_mb": sum(path.stat().st_size for path in (folder / "records").rglob("*.parquet")) / 2**20,
        "records_per_second": steps["convert"]["records"] / steps["convert"]["seconds"],
        "share_of_ijson": cpu["ijson alone"] / cpu["convert"],
        "share_of_our_reader": cpu["our reader alone"] / cpu["convert"],
        "peak_mb": steps["convert"]["peak_mb"],
        "steps": steps,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    lines = [
        f"{result['images']:,} pictures, {result['json_mb']:,.0f} MB of JSON, {result['records_mb']:,.0f} MB of shards",
        *(
            f"{step:17} {facts['records'] / facts['seconds']:>9,.0f} records/s "
            f"{facts['cpu_seconds'] / facts['records'] * 1e6:>7.0f} us CPU a record {facts['peak_mb']:>6.0f} MB"
            for step, facts in steps.items()
        ),
        f"share of the floor set by ijson alone {result['share_of_ijson']:.2f}, by our faster reader alone "
        f"{result['share_of_our_reader']:.2f}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
