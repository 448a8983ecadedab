"""Property tests have no time limit an example: machines that share their cores are no reason to fail."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
