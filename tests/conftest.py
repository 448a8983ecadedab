"""For all tests: no library looks for models, news or telemetry on the network; Ctrl-C works in the background too."""

from __future__ import annotations

import os
import signal

os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with the signal ignored
