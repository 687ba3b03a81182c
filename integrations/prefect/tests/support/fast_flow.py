"""Runs train_and_deploy in this process, where time passes faster for whoever waits.

python fast_flow.py FLOW_RUN_ID
"""

from __future__ import annotations

import sys

from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Pending

from prefect_truss_train import train_and_deploy, training_run
from truss_train_core import Client
from truss_train_core.testing import FastClock

SPEED = 10.0


def main(flow_run_id: str) -> None:
    training_run.client_for = lambda remote: Client(remote, clock=FastClock(SPEED))
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, Pending(), force=True)
        flow_run = client.read_flow_run(flow_run_id)
    run_flow(train_and_deploy, flow_run=flow_run)


if __name__ == "__main__":
    main(*sys.argv[1:])
