"""What came of what: dataset → job → checkpoint → model, for OpenLineage and for the assets among a task's outlets.

Operators keep it in `used` and `made` while they run, in the core's terms. OpenLineage is no requirement: its classes
are loaded where its provider asks for them, by the methods `get_openlineage_facets_on_…` of a task on a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors.base import OperatorLineage
    from airflow.sdk import Asset, Context
    from openlineage.client.event_v2 import Dataset

    from truss_train_core.lineage import Thing


def is_recorded() -> bool:
    """Whether OpenLineage listens here. It hears nothing of tasks that end without a worker."""
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return False
    return not conf.is_disabled()


def datasets_of(inlets: Iterable[Any], context: Context) -> list[Thing]:
    """What a task trains on: the versions that set its DAG run off, and its other inlets."""
    from truss_train_core import lineage

    of_event = {thing.uri: thing for thing in _triggering(context)}
    of_inlets = (lineage.dataset(inlet.uri) for inlet in inlets if "://" in getattr(inlet, "uri", ""))
    return list({**{thing.uri: thing for thing in of_inlets}, **of_event}.values())


def tell_outlets(outlets: Iterable[Any], made: Iterable[Thing], context: Context) -> None:
    """Give the facts of what a task made to the events of its outlets; an alias becomes one asset for each."""
    from airflow.sdk import Asset, AssetAlias

    for outlet in outlets:
        event = context["outlet_events"][outlet]
        for thing in made:
            facts = {"uri": thing.uri, **thing.facts}
            if isinstance(outlet, AssetAlias):
                event.add(Asset(thing.uri), extra=facts)
            else:
                event.extra.update(facts)


def operator_lineage(used: Iterable[Thing], made: Iterable[Thing]) -> OperatorLineage[Any, Any]:
    """The same as OpenLineage's provider wants it."""
    from airflow.providers.openlineage.extractors.base import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    return OperatorLineage(
        inputs=[InputDataset(thing.namespace, thing.name, facets=_facets(thing)) for thing in used],
        outputs=[OutputDataset(thing.namespace, thing.name, facets=_facets(thing)) for thing in made],
    )


def asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """An asset of the scheme `baseten`, for tasks of other providers that have it among their inlets or outlets."""
    from openlineage.client.event_v2 import Dataset

    namespace, _, name = asset.uri.partition("://")
    return Dataset(namespace=namespace, name=name)


def _facets(thing: Thing) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, tags_dataset

    facets: dict[str, Any] = {}
    if thing.version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=thing.version)
    if known := {key: value for key, value in thing.facts.items() if value is not None}:
        tags = [tags_dataset.TagsDatasetFacetFields(key, str(value), "truss-train") for key, value in known.items()]
        facets["tags"] = tags_dataset.TagsDatasetFacet(tags=tags)
    return facets


def _triggering(context: Context) -> Iterator[Thing]:
    """The dataset versions among the asset events that set a DAG run off, the last of each asset."""
    from truss_train_core import lineage

    for events in (context.get("triggering_asset_events") or {}).values():
        facts = (events[-1].extra or {}).get("payload")
        if isinstance(facts, dict) and {"source", "version"} <= facts.keys():
            yield lineage.dataset(**facts)
