"""The documentation as data: its pages, and in each the blocks of code, the links, and the places links lead to.

What `make docs` builds and what the tests check is found here, so that a new page is part of both by being there.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+", re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. `line` is where it stands."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def name(self) -> str:
        """For people and for the ids of tests."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a shell's block, as words, without the assignments before them."""
        found: list[list[str]] = []
        for line in self.code.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="();|&")
            lexer.whitespace_split = True
            command: list[str] = []
            for word in [*lexer, ";"]:
                if not word.strip("();|&"):
                    found += [command] if command else []
                    command = []
                elif command or not re.match(r"\w+=", word):
                    command.append(word)
        return found

    @property
    def engine(self) -> str:
        """The environment that a block of Python needs: "airflow", "prefect" or "core"."""
        for engine in ("airflow", "prefect"):
            if re.search(rf"^\s*(import|from) {engine}", self.code, re.MULTILINE):
                return engine
        return "core"

    @property
    def excerpt_of(self) -> Path | None:
        """The file in this repository that the page links to and that has all of these lines, in this order."""
        for target in sorted({target for target in files_linked(self.page) if target.suffix == ".py"}):
            for indent in ("", " " * 4, " " * 8):
                lines = iter(target.read_text().splitlines())
                if all(indent + line in lines for line in self.code.splitlines() if line):
                    return target
        return None


TRANSFORMER = DOCS / "pipelines" / "transformer.md"
"""The page whose commands need torch; tests/transformer types them, which `make test-transformers` runs."""


def pages() -> list[Path]:
    """Every page, of the site or read in the repository alone."""
    return sorted(
        [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("integrations/*/README.md"), *DOCS.rglob("*.md")]
    )


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        code = textwrap.dedent(found["code"])
        yield Block(page, text.count("\n", 0, found.start()) + 1, found["language"], code)


def examples_of(page: Path) -> Iterator[str]:
    """The indented blocks of a page: examples as docstrings have them."""
    for found in _INDENTED.finditer(_FENCE.sub("", page.read_text())):
        yield textwrap.dedent(found[0]).strip()


def prose(page: Path) -> str:
    """A page without its code."""
    return _INLINE_CODE.sub("``", _FENCE.sub("", page.read_text()))


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Where its links within this repository lead: a path as it is written, "" for the page itself, and an anchor."""
    for found in _LINK.finditer(prose(page)):
        if not re.match(r"[a-z]+:", found["target"]):
            path, _, anchor = found["target"].partition("#")
            yield path, anchor


def files_linked(page: Path) -> Iterator[Path]:
    """Files that its links lead to and that exist."""
    for path, _ in links(page):
        target = (page.parent / path).resolve()
        if path and target.is_file():
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors that its headings have, here and in the site; of headings of the same text, the first."""
    return {anchor(found["text"]) for found in _HEADING.finditer(_FENCE.sub("", page.read_text()))}


def anchor(heading: str) -> str:
    """As the repository's host makes it: lower case, without punctuation, hyphens for spaces."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
