"""What the files of a checkpoint say themselves about whether all of it is there.

Storage tells sizes, not whether the process that wrote a file had finished. But formats tell what they ought to hold:

- "model-00002-of-00003.safetensors" is one of three, with an index beside them;
- an index ("model.safetensors.index.json") names its shards;
- the head of a safetensors file says where its last tensor ends: where the file has another size, it was cut off;
- trainer_state.json is of the step, or the epoch, that the checkpoint's name tells;
- JSON alone describes weights that are not there.

Nodes may each save all of the weights, or each its own shards. Where no file of a set is on two nodes, it is spread
over them, and what one lacks the others may have; otherwise each node's set has to be whole.

Of weights, only the heads are read: kilobytes of gigabytes.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from truss_train_core.api.flows import Flow, together
from truss_train_core.api.models import Checkpoint, CheckpointFile
from truss_train_core.checkpoints import trainer_state
from truss_train_core.checkpoints.listing import SMALL, Survey, beginning, download, read_state, step_of

_INDEX = ".index.json"
_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.safetensors|\.bin)$")
_LENGTH = 8  # bytes at the start of a safetensors file: the length of its header, little-endian
_USUAL_HEAD = 64 * 1024


def whole(surveyed: Survey, checkpoint: Checkpoint) -> Flow[str | None]:
    """What the files of a checkpoint say against its being whole, or None."""
    files = surveyed.files.get(checkpoint.checkpoint_id, ())
    return (
        _missing_numbers(files)
        or (yield from _missing_shards(files))
        or (yield from _cut_off(files))
        or (yield from _wrong_state(surveyed, checkpoint))
        or _no_weights(files)
    )


def _missing_numbers(files: Sequence[CheckpointFile]) -> str | None:
    sets: defaultdict[tuple[str, str, int], defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for file in files:
        if match := _NUMBERED.match(file.relative_file_name):
            sets[match["stem"], match["suffix"], int(match["count"])][file.node_rank].add(int(match["number"]))
    for (stem, suffix, count), by_node in sets.items():
        for nodes, numbers in _spread_or_copied(by_node):
            lacking = sorted(set(range(1, count + 1)) - numbers)
            if lacking:
                return f"{stem}-{lacking[0]:05}-of-{count:05}{suffix} is missing{_more(lacking)}"
            if not _is_on(nodes, f"{stem}{suffix}{_INDEX}", files):
                return f"{stem}{suffix}{_INDEX} is missing"
    return None


def _spread_or_copied(by_node: Mapping[int, set[int]]) -> list[tuple[set[int], set[int]]]:
    """What has to be whole: nodes, and the numbers that they have. All together, or each by itself."""
    union = set().union(*by_node.values())
    if len(union) == sum(map(len, by_node.values())):
        return [(set(by_node), union)]
    return [({node}, numbers) for node, numbers in by_node.items()]


def _is_on(nodes: set[int], name: str, files: Sequence[CheckpointFile]) -> bool:
    return any(file.relative_file_name == name and file.node_rank in nodes for file in files)


def _missing_shards(files: Sequence[CheckpointFile]) -> Flow[str | None]:
    everywhere = {file.node_rank for file in files}
    indexes = [file for file in files if file.relative_file_name.endswith(_INDEX)]
    for index in indexes:
        content = yield from download(index)
        try:
            shards = set(json.loads(content or b"")["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"its index {index.relative_file_name} cannot be read"
        copies = sum(each.relative_file_name == index.relative_file_name for each in indexes)
        nodes = everywhere if copies == 1 else {index.node_rank}
        folder = index.relative_file_name.rpartition("/")[0]
        missing = sorted(each for each in shards if not _is_on(nodes, f"{folder}/{each}", files))
        if missing:
            return f"{missing[0]} is missing{_more(missing)}"
    return None


def _cut_off(files: Sequence[CheckpointFile]) -> Flow[str | None]:
    weights = [file for file in files if file.relative_file_name.endswith(".safetensors")]
    lengths = yield from together(_length_by_its_head(file) for file in weights)
    for file, expected in zip(weights, lengths, strict=True):
        if expected is None:
            return f"the head of {file.relative_file_name} cannot be read"
        if expected != file.size_bytes:
            return f"{file.relative_file_name} has {file.size_bytes:,} bytes, and {expected:,} by its own head"
    return None


def _length_by_its_head(file: CheckpointFile) -> Flow[int | None]:
    """How many bytes a safetensors file should have; None where its head is none."""
    head = yield from beginning(file, _USUAL_HEAD)
    if head is None or len(head) < _LENGTH:
        return None
    start = _LENGTH + int.from_bytes(head[:_LENGTH], "little")
    if start > min(SMALL, file.size_bytes):
        return None
    if start > len(head):
        head = (yield from beginning(file, start)) or b""
    try:
        tensors = {name: value for name, value in json.loads(head[_LENGTH:start]).items() if name != "__metadata__"}
        return start + max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _wrong_state(surveyed: Survey, checkpoint: Checkpoint) -> Flow[str | None]:
    if surveyed.file(checkpoint, trainer_state.FILE) is None:
        return None
    state = yield from read_state(surveyed, checkpoint)
    if state is None:
        return f"its {trainer_state.FILE} cannot be read"
    step = step_of(checkpoint.checkpoint_id)
    if step is not None and step not in (state.global_step, state.epoch):
        return f"its {trainer_state.FILE} is of step {state.global_step}"
    return None


def _no_weights(files: Sequence[CheckpointFile]) -> str | None:
    described_only = all(file.relative_file_name.endswith((".json", ".jsonl")) for file in files)
    return "it has no weights, only JSON" if described_only else None


def _more(missing: Sequence[object]) -> str:
    return f" with {len(missing) - 1} more" if missing[1:] else ""
