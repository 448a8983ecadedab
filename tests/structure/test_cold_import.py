"""What importing loads, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time

import pytest

from tests.structure.sources import ROOT

LAYOUT = ROOT / "examples" / "two-fruits.json"

HEAVY = ["torch", "numpy", "diffusers", "transformers", "safetensors", "peft", "accelerate"]


@pytest.mark.parametrize(
    "module",
    ["occlusionformer", "occlusionformer.layout", "occlusionformer.generation", "occlusionformer.apps.cli"],
)
def test_cold_import_is_light(module: str):
    script = f"import json, sys, {module}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


UNUSED = [
    "datasets", "diffusers.models.autoencoders.autoencoder_rae", "fastapi", "filelock", "gguf", "gradio",
    "huggingface_hub.file_download", "huggingface_hub.hf_api", "matplotlib", "onnx", "pandas", "peft",
    "peft.config", "scipy.integrate", "scipy.stats", "sklearn", "torch._dynamo",
    "torch.distributed._functional_collectives", "torchvision", "transformers", "triton",
]  # fmt: skip
"""What diffusers can work with, and a picture of the embedded model does not need."""


def test_drawing_imports_what_it_uses_and_says_nothing_else(tmp_path):
    """In a terminal's environment: nothing silences the libraries but the command itself."""
    script = (
        "import atexit, json, sys\n"
        f"unused = {UNUSED}\n"
        "atexit.register(lambda: print(json.dumps([name for name in unused if name in sys.modules])))\n"
        "from occlusionformer.apps.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    picture = tmp_path / "picture.png"
    quiet = ("DIFFUSERS_VERBOSITY", "TRANSFORMERS_VERBOSITY", "TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS")
    environment = {name: value for name, value in os.environ.items() if name not in (*quiet, "PYTHONWARNINGS")}
    command = [sys.executable, "-c", script, "generate", str(LAYOUT), "--output", str(picture), "--masks", "--overlay"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    said, *files, imported = done.stdout.splitlines()
    assert done.stderr == ""
    assert re.fullmatch(re.escape(f"{picture} (256 x 256, model embedded, seed 7, 6 steps, ") + r"\d+\.\d s\)", said)
    assert sorted(files) == sorted(str(path) for path in tmp_path.iterdir() if path != picture)
    assert json.loads(imported) == []


@pytest.mark.timing
def test_drawing_from_the_shell_takes_little_more_than_torch(tmp_path):
    """At most 2.5 times as long as importing torch, the best of five each, and under 3 s; under 1 GB of memory."""
    drawing = ["-m", "occlusionformer.apps.cli", "generate", str(LAYOUT), "--output", str(tmp_path / "picture.png")]
    rounds = [(_seconds("-c", "import torch"), _seconds(*drawing)) for _ in range(5)]
    torch, draw = (min(column) for column in zip(*rounds, strict=True))
    assert draw <= 2.5 * torch
    assert draw <= 3
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 10**6


def _seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start
