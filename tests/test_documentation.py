"""What the pages show is true: code runs, commands and configuration are understood, links lead somewhere.

A page falls under this by being there, in the README or below docs/; docs/pages.py finds its blocks. Python that needs
Airflow or Prefect runs in the tests of those, and so do the commands that need torch.
"""

from __future__ import annotations

import ast
import configparser
import importlib.util
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

import truss_train_core
from truss_train_core.cli.main import app
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import pages  # noqa: E402
import shell  # noqa: E402

PAGES = pages.pages()
REFERENCE = ROOT / "docs" / "reference"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def shown(page: Path, *languages: str) -> list[pages.Block]:
    """The blocks of a page in one of these languages."""
    return [block for block in pages.blocks_of(page) if block.language in languages]


# ---------------------------------------------------------------- every block


@each_page
def test_blocks_say_what_they_are(page: Path) -> None:
    known = {"python", "sh", *CONFIGURATION, "text"}
    unknown = [block.name for block in pages.blocks_of(page) if block.language not in known]
    assert unknown == [], f"write ```python, ```sh or ```text; known are {sorted(known)}"


@each_page
def test_no_command_hides_in_plain_text(page: Path) -> None:
    hidden = rf"^\s*(\$ |({'|'.join(PROGRAMS)}) )"
    found = [block.name for block in shown(page, "text") if re.search(hidden, block.code, re.MULTILINE)]
    assert found == [], "a command belongs into ```sh, where it is checked"


# ---------------------------------------------------------------- Python


@each_page
def test_python_is_python(page: Path) -> None:
    for block in shown(page, "python"):
        compile(block.code, block.name, "exec", dont_inherit=True)


def runs_here(block: pages.Block) -> bool:
    """Whether a block of Python is one that this environment runs: no declaration, no excerpt, of no engine."""
    return block.engine == "core" and block.page.parent != REFERENCE and not block.excerpt_of


PYTHON = [block for page in PAGES for block in shown(page, "python") if runs_here(block)]


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("truss_train_core.*.md")), ids=name_of)
def test_examples_of_docstrings_fit_what_they_call(page: Path) -> None:
    room = import_module(page.stem)
    known = {name: getattr(place, name) for place in (truss_train_core, room) for name in getattr(place, "__all__", ())}
    for example in pages.examples_of(page):
        if re.match(r"\w+ = |\w+\.|with ", example):  # a drawing is no code
            for call in (node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Call)):
                name, _, attribute = ast.unparse(call.func).partition(".")
                if name in known:
                    called = getattr(known[name], attribute) if attribute else known[name]
                    inspect.signature(called).bind(*call.args, **{str(each.arg): each.value for each in call.keywords})


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A platform that is the remote `local` of a .trussrc."""
    home = tmp_path_factory.mktemp("home")
    with LocalPlatform.started(home / "platform") as platform:
        key = platform.remote.key.get_secret_value()
        write_remote("local", url=platform.remote.web_url, api_key=key, path=home / "trussrc")
        yield home / "trussrc"


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_runs(block: pages.Block, local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USER_TRUSSRC_PATH", str(local))
    if re.search(r"^def test_", block.code, re.MULTILINE):
        run_as_tests(block.code, tmp_path)
    else:
        monkeypatch.chdir(ROOT)
        exec(compile(block.code, block.name, "exec", dont_inherit=True), {"__name__": "documentation"})


FIXTURES = "from truss_train_core.testing.fixtures import local_platform, manual_clock  # noqa: F401\n"
PIPELINE = """
from pathlib import Path
from truss_train_core import Client, RunPlan, load_training_project, runs

plan = RunPlan(project=load_training_project("config.py"), source_dir=Path(), follow_logs=False)
with Client() as client:
    client.run(runs.run(plan, runs.new_record(plan, runs.run_key("documentation"))))
"""


def run_as_tests(code: str, folder: Path) -> None:
    """Run the tests that a block shows, beside the fixtures and the pipeline that the page speaks of."""
    shutil.copytree(ROOT / "examples" / "starter", folder, dirs_exist_ok=True)
    (folder / "conftest.py").write_text(FIXTURES)
    (folder / "pipeline.py").write_text(PIPELINE)
    (folder / "test_page.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, "test_page.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- configuration


def read_toml(text: str) -> None:
    pytest.importorskip("tomllib").loads(text)


CONFIGURATION: dict[str, Callable[[str], object]] = {
    "ini": lambda text: configparser.ConfigParser().read_string(text),
    "json": json.loads,
    "toml": read_toml,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}


@each_page
def test_configuration_can_be_read(page: Path) -> None:
    for block in shown(page, *CONFIGURATION):
        CONFIGURATION[block.language](block.code)


# ---------------------------------------------------------------- the shell


@each_page
def test_commands_are_understood(page: Path) -> None:
    for program, *arguments in (command for block in shown(page, "sh") for command in block.commands):
        known = next((check for name, check in PROGRAMS.items() if re.fullmatch(name, program)), None)
        assert known, f"{program}: say here how such a command is checked"
        known(arguments)


def is_truss_train(arguments: list[str]) -> None:
    """Parsed by the command line's own parser, and not carried out."""
    command = get_command(app())
    arguments = [sys.executable if each.endswith("bin/python") else each for each in arguments]  # which has to exist
    context = command.make_context("truss-train", arguments)
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found, arguments
        command, context = found, found.make_context(name, rest, parent=context)


def is_make(arguments: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {each for each in arguments if "=" not in each} <= set(targets)


def is_pip(arguments: list[str]) -> None:
    """What is installed from this repository is there, and so are the extras."""
    assert arguments[0] == "install"
    for path, extra in (re.fullmatch(r"([^\[]*)(?:\[(.*)\])?", each).groups() for each in arguments[1:]):  # type: ignore[union-attr]
        if path.startswith(".") or "/" in path:
            project = (ROOT / path / "pyproject.toml").read_text()
            assert not extra or re.search(rf"^{extra} = \[", project, re.MULTILINE)


def is_python(arguments: list[str]) -> None:
    kind, rest = arguments[0], arguments[1:]
    if kind == "-c":
        ast.parse(rest[0])
    elif kind == "-m":
        assert importlib.util.find_spec(rest[0])
    else:
        assert (ROOT / kind).is_file()


def is_export(arguments: list[str]) -> None:
    for name, _, value in (each.partition("=") for each in arguments):
        if name.startswith("AIRFLOW_CONN_"):
            json.loads(value)


def is_taken_as_it_is(arguments: list[str]) -> None:
    """Nothing of ours."""


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "truss-train": is_truss_train,
    "make": is_make,
    "pip": is_pip,
    r"(\S*/)?python3?": is_python,
    "export": is_export,
    "airflow": is_taken_as_it_is,  # the tests of the provider know
    "prefect": is_taken_as_it_is,  # those of the collection
    "cd": is_taken_as_it_is,
    r"\.": is_taken_as_it_is,
    "curl": is_taken_as_it_is,
    "git": is_taken_as_it_is,
}


PLATFORM = r"""
has_saved() { command truss-train checkpoints --remote local -o json | grep -q COMPLETE; }
airflow() { :; }
prefect() { :; }
python() {
    case "$*" in
        *prefect*) ;;
        *testing.proxy*) once_it_says_something command python "$@" ;;
        *) command python "$@" ;;
    esac
}
truss-train() {
    case "$*" in
        init*) command truss-train "$@"; sed -i "$SHORTER" digits/config.py ;;
        serve*) once_it_says_something command truss-train "$@" --port 0 --remote "" --data-dir "$PWD/served" ;;
        watch*) command python -c "$IN_A_TERMINAL" timeout --signal INT 5 truss-train "$@" ;;
        "local preempt"*) until has_saved && command truss-train "$@"; do sleep 0.3; done ;;
        *) command truss-train "$@" ;;
    esac
}
"""
"""A reader serves a platform of his own, looks at a terminal, and is not so quick that nothing is saved yet."""
IN_A_TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"
RUN_HERE = {"truss-train", "python"}
TYPED = [
    page
    for page in PAGES
    if RUN_HERE & {command[0] for block in shown(page, "sh") for command in block.commands}
    and page != pages.TRANSFORMER
]


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED, ids=name_of)
def test_commands_run(page: Path, local: Path, tmp_path: Path) -> None:
    """Those of a page as they are typed, against a platform; those of the engines run in the tests of these."""
    variables = {"USER_TRUSSRC_PATH": str(local), "IN_A_TERMINAL": IN_A_TERMINAL}
    shell.typed(shown(page, "sh"), tmp_path, PLATFORM, variables)


# ---------------------------------------------------------------- links


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in pages.links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in pages.anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def test_every_page_of_the_site_can_be_found() -> None:
    named = re.findall(r'"(\S+\.md|\S+\*)"', (ROOT / "docs" / "zensical.toml").read_text())
    below = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [page for page in below if not any(fnmatch(page, name) for name in named)] == []
