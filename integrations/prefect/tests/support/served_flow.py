"""Serves train_and_deploy under the name that is given, until it is ended."""

from __future__ import annotations

import sys

from prefect_truss_train import train_and_deploy

if __name__ == "__main__":
    train_and_deploy.serve(name=sys.argv[1], pause_on_shutdown=False)
