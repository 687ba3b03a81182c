"""Peak memory of archiving and uploading a large working directory.

    python benchmarks/push_memory.py [--files 20000] [--megabytes 600] [--limit 150]

Makes a tree of that many files in a temporary directory, starts a small S3 server in one process, prepares and
uploads the tree in another, and prints the time and the peak resident memory of the latter, Python included. Exits
with 1 if that is more than the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

S3_SERVER = Path(__file__).parent.parent / "tests" / "package" / "s3_standin.py"

PUSHER = """
import json, resource, sys, time
from pathlib import Path
from truss_train_core.package import UploadTarget, prepare, upload

url, root = sys.argv[1:]
started = time.monotonic()
package = prepare(Path(root))
prepared = time.monotonic()
upload(package, UploadTarget("bench", "archive.tgz", "id", "secret", endpoint_url=url))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({
    "files": len(package.files),
    "megabytes": package.size / 1e6,
    "prepare_seconds": prepared - started,
    "upload_seconds": time.monotonic() - prepared,
    "peak_megabytes": peak / 1e6,
}))
"""


def make_tree(root: Path, files: int, size: int) -> None:
    """Files of random content, a hundred to a directory, their sizes between half and one and a half times the mean."""
    for number in range(files):
        directory = root / f"part-{number // 100:03}"
        directory.mkdir(exist_ok=True)
        (directory / f"{number:06}.bin").write_bytes(os.urandom(size // 2 + size * (number % 100) // 99))


def push(root: Path) -> dict[str, float]:
    server = subprocess.Popen([sys.executable, S3_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        pusher = subprocess.run(
            [sys.executable, "-c", PUSHER, url, root], check=True, stdout=subprocess.PIPE, text=True
        )
    finally:
        server.kill()
        server.wait()
    return json.loads(pusher.stdout)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--files", type=int, default=20_000)
    arguments.add_argument("--megabytes", type=int, default=600)
    arguments.add_argument("--limit", type=float, default=150.0, help="MB that the pusher may take at its peak")
    given = arguments.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        make_tree(Path(directory), given.files, given.megabytes * 1_000_000 // given.files)
        result = push(Path(directory))
    print(
        "{files:,} files, {megabytes:.0f} MB: prepared in {prepare_seconds:.1f} s, uploaded in {upload_seconds:.1f} s, "
        "peak memory {peak_megabytes:.0f} MB".format(**result)
    )
    sys.exit(result["peak_megabytes"] > given.limit)


if __name__ == "__main__":
    main()
