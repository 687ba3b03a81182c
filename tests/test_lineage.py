"""Names in lineage."""

from __future__ import annotations

import pytest

from truss_train_core import lineage

SOURCES = [
    ("s3://bucket/reviews/", "s3://bucket", "reviews"),
    ("gs://bucket", "gs://bucket", "/"),
    ("file:///srv/reviews", "file", "/srv/reviews"),
    ("/srv/reviews", "file", "/srv/reviews"),
    ("hf://someone/reviews@v2", "hf", "datasets/someone/reviews"),
]


@pytest.mark.parametrize(("source", "namespace", "name"), SOURCES)
def test_a_dataset_is_named_by_its_address(source: str, namespace: str, name: str) -> None:
    thing = lineage.dataset(source, "v1", files=2)
    assert (thing.namespace, thing.name, thing.version, thing.facts) == (namespace, name, "v1", {"files": 2})


def test_what_baseten_has_is_named_by_ids() -> None:
    made = [lineage.job("j1"), lineage.checkpoint("j1", "checkpoint-7", step=7), lineage.model("m1")]
    assert [each.uri for each in made] == [
        "baseten://training/j1",
        "baseten://training/j1/checkpoint-7",
        "baseten://models/m1",
    ]
    assert {each.namespace for each in made} == {"baseten"}
    assert made[1].facts == {"job_id": "j1", "checkpoint": "checkpoint-7", "step": 7}
