"""The whole story as a flow, against a real platform and a real server."""

from __future__ import annotations

import json

from project import BLOCK, CONFIG

from prefect_truss_train import train_and_deploy
from truss_train_core import Client
from truss_train_core.testing import LocalPlatform


def test_a_model_is_trained_chosen_deployed_and_asked(platform: LocalPlatform, client: Client) -> None:
    run = train_and_deploy(
        CONFIG, credentials=BLOCK, metric="eval_loss", mode="min", deploy_config=CONFIG, question={"any": "thing"}
    )
    assert run.record.choice.checkpoint.name == "checkpoint-2"
    assert json.loads(run.record.answer)["checkpoint"] == "checkpoint-2"
