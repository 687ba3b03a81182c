"""Runs train_and_deploy in this process, which kills itself, as SIGKILL does, at a call to the API.

    python killed_flow.py FLOW_RUN_ID WHEN METHOD PATH COUNT

WHEN is "before" or "after" the COUNT-th call of that method whose path matches; without these four, nothing happens.
"""

from __future__ import annotations

import os
import re
import signal
import sys

import httpx
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Pending

from prefect_truss_train import train_and_deploy

_send = httpx.HTTPTransport.handle_request


def main(flow_run_id: str, when: str = "", method: str = "", path: str = "", count: str = "0") -> None:
    left = int(count)

    def send(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        nonlocal left
        struck = left > 0 and request.method == method and bool(re.search(path, request.url.path))
        left -= struck
        if struck and left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        response = _send(transport, request)
        if struck and left == 0:
            response.read()
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    httpx.HTTPTransport.handle_request = send
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, Pending(), force=True)
        flow_run = client.read_flow_run(flow_run_id)
    run_flow(train_and_deploy, flow_run=flow_run)


if __name__ == "__main__":
    main(*sys.argv[1:])
