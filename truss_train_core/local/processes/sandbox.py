"""A container's view of this machine for a command, by bubblewrap (`bwrap`), where that is installed.

A sandboxed command sees the system's programs and its interpreter's packages, read-only; what belongs to its rank, at
the paths that the documentation names; and nothing else: neither the rest of the platform's data nor anybody's home.
It is in a user namespace of its own, so it cannot look into other processes, not even into those of other jobs. The
network is the machine's, as ranks and deployments meet on it, and so are the process numbers.

Bubblewrap is gone once the command runs. It would stand between the command and its supervisor, and turn "ended by
SIGTERM" into an exit code. So the command waits at the door until bubblewrap has built the room; then bubblewrap is
killed, the command becomes the child of the supervisor, its subreaper, and goes in.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from truss_train_core.local.processes import die_with_parent

_SYSTEM = tuple(
    Path("/", name)
    for name in "usr bin sbin lib lib32 lib64 etc opt nix run/systemd/resolve sys proc".split()  # noqa: SIM905
)
"""Of the machine, read-only, as far as it is there. In a writable /proc a job of root's could change the machine."""
_DEVICES = ("nvidia*", "dri", "kfd", "infiniband")
"""Below `/dev`, beside those that every process needs."""
_NEW = ("bwrap", "--unshare-user", "--unshare-ipc", "--new-session")
_AT_THE_DOOR = 'read -r go && exec setpriv --pdeathsig KILL -- "$@" </dev/null'
"""Run by `sh`. Then the wish to die with the parent is of the parent that stays."""
_LOOK_AGAIN = 0.001
_PROBE_LIMIT = 20.0
_MOST_LINKS = 40


@dataclass(frozen=True)
class Sandbox:
    """What a command sees beside the system.

    Attributes:
        hidden: a directory of which nothing is seen, except what the other attributes say.
        readable: files and directories that are seen where they are, read-only, even outside of `hidden`.
        writable: what can be changed: (where it is, where the command sees it).
        work: the working directory, as the command sees it.
    """

    hidden: Path
    readable: tuple[Path, ...]
    writable: tuple[tuple[Path, Path], ...]
    work: Path

    def around(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the sandbox."""
        mounts = [(path, "--ro-bind-try", path) for path in (*_SYSTEM, *self.readable)]
        mounts += [(device, "--dev-bind-try", device) for name in _DEVICES for device in Path("/dev").glob(name)]
        mounts += [(seen, "--bind", place) for place, seen in self.writable]
        options = {seen: [how, str(place), str(seen)] for seen, how, place in mounts}
        options |= {self.hidden: ["--tmpfs", str(self.hidden)], Path("/dev"): ["--dev", "/dev"]}
        in_order = [word for seen in sorted(options) for word in options[seen]]  # a directory before what is in it
        return [*_NEW, *in_order, "--chdir", str(self.work), "--", *command]

    def outside(self, seen: Path) -> Path | None:
        """The file behind a path that the command sees, with links followed as the command would.

        None where it sees none, and where a directory on the way is a link: outside, that leads elsewhere.
        """
        for _ in range(_MOST_LINKS):
            mount, place = self._mount_of(seen)
            if place is None:
                return None
            found = place / seen.relative_to(mount)
            if found.parent.resolve() != place.resolve() / seen.relative_to(mount).parent:
                return None
            if not found.is_symlink():
                return found
            seen = Path(os.path.normpath(seen.parent / found.readlink()))
        return None

    def _mount_of(self, seen: Path) -> tuple[Path, Path | None]:
        """What of the sandbox's parts a path lies in: where that is seen, and where it is outside."""
        places: dict[Path, Path | None] = {Path("/"): None, **{path: path for path in (*_SYSTEM, *self.readable)}}
        places |= {self.hidden: None, **{at: place for place, at in self.writable}}
        mount = next(path for path in (seen, *seen.parents) if path in places)
        return mount, places[mount]


class Adopted:
    """A process that became a child of this one, with as much of `subprocess.Popen` as one needs to wait for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def why_not() -> str | None:
    """Why commands cannot be sandboxed on this machine; None where they can."""
    try:
        subprocess.run(
            [*_NEW, "--ro-bind", "/", "/", "--dev", "/dev", "--", "setpriv", "--pdeathsig", "KILL", "--", "true"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=_PROBE_LIMIT,
        )  # fmt: skip
    except FileNotFoundError:
        return "bubblewrap is not installed"
    except subprocess.TimeoutExpired:
        return f"bubblewrap does not answer within {_PROBE_LIMIT:g} seconds"
    except subprocess.CalledProcessError as error:
        return f"bubblewrap cannot be used here: {error.stderr.strip()}"
    return None


def start(
    sandbox: Sandbox, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], output: int
) -> Adopted:
    """Run a command in a sandbox, as leader of a session. This process must be a subreaper.

    Raises:
        OSError: the sandbox cannot be made; what bubblewrap says of it went to `output`.
    """
    waiting = ["/bin/sh", "-c", _AT_THE_DOOR, "sh", *command]
    builder = subprocess.Popen(
        [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *sandbox.around(waiting)],
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    assert builder.stdin
    with builder.stdin as door:
        adopted = Adopted(_waiting_child(builder))
        builder.kill()
        builder.wait()
        door.write(b"\n")
    return adopted


def _waiting_child(builder: subprocess.Popen[bytes]) -> int:
    """The process that bubblewrap has made, when it leads a session: the last thing before it becomes the command."""
    while builder.poll() is None:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            for child in psutil.Process(builder.pid).children():
                pid: int = child.pid
                if os.getsid(pid) == pid:
                    return pid
        time.sleep(_LOOK_AGAIN)
    raise OSError(f"the sandbox could not be made (bubblewrap: exit code {builder.returncode}); the log says why")
