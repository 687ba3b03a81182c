"""What came of what: the dataset, the checkpoint and the deployed model as Prefect assets, by the names of the core.

s3://bucket/reviews ─► baseten://training/<job>/<checkpoint> ─► baseten://models/<model>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun
    from truss_train_core.lineage import Thing

TOOL = "truss-train"


def record_assets(run: TrainingRun, *, dataset: str | None = None) -> None:
    """Record the chosen checkpoint and, if it is deployed, the model as assets. Call it in a flow.

    Args:
        run: from `choose_checkpoint` or a task after it.
        dataset: address of what was trained on, which the checkpoint depends on.
    """
    from truss_train_core import deployments, lineage

    record, remote = run.record, run.remote()
    if record.choice is None:
        return
    chosen = record.choice.checkpoint
    page = remote.job_page(run.project_id, chosen.job_id)
    checkpoint = _asset(lineage.checkpoint(chosen.job_id, chosen.name), chosen.name, page)
    made_of: list[str | Asset] = [lineage.dataset(dataset).uri] if dataset else []
    _record(checkpoint, made_of, record.choice.model_dump(mode="json", exclude={"checkpoint"}))
    if record.deployment and run.deployment:
        deployed = record.deployment
        page = remote.model_page(deployed.model_id, deployed.deployment_id)
        model = _asset(lineage.model(deployed.model_id), run.deployment.model_name or deployed.model_id, page)
        _record(model, [checkpoint], {**deployments.labels_of(run.deployment), **deployed.model_dump(mode="json")})


def _asset(thing: Thing, name: str, url: str) -> Asset:
    return Asset(key=thing.uri, properties=AssetProperties(name=name, url=url))


def _record(asset: Asset, made_of: list[str | Asset], metadata: dict[str, Any]) -> None:
    name = f"record-{asset.properties.name if asset.properties else asset.key}"

    @materialize(asset, by=TOOL, asset_deps=made_of, name=name, task_run_name=name, tags={TOOL}, persist_result=False)
    def record_asset() -> None:
        add_asset_metadata(asset, metadata)

    record_asset()
