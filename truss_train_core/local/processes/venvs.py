"""A virtual environment per job: made in milliseconds, seeing the packages of an interpreter, changing none of them.

uv makes an empty environment of that interpreter's Python. A .pth file adds the interpreter's site-packages behind its
own, so that everything installed there can be imported while `pip install` writes to the job's environment only. (The
usual --system-site-packages would show the packages of the base installation, not those of a virtual environment that
the interpreter belongs to.) Its console scripts, such as torchrun, are copied with the job's Python in front, so that
they see what the job installs.

`pip` and `python -m pip` are the real pip: the interpreter's own, or else the one that this package depends on. It
counts what it finds in the other site-packages as installed, and leaves it alone when a newer version is asked for.
`uv pip install` works as well, but looks at the job's own site-packages only, so it may download what is already there.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from uv import find_uv_bin

from truss_train_core.errors import LocalPlatformError

_PTH_FILE = "truss_train_interpreter.pth"
_LONGEST_SHEBANG_LINE = 300
_PROBE = """
import importlib.util, json, os, sys, sysconfig
print(json.dumps({
    "site_packages": [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))],
    "scripts": sysconfig.get_path("scripts"),
    "seen": [sys.prefix, sys.base_prefix, *filter(os.path.isdir, sys.path)],
    "has_pip": importlib.util.find_spec("pip") is not None,
}))
"""


class _Interpreter(BaseModel):
    model_config = ConfigDict(frozen=True)

    site_packages: tuple[Path, ...]
    scripts: Path
    seen: tuple[Path, ...]
    has_pip: bool


def create(venv: Path, python: Path) -> tuple[Path, ...]:
    """Make a virtual environment at `venv` that sees the packages of `python`.

    Returns:
        files and directories outside of `venv` that it needs.

    Raises:
        LocalPlatformError: `python` does not run, or uv cannot make an environment of it.
    """
    interpreter = _probe(python)
    uv = find_uv_bin()
    made = subprocess.run(
        [uv, "venv", "--quiet", "--no-project", "--no-config", "--no-python-downloads", "--python", python, venv],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise LocalPlatformError(f"No virtual environment could be made of {python}: {made.stderr.strip()}")
    [own_site_packages] = venv.glob("lib/python*/site-packages")
    (own_site_packages / _PTH_FILE).write_text(_pth_lines(interpreter, venv))
    _copy_scripts(interpreter.scripts, venv, run_by=(python.parent, interpreter.scripts))
    for name in ("pip", "pip3"):
        _write_script(venv / "bin" / name, venv, b"from pip._internal.cli.main import main\nraise SystemExit(main())\n")
    (venv / "bin" / "uv").symlink_to(uv)
    return (*interpreter.seen, Path(uv), *_our_pip())


def _probe(python: Path) -> _Interpreter:
    try:
        answer = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=True, cwd="/").stdout
        return _Interpreter(**json.loads(answer))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        reason = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        raise LocalPlatformError(
            f"{python} does not work as a Python interpreter: {reason}", hint="Name another with --python."
        ) from error


def _pth_lines(interpreter: _Interpreter, venv: Path) -> str:
    """`addsitedir` rather than a plain line for each directory: editable installs are .pth files in there."""
    lines = [f"import site; site.addsitedir({str(directory)!r})" for directory in interpreter.site_packages]
    if not interpreter.has_pip:
        directory = venv / "share" / "pip"  # holds a link to our own pip, and nothing else of our packages
        directory.mkdir(parents=True)
        for package in _our_pip():
            (directory / "pip").symlink_to(package)
        lines.append(str(directory))
    return "\n".join(lines) + "\n"


def _our_pip() -> tuple[Path, ...]:
    """The package pip that this package depends on."""
    found = importlib.util.find_spec("pip")
    return () if found is None or found.origin is None else (Path(found.origin).parent,)


def _copy_scripts(scripts: Path, venv: Path, run_by: tuple[Path, ...]) -> None:
    """Copy the scripts that a Python in one of the directories `run_by` runs."""
    interpreters = tuple(f"{directory}/".encode() for directory in run_by)
    for script in scripts.iterdir():
        target = venv / "bin" / script.name
        if script.is_file() and not target.exists():
            first_line, body = _split_script(script)
            if any(interpreter in first_line for interpreter in interpreters):
                _write_script(target, venv, body)


def _split_script(script: Path) -> tuple[bytes, bytes]:
    """The line of a script that names its interpreter, and what follows; nothing if it is no script."""
    with script.open("rb") as file:
        if file.read(2) != b"#!":
            return b"", b""
        line = file.readline(_LONGEST_SHEBANG_LINE)
        if line.strip() == b"/bin/sh":
            line = file.readline(_LONGEST_SHEBANG_LINE)  # '''exec' "/a/long/path/python" "$0" "$@"
            file.readline(_LONGEST_SHEBANG_LINE)  # ' '''
        return line, file.read()


def _write_script(path: Path, venv: Path, body: bytes) -> None:
    """A script run by the environment's Python. The kernel limits the length of a #! line, so the shell starts it."""
    path.write_bytes(f"#!/bin/sh\n'''exec' \"{venv / 'bin' / 'python'}\" \"$0\" \"$@\"\n' '''\n".encode() + body)
    path.chmod(0o755)
