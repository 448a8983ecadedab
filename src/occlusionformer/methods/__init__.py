"""Layout methods, one file each: what they read, where they act in a block, and how their weights are loaded."""

import occlusionformer.model  # noqa: F401 - before anything else imports diffusers
