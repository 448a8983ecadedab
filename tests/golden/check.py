"""Compare the package with outputs recorded from published code: `python tests/golden/check.py DIR`.

DIR holds cases.json (the method, settings and cases), case_*.safetensors (inputs and outputs), and weights in one or
more of the published kinds. The method is recognised; every case runs in fp32 on the CPU from every kind present,
through the method's public loader. Prints the greatest absolute differences of the output and of what was recorded
inside; exits 1 if one exceeds 1e-4, 2 if DIR cannot be checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.golden.checkers import UnknownRecordingError, recognised  # noqa: E402 (a script finds the tests first)
from tests.golden.recording import TOLERANCE  # noqa: E402

DATA = Path(__file__).parent / "data"


def check(folder: Path, checker: ModuleType, kinds: Sequence[str]) -> float:
    """Run every case from every kind of weights and print each difference; returns the greatest."""
    worst = 0.0
    for kind in kinds:
        for case, found in checker.run(folder, kind):
            worst = max(worst, *found.values())
            columns = "  ".join(f"{name} {value:.1e}" for name, value in found.items())
            sys.stdout.write(f"{kind:<10}{case.name:<15}{columns}\n")
    return worst


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the package with outputs recorded from published code.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with cases.json and its tensors")
    parser.add_argument("--weights", help="one kind of weights; default: every kind present")
    options = parser.parse_args(arguments)
    if not (options.folder / "cases.json").is_file():
        return refuse(options.folder, "not found: cases.json")
    try:
        name, checker = recognised(options.folder)
    except UnknownRecordingError as error:
        return refuse(options.folder, str(error))
    kinds = {kind: [f for f in files if not (options.folder / f).is_file()] for kind, files in checker.FILES.items()}
    missing = [file for file in checker.NEEDED if not (options.folder / file).is_file()]
    if options.weights is not None and options.weights not in kinds:
        return refuse(options.folder, f"--weights: expected one of {', '.join(kinds)}, got {options.weights}")
    chosen = [options.weights] if options.weights else [kind for kind, lacks in kinds.items() if not lacks]
    if missing or not chosen or any(kinds[kind] for kind in chosen):
        wanted = ", ".join(missing) or f"the files of {options.weights or ' or '.join(kinds)}"
        return refuse(options.folder, f"not found: {wanted}")
    worst = check(options.folder, checker, chosen)
    verdict = "within" if worst <= TOLERANCE else "above"
    sys.stdout.write(f"{name}: greatest difference {worst:.1e}, {verdict} {TOLERANCE:.0e}\n")
    return 0 if worst <= TOLERANCE else 1


def refuse(folder: Path, reason: str) -> int:
    sys.stderr.write(f"{folder}: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
