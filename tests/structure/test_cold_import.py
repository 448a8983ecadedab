"""What importing loads, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "numpy", "diffusers", "transformers", "safetensors", "peft", "accelerate"]


@pytest.mark.parametrize(
    "module",
    ["occlusionformer", "occlusionformer.layout", "occlusionformer.generation", "occlusionformer.apps.cli"],
)
def test_cold_import_is_light(module: str):
    script = f"import json, sys, {module}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
