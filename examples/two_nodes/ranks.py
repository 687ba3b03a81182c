"""What the ranks of a job say to each other: one sum over all of them, by PyTorch's gloo or by plain sockets.

Which of the two is chosen when the job runs: gloo where torch is installed.
"""

import os
import socket
import time
import zlib
from collections.abc import Callable

import numpy as np

RANK = int(os.environ.get("RANK", "0"))
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", "1"))
LEADER = os.environ.get("MASTER_ADDR", "127.0.0.1")
# Jobs of one machine, as on the local platform, share its ports.
PORT = int(os.environ.get("MASTER_PORT", 29500 + zlib.crc32(os.environ.get("BT_TRAINING_JOB_ID", "").encode()) % 2000))
PATIENCE = 120.0
"""Seconds that a rank waits for the others: to come, and for each sum."""

Sum = Callable[[np.ndarray], np.ndarray]


def connected() -> tuple[str, Sum]:
    """Wait for all ranks; returns how they are connected, and a function that sums an array over all of them."""
    if WORLD_SIZE == 1:
        return "alone", lambda array: array
    try:
        return "gloo", _over_gloo()
    except ImportError:
        return "sockets", _as_leader() if RANK == 0 else _as_follower()


def _over_gloo() -> Sum:
    from datetime import timedelta

    import torch
    import torch.distributed as distributed

    address = f"tcp://{LEADER}:{PORT}"
    distributed.init_process_group("gloo", address, timedelta(seconds=PATIENCE), WORLD_SIZE, RANK)

    def total(array: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(array.copy())
        distributed.all_reduce(tensor)
        return tensor.numpy()

    return total


def _as_leader() -> Sum:
    with socket.create_server((LEADER, PORT), backlog=WORLD_SIZE) as server:
        server.settimeout(PATIENCE)
        followers = [server.accept()[0] for _ in range(WORLD_SIZE - 1)]
    for follower in followers:
        follower.settimeout(PATIENCE)

    def total(array: np.ndarray) -> np.ndarray:
        summed = sum((_received(follower, array) for follower in followers), array)
        for follower in followers:
            follower.sendall(summed.tobytes())
        return summed

    return total


def _as_follower() -> Sum:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            leader = socket.create_connection((LEADER, PORT), timeout=PATIENCE)
            break
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)

    def total(array: np.ndarray) -> np.ndarray:
        leader.sendall(array.tobytes())
        return _received(leader, array)

    return total


def _received(sender: socket.socket, like: np.ndarray) -> np.ndarray:
    content = bytearray()
    while len(content) < like.nbytes:
        part = sender.recv(like.nbytes - len(content))
        if not part:
            raise ConnectionError("Another rank has ended.")
        content += part
    return np.frombuffer(bytes(content), like.dtype).reshape(like.shape)
