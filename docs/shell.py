"""The commands of a page as a reader types them: into one shell, block after block, in a folder like a clone's.

A suite says which programs it really runs; the others do nothing there, and are for another suite. What would never end
is ended once it has said something. A block that begins with `# meanwhile` is typed into a second shell, while the one
before it runs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pages import ROOT, Block

MEANWHILE = "# meanwhile"
ENDS_WITHIN = 540.0
"""Seconds that the commands of a page may take."""
FUNCTIONS = r"""
set -e
pip() { :; }
make() { :; }
once_it_says_something() {
    "$@" > said.txt 2>&1 & local process=$!
    until [ -s said.txt ]; do kill -0 $process; sleep 0.1; done
    kill $process; wait $process || true
}
"""
"""What is to be installed is. What is to be made has tests of its own; a dry run would run what calls make anew."""


SHORTER = 's/"EPOCHS": "20"/"EPOCHS": "8"/'
"""What makes a config.py of the digits a shorter training."""


def typed(blocks: Sequence[Block], folder: Path, functions: str, environment: Mapping[str, str]) -> str:
    """Type the commands; what they said. Fails where one of them does.

    Args:
        blocks: of one page.
        folder: an empty one.
        functions: of the shell, in the place of programs.
        environment: more variables of the shell.
    """
    for name in ("examples", "dags"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".truss-train"))
    subprocess.run(["sed", "-i", SHORTER, folder / "examples" / "digits" / "config.py"], check=True)
    script = [FUNCTIONS, functions]
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if following and following.code.startswith(MEANWHILE):
            script.append(f"{{\n{block.code}}} & first=$!")
        elif block.code.startswith(MEANWHILE):
            script.append(f"{block.code}wait $first")
        else:
            script.append(block.code)
    (folder / "page.sh").write_text("\n".join(script))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {
        **os.environ,
        "PATH": path,
        "SHORTER": SHORTER,
        "PYTHONUNBUFFERED": "1",
        "PS4": "+ ${SECONDS} s: ",
        **environment,
    }
    bash = subprocess.Popen(
        ["bash", "-x", "page.sh"], cwd=folder, env=variables, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = bash.communicate(timeout=ENDS_WITHIN)
    finally:
        with suppress(ProcessLookupError):  # where nothing of it runs any more
            os.killpg(bash.pid, signal.SIGKILL)
    assert bash.returncode == 0, said
    return said
