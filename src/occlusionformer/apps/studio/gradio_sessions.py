"""Whose gradio sessions and calls are whose: gradio itself lets in everybody who knows a name.

Every user's sessions get names of their own before gradio sees them, so that no name that another user sends can mean
them. What is known to be another's is refused as if it did not exist.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict

from occlusionformer.apps.studio.errors import ApiError

MOST_OF_ONE = 1024
"""Sessions and calls of one user; those longest unused are forgotten first, and then exist no more."""


class GradioSessions:
    """Used in the event loop's thread alone."""

    def __init__(self, most_of_one: int = MOST_OF_ONE) -> None:
        self._key = secrets.token_bytes(32)
        self._most = most_of_one
        self._holders: dict[str, str] = {}
        self._held: dict[str, OrderedDict[str, None]] = {}

    def inner_name(self, owner: str, session: str) -> str:
        """What gradio calls this user's session; nothing else has that name."""
        return hmac.digest(self._key, f"{owner}\n{session}".encode(), "sha256").hex()[:32]

    def hold(self, owner: str, name: str) -> None:
        """Make a session or call this user's. Raises ApiError when it is another's."""
        self.check_free(owner, name)
        held = self._held.setdefault(owner, OrderedDict())
        held[name] = None
        held.move_to_end(name)
        self._holders[name] = owner
        while len(held) > self._most:
            oldest, _ = held.popitem(last=False)
            del self._holders[oldest]

    def check_free(self, owner: str, name: str) -> None:
        """Raises ApiError when it is another's."""
        if self._holders.get(name, owner) != owner:
            raise _unknown()

    def check_held(self, owner: str, name: str) -> None:
        """Raises ApiError unless it is this user's."""
        if self._holders.get(name) != owner:
            raise _unknown()
        self._held[owner].move_to_end(name)


def _unknown() -> ApiError:
    return ApiError("not_found", "no such session or call")
