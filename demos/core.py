"""The whole story on this machine, with the command line: train, be interrupted, resume, choose, deploy, ask.

Everything it makes is below .demo/core; when it ends, nothing of it runs any more.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo" / "core"
COMMAND = Path(sys.executable).with_name("truss-train")
ENVIRONMENT = {**os.environ, "USER_TRUSSRC_PATH": str(HOME / "trussrc"), "TRUSS_TRAIN_REMOTE": "local"}
HALF_WAY = 9
"""Checkpoints after which the job's machine is taken away; it would write twenty."""
DIGIT = 1234
"""Which of scikit-learn's digits the deployed model is asked about."""


def main() -> int:
    began = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    digits = load_digits()
    image = digits.images[DIGIT].tolist()
    (HOME / "question.json").write_text(json.dumps({"image": image}))

    with platform():
        threading.Thread(target=take_away_half_way, daemon=True).start()
        train = ["run", "examples/digits/config.py", "--metric", "eval_loss", "--mode", "min"]
        serve = ["--ask", ".demo/core/question.json", "--record", ".demo/core/record.json"]
        print(f"$ truss-train {shlex.join(train)} \\\n      {shlex.join(serve)}\n", flush=True)
        code = subprocess.run([COMMAND, *train, *serve], cwd=ROOT, env=ENVIRONMENT, check=False).returncode
    if code:
        return code

    record = json.loads((HOME / "record.json").read_text())
    return check(record, image, int(digits.target[DIGIT]), time.monotonic() - began)


def check(record: dict[str, Any], image: list[list[float]], digit: int, seconds: float) -> int:
    """Show what the model was asked, and whether the story went as it should."""
    print()
    for row in image:
        print("   " + "".join("·░▒▓█"[min(4, int(value) // 4)] * 2 for value in row))
    answer = json.loads(record["answer"])
    causes = [attempt["cause"] for attempt in record["attempts"]]
    print(f"\nThe model says {answer['digit']}; it is a {digit}. The whole story took {seconds:.0f} seconds.")
    if answer["digit"] != digit or causes != ["preempted", "completed"]:
        print(f"That is not how it should go: attempts {causes}, answer {answer}.", file=sys.stderr)
        return 1
    return 0


@contextmanager
def platform() -> Iterator[None]:
    """A local platform on a free port, and nothing of it left behind."""
    command = ["serve", "--port", "0", "--data-dir", HOME / "platform", "--stop-grace", "5", "--stop-all-on-exit"]
    server = subprocess.Popen([COMMAND, *command, "-o", "json"], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        if not server.stdout.readline():
            sys.exit("The local platform did not start.")
        yield
    finally:
        server.terminate()
        server.wait()


def take_away_half_way() -> None:
    """Reclaim the machine of the first job once it has saved enough, as spot capacity is reclaimed."""
    while True:
        for job in ask_for("jobs") or ():
            listed = ask_for("checkpoints", "--job-id", job["id"])
            if listed and len(listed["checkpoints"]) >= HALF_WAY:
                ask_for("local", "preempt", job["id"])
                return
        time.sleep(0.2)


def ask_for(*arguments: str) -> Any:
    """What a command answers, or None where it has nothing to say yet."""
    done = subprocess.run(
        [COMMAND, *arguments, "-o", "json"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
