"""`python -m truss_train_core.local`: the local platform for scripts and tests; prints a line of JSON when it is ready.

People use `truss-train serve`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from truss_train_core.errors import TrussTrainError
from truss_train_core.local.serve import Ready, ServeOptions, serve
from truss_train_core.local.server.scheduler import parse_capacity


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m truss_train_core.local", description=__doc__)
    parser.add_argument("--port", type=int, default=ServeOptions.port)
    parser.add_argument("--host", default=ServeOptions.host)
    parser.add_argument("--allowed-host", dest="allowed_hosts", action="append", default=[], metavar="NAME")
    parser.add_argument("--data-dir", type=Path, default=ServeOptions.data_dir)
    parser.add_argument("--api-key")
    parser.add_argument("--capacity", type=parse_capacity, default={}, metavar="H100=8,…")
    parser.add_argument("--stop-grace", type=float, default=ServeOptions.stop_grace)
    parser.add_argument("--python", type=Path, default=ServeOptions.python)
    parser.add_argument("--remote", help="section of .trussrc to write; none by default")
    parser.add_argument("--sandbox", action=argparse.BooleanOptionalAction)
    parser.add_argument("--stop-all-on-exit", action="store_true")
    try:
        serve(ServeOptions(**vars(parser.parse_args())), _say_ready)
    except TrussTrainError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _say_ready(ready: Ready) -> None:
    said = {
        "url": ready.url,
        "key_file": str(ready.key_file),
        "sign_in": ready.sign_in,
        "sandboxed": ready.unsandboxed is None,
    }
    print(json.dumps(said), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
