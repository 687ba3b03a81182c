"""The whole story on this machine, as a Prefect flow: train, be interrupted, resume, choose, deploy, ask.

Everything it makes is below .demo/prefect. It has a Prefect server and a platform of its own; on a terminal they run
until Enter is pressed, so that the links can be looked at, and when it ends nothing of it runs any more.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from sklearn.datasets import load_digits

from prefect_truss_train.testing import PrefectServer, free_port
from truss_train_core import Client, checkpoints, jobs
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo" / "prefect"
CONFIG = str(ROOT / "examples" / "digits" / "config.py")
HALF_WAY = 9
"""Checkpoints after which the job's machine is taken away; it would write twenty."""
DIGIT = 1234
"""Which of scikit-learn's digits the deployed model is asked about."""


def main() -> int:
    began = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    server = PrefectServer(f"http://127.0.0.1:{free_port()}", HOME / "server")
    os.environ.update(server.environment)  # before prefect is imported
    print("Starting a Prefect server and a local platform …", flush=True)
    with PrefectServer.started(server.home, port=server.port), LocalPlatform.started(HOME / "platform") as platform:
        threading.Thread(target=take_away_half_way, args=[platform], daemon=True).start()
        code = tell_the_story(server, platform, began)
        if sys.stdin.isatty():
            input("\nBoth run until you press Enter. ")
    return code


def tell_the_story(server: PrefectServer, platform: LocalPlatform, began: float) -> int:
    """Run the flow, print where it can be looked at, and say whether it went as it should."""
    from prefect_truss_train import BasetenCredentials, train_and_deploy

    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("local-platform")
    digits = load_digits()
    image = digits.images[DIGIT].tolist()
    state = train_and_deploy(
        CONFIG,
        credentials="local-platform",
        metric="eval_loss",
        mode="min",
        deploy_config=CONFIG,
        question={"image": image},
        return_state=True,
    )
    record = state.result().record
    answer, digit = json.loads(record.answer), int(digits.target[DIGIT])
    for row in image:
        print("   " + "".join(" ░▒▓█"[min(4, int(value) // 4)] * 2 for value in row))
    print(f"\nThe model says {answer['digit']}; it is a {digit}. It took {time.monotonic() - began:.0f} seconds.\n")
    print(f"  flow run    {server.url}/runs/flow-run/{state.state_details.flow_run_id}")
    for what in ("summary", "checkpoints", "loss", "progress", "job", "model"):
        print(f"  {what:<12}{server.url}/artifacts/key/digits-{what}")
    causes = [attempt.cause for attempt in record.attempts]
    if answer["digit"] != digit or causes != ["preempted", "completed"]:
        print(f"That is not how it should go: attempts {causes}, answer {answer}.", file=sys.stderr)
        return 1
    return 0


def take_away_half_way(platform: LocalPlatform) -> None:
    """Reclaim the machine of the first job once it has saved enough, as spot capacity is reclaimed."""
    with Client(platform.remote) as client:
        while True:
            for job in client.run(jobs.find_active("")):
                if len(client.run(checkpoints.list_checkpoints(job))) >= HALF_WAY:
                    platform.preempt(job.id)
                    return
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
