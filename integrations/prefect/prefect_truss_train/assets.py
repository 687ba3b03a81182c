"""What came of what: the dataset, the checkpoint and the deployed model as Prefect assets.

s3://bucket/reviews ─► baseten://training/<project>/<job>/<checkpoint> ─► baseten://models/<model>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.assets import Asset, AssetProperties, add_asset_metadata, materialize

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun

TOOL = "truss-train"


def record_assets(run: TrainingRun, *, dataset: str | None = None) -> None:
    """Record the chosen checkpoint and, if it is deployed, the model as assets. Call it in a flow.

    Args:
        run: from `choose_checkpoint` or a task after it.
        dataset: address of what was trained on, which the checkpoint depends on.
    """
    record, remote = run.record, run.remote()
    if record.choice is None:
        return
    chosen = record.choice.checkpoint
    job = next((each.job_name for each in record.attempts if each.job_id == chosen.job_id), chosen.job_id)
    checkpoint = Asset(
        key=f"baseten://training/{run.project.name}/{job}/{chosen.name}",
        properties=AssetProperties(name=chosen.name, url=remote.job_page(run.project_id, chosen.job_id)),
    )
    _record(checkpoint, [dataset] if dataset else [], record.choice.model_dump(mode="json", exclude={"checkpoint"}))
    if record.deployment and run.deployment:
        deployed = record.deployment
        name = run.deployment.model_name or deployed.model_id
        page = remote.model_page(deployed.model_id, deployed.deployment_id)
        model = Asset(key=f"baseten://models/{name}", properties=AssetProperties(name=name, url=page))
        _record(model, [checkpoint], deployed.model_dump(mode="json"))


def _record(asset: Asset, made_of: list[str | Asset], metadata: dict[str, Any]) -> None:
    name = f"record-{asset.properties.name if asset.properties else asset.key}"

    @materialize(asset, by=TOOL, asset_deps=made_of, name=name, task_run_name=name, tags={TOOL}, persist_result=False)
    def record_asset() -> None:
        add_asset_metadata(asset, metadata)

    record_asset()
