"""Builds the documentation as a site, in build/site. A link that leads nowhere ends it with an error.

    make docs

The pages are those of this folder as they stand, so that they can be read in the repository too. What they link to
outside of it (pipelines, scripts, the changelog) becomes pages of the site.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pages import DOCS, ROOT

BUILD = ROOT / "build" / "docs"
"""The site's sources: below build, since a page of the site may be made of any file of the repository."""

COPIED = {".md", ".png", ".svg", ".css"}
MOVED = {ROOT / "README.md": "index.md", ROOT / "CHANGELOG.md": "changelog.md"}
"""Pages outside of docs/ that have a place in the site. The site's own first page is put over the first of them."""

_TARGET = re.compile(r"(?<=\]\()(?!\w+:|#)(?P<path>[^)#\s]+)")


def place(file: Path) -> Path:
    """Where a file of the repository stands among the site's sources."""
    if file in MOVED:
        return BUILD / MOVED[file]
    if file.is_relative_to(DOCS) and file.suffix in COPIED:
        return BUILD / file.relative_to(DOCS)
    return BUILD / "source" / f"{file.relative_to(ROOT)}.md"


def stage(page: Path) -> None:
    """Put a page among the sources, and after it what it links to."""

    def moved(found: re.Match[str]) -> str:
        file = (page.parent / found["path"]).resolve()
        if not file.exists():  # Zensical says so of pages, and not of pictures
            sys.exit(f"{page.relative_to(ROOT)} leads to {found['path']}, which is not there")
        if place(file).is_relative_to(BUILD / "source") and not place(file).exists():
            put(file)
        return os.path.relpath(place(file), place(page).parent)

    write(place(page), _TARGET.sub(moved, page.read_text()))


def put(file: Path) -> None:
    """Make a file, or a folder, part of the sources."""
    if file.suffix == ".md":
        write(place(file), "")  # it is on its way: pages link to each other
        stage(file)
    elif file.is_dir():
        files = sorted(each for each in file.iterdir() if each.is_file())
        listed = [f"- [{each.name}]({file.name}/{each.name}.md)" for each in files]
        write(place(file), "\n".join([f"# {file.relative_to(ROOT)}", "", *listed, ""]))
        for each in files:
            put(each)
    elif file.suffix in COPIED:
        place(file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place(file))
    else:
        language = {".py": "python", ".sh": "sh", ".toml": "toml"}.get(file.suffix, "text")
        write(place(file), f"# {file.relative_to(ROOT)}\n\n````{language}\n{file.read_text().rstrip()}\n````\n")


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def configuration() -> str:
    """zensical.toml with pages in the place of names that end with a star; those of modules go by their last name."""

    def item(page: Path) -> str:
        title, path = page.stem.rpartition(".")[2], page.relative_to(DOCS)
        return f'"{path}"' if title == page.stem else f'{{ "{title}" = "{path}" }}'

    def expanded(found: re.Match[str]) -> str:
        pages = sorted(DOCS.glob(f"{found['names']}.md"), key=lambda page: (page.stem != "index", page.stem))
        return ", ".join(map(item, pages))

    return re.sub(r'"(?P<names>[\w/]+\*)"', expanded, (DOCS / "zensical.toml").read_text())


def main() -> int:
    shutil.rmtree(BUILD, ignore_errors=True)
    for file in [*MOVED, *DOCS.rglob("*")]:
        if file.suffix in COPIED:
            put(file)
    write(BUILD.parent / "zensical.toml", configuration())
    zensical = Path(sys.executable).with_name("zensical")
    return subprocess.run([zensical, "build", "--clean", "--strict"], cwd=BUILD.parent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
