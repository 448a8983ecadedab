"""Running the command line in this process."""

from tests.apps.conftest import run

__all__ = ["run"]
