"""For all tests: no library may look for models, news or telemetry on the network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
