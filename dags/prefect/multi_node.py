"""Train on two nodes that save a shard of each checkpoint each, and go on by rank where the job breaks off."""

from pathlib import Path

from prefect import flow

from prefect_truss_train import train_and_deploy, with_remote_cancellation

CONFIG = str(Path(__file__).parents[2] / "examples" / "two_nodes" / "config.py")


@with_remote_cancellation(credentials="baseten")
@flow
def multi_node(config: str = CONFIG, variables: dict[str, str] | None = None) -> str:
    """Train; returns the name of the best checkpoint. It is spread over the nodes, and so not deployed as it is.

    Args:
        config: path of a config.py, whose `node_count` says how many nodes.
        variables: environment variables of the training.
    """
    run = train_and_deploy(config, variables=variables, credentials="baseten", metric="eval_loss", mode="min")
    return run.record.choice.checkpoint.name


if __name__ == "__main__":
    multi_node()
