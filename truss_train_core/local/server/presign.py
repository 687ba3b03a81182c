"""Addresses that need no key for a while: a path, until when, and a signature that only this platform can make."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote, urlencode

LIFETIME = 7 * 24 * 3600
"""How long such an address works, in seconds (as seen on the wire)."""
PREFIX = "/downloads/"


class Presigner:
    """Signs and checks paths of files, relative to the data directory."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def url(self, base: str, path: str, now: float) -> str:
        """The address of a file, for `LIFETIME` from now. `base` is the platform's own, without a slash at its end."""
        expires = int(now) + LIFETIME
        query = urlencode({"expires": expires, "signature": self._sign(path, expires)})
        return f"{base}{PREFIX}{quote(path)}?{query}"

    def allows(self, path: str, expires: str, signature: str, now: float) -> bool:
        """Whether an address was made here and still works."""
        try:
            until = int(expires)
        except ValueError:
            return False
        return now < until and hmac.compare_digest(self._sign(path, until).encode(), signature.encode())

    def _sign(self, path: str, expires: int) -> str:
        return hmac.new(self._key, f"{expires}\n{path}".encode(), hashlib.sha256).hexdigest()
