"""What the two rows of pushes share: a tree, a store, and the three who send the one to the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import ROOT, Cost, Costs, cost_of, in_turn
from truss_train_core.remotes import write_remote

OURS, TRUSS, TAR = "truss-train push", "truss train push", "tar piped into curl"
CONFIG = """
from truss_train import definitions

project = definitions.TrainingProject(
    name="bench",
    job=definitions.TrainingJob(
        image=definitions.Image(base_image="python:3.12-slim"),
        runtime=definitions.Runtime(start_commands=["true"]),
    ),
)
"""


@dataclass(frozen=True)
class Pushing:
    """A tree to be pushed and somewhere to push it to.

    Attributes:
        url: of the store.
        tree: the directory of the config file.
        home: of whoever pushes; it holds the remote.
    """

    url: str
    tree: Path
    home: Path

    def by_us(self) -> Cost:
        return cost_of([ROOT / ".venv/bin/truss-train", "push", self.tree / "config.py", "--remote", "ours"],
                       environment=self._environment(), directory=self.home)  # fmt: skip

    def by_truss(self) -> Cost:
        """The unmodified CLI. It finds an API on this machine at one port only; a proxy is asked instead."""
        environment = {**self._environment(), "HTTP_PROXY": self.url, "NO_PROXY": "127.0.0.1"}
        return cost_of([ROOT / ".venv-interop/bin/truss", "train", "push", self.tree / "config.py", "--remote",
                        "truss"], environment=environment, directory=self.home)  # fmt: skip

    def by_tar(self) -> Cost:
        """What no client can be faster than by much: one stream, neither signed nor hashed."""
        upload = f'tar cf - -C "{self.tree}" . | curl --silent --fail -T - -H Expect: {self.url}/bucket/archive.tgz'
        return cost_of(["bash", "-o", "pipefail", "-c", upload], environment=self._environment())

    def in_turn(self, rounds: int, *names: str) -> dict[str, Costs]:
        sides = {OURS: self.by_us, TRUSS: self.by_truss, TAR: self.by_tar}
        return in_turn({name: sides[name] for name in names}, rounds)

    def _environment(self) -> dict[str, str]:
        foreign = re.compile("(AWS|BASETEN|TRUSS|USER_TRUSSRC)_|(HTTPS?|ALL|NO)_PROXY$", re.IGNORECASE)
        own = {
            "HOME": str(self.home), "USER_TRUSSRC_PATH": str(self.home / ".trussrc"), "TMPDIR": str(self.home),
            "TRUSS_NO_UPDATE_CHECK": "1",
        }  # fmt: skip
        return {**{name: value for name, value in os.environ.items() if not foreign.match(name)}, **own}


@contextmanager
def pushing(files: int, size: int) -> Iterator[Pushing]:
    """A tree of so many files of about `size` bytes each, and a store."""
    with TemporaryDirectory(prefix="bench-push-") as directory, _store() as url:
        tree, home = Path(directory, "tree"), Path(directory, "home")
        home.mkdir()
        _make(tree, files, size)
        write_remote("ours", url=url, api_key="key", path=home / ".trussrc")
        write_remote("truss", url="http://localhost:8000", api_key="key", path=home / ".trussrc")
        yield Pushing(url, tree, home)


def _make(tree: Path, files: int, size: int) -> None:
    """Files of random content, a hundred to a directory, their sizes between half and one and a half times the mean."""
    for number in range(files - 1):
        directory = tree / f"part-{number // 100:03}"
        directory.mkdir(exist_ok=True, parents=True)
        (directory / f"{number:06}.bin").write_bytes(os.urandom(size // 2 + size * (number % 100) // 99))
    (tree / "config.py").write_text(CONFIG)


@contextmanager
def _store() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.store"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
