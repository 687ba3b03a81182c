"""What Airflow is told of this package, through the entry point `apache_airflow_provider`."""

from __future__ import annotations

from typing import Any

from airflow_provider_truss_train import __version__

_PACKAGE = "airflow_provider_truss_train"


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, by the keys of Airflow's provider schema."""
    return {
        "package-name": "airflow-provider-truss-train",
        "name": "Baseten training",
        "description": "Train on Baseten: waits without a worker, and never submits twice.",
        "versions": [__version__],
        "integrations": [
            {"integration-name": "Baseten", "external-doc-url": "https://docs.baseten.co", "tags": ["service"]}
        ],
        "operators": [{"integration-name": "Baseten", "python-modules": [f"{_PACKAGE}.operators"]}],
        "sensors": [{"integration-name": "Baseten", "python-modules": [f"{_PACKAGE}.sensors"]}],
        "hooks": [{"integration-name": "Baseten", "python-modules": [f"{_PACKAGE}.hooks"]}],
        "triggers": [{"integration-name": "Baseten", "python-modules": [f"{_PACKAGE}.triggers", f"{_PACKAGE}.assets"]}],
        "asset-uris": [
            {
                "schemes": ["baseten"],
                "handler": None,
                "to_openlineage_converter": f"{_PACKAGE}.lineage.asset_to_openlineage",
            }
        ],
        "extra-links": [f"{_PACKAGE}.links.{name}" for name in ("TrainingJobLink", "CheckpointLink", "ModelLink")],
        "plugins": [{"name": "truss_train", "plugin-class": f"{_PACKAGE}.plugin.TrussTrainPlugin"}],
        "task-decorators": [{"name": "training_job", "class-name": f"{_PACKAGE}.decorators.training_job_task"}],
        "connection-types": [
            {
                "connection-type": "baseten",
                "hook-class-name": f"{_PACKAGE}.hooks.BasetenHook",
                "hook-name": "Baseten",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema"],
                    "relabeling": {"password": "API key", "host": "Address"},
                    "placeholders": {"host": "https://app.baseten.co", "port": "443"},
                },
                "conn-fields": {
                    "team": {
                        "label": "Team",
                        "description": "The team that owns what is created; empty for the account's own.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "remote": {
                        "label": "Remote",
                        "description": "Instead of a key: a section of .trussrc on the workers and triggerers.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
