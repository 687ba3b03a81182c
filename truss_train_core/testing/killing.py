"""Killing a worker at random calls, and giving its command again until it ends.

with Killings.started(platform.remote, seed=7, calls=40) as killings:
    deaths = killings.until_it_ends([sys.executable, "pipeline.py", killings.proxy.url])
assert doubles(client) == []
"""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from truss_train_core.remotes import Remote
from truss_train_core.testing.faults import Fault, Kind, seeded
from truss_train_core.testing.proxy import FaultProxy


class Killings:
    """Two deaths by SIGKILL, each at a call, and the usual faults in between; all of it follows from a seed.

    The first death comes after its call was carried out, the second before.

    Attributes:
        proxy: what the command has to talk to.
    """

    def __init__(self, proxy: FaultProxy, workers: list[subprocess.Popen[bytes]]) -> None:
        self.proxy = proxy
        self._workers = workers

    @classmethod
    @contextmanager
    def started(cls, remote: Remote, *, seed: int, calls: int, rate: float = 0.05) -> Iterator[Killings]:
        """Stand in front of a platform.

        Args:
            remote: which.
            seed: of all that happens.
            calls: about as many as the command makes when nothing happens: the first death is at one of them, the
                second at one of as many that follow.
            rate: of how many of the calls a usual fault happens, from 0 to 1.
        """
        chance, usual = random.Random(seed), seeded(seed, rate=rate)  # noqa: S311 (to be repeated, not secret)
        first = chance.randint(1, calls)
        deaths: dict[int, Kind] = {first: "lost", first + chance.randint(1, calls): "reset"}
        workers: list[subprocess.Popen[bytes]] = []

        def decide(number: int, method: str, path: str) -> Fault | None:
            how = deaths.get(number)
            return Fault(how, then=workers[-1].kill) if how else usual(number, method, path)

        with FaultProxy.started(remote, decide) as proxy:
            yield cls(proxy, workers)

    def until_it_ends(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout: float = 300.0
    ) -> int:
        """Give a command again as long as it is killed; returns how often it was.

        Args:
            command: the program and its arguments.
            environment: of the program; None for that of this process.
            timeout: seconds that one process may take.

        Raises:
            subprocess.CalledProcessError: it failed.
            subprocess.TimeoutExpired: it hangs; it was killed.
        """
        for deaths in range(3):  # noqa: B007 (how often, after the loop)
            worker = subprocess.Popen(command, env=environment)
            self._workers.append(worker)
            try:
                code = worker.wait(timeout)
            finally:
                worker.kill()
            if code != -signal.SIGKILL:
                break
        if code:
            raise subprocess.CalledProcessError(code, list(command))
        return deaths
