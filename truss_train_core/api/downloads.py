"""Large content behind presigned addresses, piece by piece. The address is the key: no other is sent."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from truss_train_core.api import answers, endpoints

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_PIECE = 1024**2


def pieces(url: str, about: str) -> Iterator[bytes]:
    """The content, in pieces of at most a mebibyte. Nothing is repeated: who wants it again asks for a new address.

    Raises:
        ApiError, Unreachable: it cannot be had, or broke off.
    """
    request = endpoints.download(url, about)
    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT) as response:
            if not response.is_success:
                response.read()
                answers.read(request, response)
            yield from response.iter_bytes(_PIECE)
    except httpx.TransportError as error:
        raise answers.silence(request, error, httpx.URL(url).netloc.decode()) from error
