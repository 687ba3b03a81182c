"""How datasets, jobs, checkpoints and models are called where engines record what came of what.

    s3://bucket/reviews ─► baseten://training/<job> ─► baseten://training/<job>/<checkpoint> ─► baseten://models/<model>

Names are made of ids, which every record of a run has, and are the same in every engine: as asset URIs by `uri`, in
OpenLineage by `namespace` and `name`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, JsonValue

from truss_train_core.datasets import HUGGING_FACE
from truss_train_core.values import Value

__all__ = ["Thing", "checkpoint", "dataset", "job", "model"]

NAMESPACE = "baseten"


class Thing(Value):
    """Something that comes of something, or of which something comes.

    Attributes:
        namespace, name: as OpenLineage's naming rules have them.
        uri: the same in one.
        version: which version, or None.
        facts: what is known of it; small, JSON, no secrets.
    """

    namespace: str
    name: str
    uri: str
    version: str | None = None
    facts: dict[str, JsonValue] = Field(default={})


def dataset(source: str, version: str | None = None, **facts: JsonValue) -> Thing:
    """A dataset, by its address: of a file, an object store's prefix, or the Hub."""
    if source.startswith(HUGGING_FACE):
        name = source.removeprefix(HUGGING_FACE).removeprefix("datasets/").partition("@")[0]
        return Thing(namespace="hf", name=f"datasets/{name}", uri=source, version=version, facts=facts)
    parts = urlsplit(source)
    if parts.scheme in ("", "file"):
        return Thing(namespace="file", name=parts.path, uri=f"file://{parts.path}", version=version, facts=facts)
    namespace, name = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "/"
    return Thing(namespace=namespace, name=name, uri=source, version=version, facts=facts)


def job(job_id: str, /, **facts: JsonValue) -> Thing:
    """A training job."""
    return _thing(f"training/{job_id}", {"job_id": job_id, **facts})


def checkpoint(job_id: str, name: str, /, **facts: JsonValue) -> Thing:
    """A checkpoint of a job."""
    return _thing(f"training/{job_id}/{name}", {"job_id": job_id, "checkpoint": name, **facts})


def model(model_id: str, /, **facts: JsonValue) -> Thing:
    """A deployed model; which of its deployments is among the facts."""
    return _thing(f"models/{model_id}", {"model_id": model_id, **facts})


def _thing(name: str, facts: dict[str, JsonValue]) -> Thing:
    return Thing(namespace=NAMESPACE, name=name, uri=f"{NAMESPACE}://{name}", facts=facts)
