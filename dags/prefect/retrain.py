"""Retrain every night: train, resume what breaks off, deploy the best checkpoint once a person has approved of it."""

from pathlib import Path

from prefect_truss_train import train_and_deploy

CONFIG = str(Path(__file__).parents[2] / "examples" / "digits" / "config.py")
PARAMETERS = {
    "config": CONFIG,
    "credentials": "baseten",
    "metric": "eval_loss",
    "mode": "min",
    "deploy_config": CONFIG,
    "approval_timeout": 12 * 3600,
}

if __name__ == "__main__":
    train_and_deploy.serve("retrain", cron="0 2 * * *", parameters=PARAMETERS)
