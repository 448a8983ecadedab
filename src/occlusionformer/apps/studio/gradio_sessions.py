"""Owners of gradio's sessions and calls: gradio itself serves everybody who knows a session's name.

Session names are replaced by names that depend on the user before gradio sees them, so that no name sent by another
user can refer to them. Sessions and calls of other users are refused with 404.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict

from occlusionformer.apps.studio.errors import ApiError

MOST_OF_ONE = 1024
"""Most sessions and calls of one user; those not used for longest are dropped first."""


class GradioSessions:
    """Only for use in the event loop's thread."""

    def __init__(self, most_of_one: int = MOST_OF_ONE) -> None:
        self._key = secrets.token_bytes(32)
        self._most = most_of_one
        self._holders: dict[str, str] = {}
        self._held: dict[str, OrderedDict[str, None]] = {}

    def inner_name(self, owner: str, session: str) -> str:
        """The name under which gradio knows this user's session."""
        return hmac.digest(self._key, f"{owner}\n{session}".encode(), "sha256").hex()[:32]

    def hold(self, owner: str, name: str) -> None:
        """Register a session or call as this user's. Raises ApiError if it belongs to another user."""
        self.check_free(owner, name)
        held = self._held.setdefault(owner, OrderedDict())
        held[name] = None
        held.move_to_end(name)
        self._holders[name] = owner
        while len(held) > self._most:
            oldest, _ = held.popitem(last=False)
            del self._holders[oldest]

    def check_free(self, owner: str, name: str) -> None:
        """Raises ApiError if the session or call belongs to another user."""
        if self._holders.get(name, owner) != owner:
            raise _unknown()

    def check_held(self, owner: str, name: str) -> None:
        """Raises ApiError unless the session or call belongs to this user."""
        if self._holders.get(name) != owner:
            raise _unknown()
        self._held[owner].move_to_end(name)


def _unknown() -> ApiError:
    return ApiError("not_found", "no such session or call")
