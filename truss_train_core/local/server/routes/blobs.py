"""Where archives are uploaded to."""

from __future__ import annotations

from truss_train_core.local.server import s3
from truss_train_core.local.server.calls import Answer, Call, Route


def training_credentials(call: Call) -> Answer:
    """Credentials for one archive; each call names a new key."""
    return s3.hand_out(call.platform, call.base_url)


ROUTES = (Route("GET", "/v1/blobs/credentials/train", training_credentials),)
