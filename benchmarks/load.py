"""Asks one thing again and again on one connection: `python -m benchmarks.load HOST PORT PATH KEY SECONDS`."""

from __future__ import annotations

import json
import socket
import sys
import time


def main() -> None:
    host, port, path, key, seconds = sys.argv[1:]
    call = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {key}\r\n\r\n".encode()
    took: list[float] = []
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + float(seconds)
        while (began := time.perf_counter()) < end:
            connection.sendall(call)
            _swallow(connection)
            took.append(time.perf_counter() - began)
    print(json.dumps(took))


def _swallow(connection: socket.socket) -> None:
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit(head.decode())
    left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    got = connection.recv(1 << 16)
    if not got:
        sys.exit("the server hung up")
    return got


if __name__ == "__main__":
    main()
