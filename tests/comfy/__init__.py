"""Tests of the node pack inside a real ComfyUI: `make test-comfy`."""
