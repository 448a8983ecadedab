"""Vision-language models behind an OpenAI-compatible server, such as vLLM."""

from __future__ import annotations

import base64
import io
import os
import time
from dataclasses import dataclass
from typing import Any

import httpx
from PIL.Image import Image

from occlusionformer.evaluation.judgement import Identity, JudgementError, JudgeUnavailableError
from occlusionformer.evaluation.judges.vlm import VlmJudge
from occlusionformer.evaluation.judges.vlm_prompts import SYSTEM

KEY_VARIABLE = "OPENAI_API_KEY"
NO_SUCH_SERVICE = {401, 403, 404, 405}
"""HTTP statuses that are the same for every picture."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of the requests to a server."""

    max_tokens: int = 1024
    """Enough for the boxes of the fullest published layouts."""
    temperature: float = 0.0
    timeout: float = 120.0
    """Seconds for one reply; a 32 B model takes a few."""
    retries: int = 3
    """More tries after a time-out, a broken connection, or an overloaded server."""
    pause: float = 1.0
    """Seconds before the second try, doubled before each later one."""
    parallel: int = 16
    """Questions sent at once; a server that batches is idle with fewer."""


class ServerModel:
    """One model of a server. Safe to be used from several threads."""

    def __init__(self, base_url: str, model: str | None = None, *, config: ServerConfig | None = None) -> None:
        """Raises JudgeUnavailableError when the server does not answer, or serves no such model."""
        self._config = ServerConfig() if config is None else config
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/",
            headers=headers,
            timeout=self._config.timeout,
            limits=httpx.Limits(max_connections=self._config.parallel),
        )
        served = self._served()
        if model is None and len(served) != 1:
            raise JudgeUnavailableError(f"{base_url}: expected #MODEL after the address, one of {sorted(served)}")
        self._model = next(iter(served)) if model is None else model
        if self._model not in served:
            raise JudgeUnavailableError(f"{base_url}: expected a model of {sorted(served)}, got {self._model!r}")
        self.parallel = self._config.parallel
        self.identity: Identity = {
            "name": "server",
            "model": self._model,
            "revision": served[self._model],
            "settings": {"max_tokens": self._config.max_tokens, "temperature": self._config.temperature},
        }

    def ask(self, text: str, picture: Image) -> str:
        """The reply. Raises JudgementError after the last try, JudgeUnavailableError where all pictures would fail."""
        message = self._message(text, picture)
        for attempt in range(self._config.retries + 1):
            if attempt:
                time.sleep(self._config.pause * 2 ** (attempt - 1))
            try:
                response = self._client.post("chat/completions", json=message)
            except httpx.TimeoutException:
                failure = JudgementError("timeout", f"no reply within {self._config.timeout:g} s")
                continue
            except httpx.TransportError as error:
                failure = JudgementError("error", f"{type(error).__name__}: {error}")
                continue
            if response.status_code == 429 or response.status_code >= 500:
                failure = JudgementError("error", f"the server answered {response.status_code}")
                continue
            return _words(response)
        raise failure

    def _message(self, text: str, picture: Image) -> dict[str, Any]:
        encoded = io.BytesIO()
        picture.save(encoded, format="PNG")
        address = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
        content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": address}}]
        return {
            "model": self._model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}],
            "temperature": self._config.temperature,
            "max_tokens": self._config.max_tokens,
        }

    def _served(self) -> dict[str, str]:
        """The models of the server by id, with the path or name each was loaded from."""
        try:
            response = self._client.get("models")
            response.raise_for_status()
            models = response.json()["data"]
            return {entry["id"]: str(entry.get("root") or "unstated") for entry in models}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise JudgeUnavailableError(f"{self._client.base_url}: {type(error).__name__}: {error}") from error


def _words(response: httpx.Response) -> str:
    if response.status_code in NO_SUCH_SERVICE:
        raise JudgeUnavailableError(f"the server answered {response.status_code}: {response.text[:200]}")
    if response.is_error:
        raise JudgementError("refused", f"the server answered {response.status_code}: {response.text[:200]}")
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise JudgementError("unreadable", "expected a chat completion", reply=response.text[:2000]) from error
    if not isinstance(content, str):
        raise JudgementError("unreadable", f"expected words, got {type(content).__name__}")
    return content


def load_server(argument: str | None) -> VlmJudge:
    """`http://host:8000/v1`, or with `#MODEL` behind it where several are served."""
    if not argument:
        raise ValueError("server: expected an address, as in server:http://localhost:8000/v1")
    address, _, model = argument.partition("#")
    return VlmJudge(ServerModel(address, model or None))
