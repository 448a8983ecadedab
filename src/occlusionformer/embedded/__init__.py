"""The small model that ships with the package and runs on a laptop."""

import occlusionformer.model  # noqa: F401 - before anything else imports diffusers
