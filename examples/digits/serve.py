"""Serve the checkpoint in this folder: GET /health, and POST /predict {"image": 8 rows of 8 numbers from 0 to 16}."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

WEIGHTS = load_file(Path(__file__).with_name("model.safetensors"))


def predict(image: list[list[float]]) -> dict:
    x = np.asarray(image, np.float32).reshape(1, 64) / 16.0
    hidden = np.maximum(x @ WEIGHTS["w1"] + WEIGHTS["b1"], 0)
    logits = (hidden @ WEIGHTS["w2"] + WEIGHTS["b2"])[0]
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    return {"digit": int(scores.argmax()), "probability": round(float(scores.max()), 4)}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self.answer(200, predict(json.loads(body)["image"]))
        except (KeyError, TypeError, ValueError) as error:
            self.answer(400, {"error": f"image must be 8 rows of 8 numbers: {error!r}"})

    def answer(self, status: int, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
