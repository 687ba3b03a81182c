"""Score the checkpoints that the platform put in place on held-out digits, each moved by up to a pixel.

What it writes into a checkpoint of its own, scores.json, is read where a checkpoint is chosen.
"""

import json

import numpy as np
from safetensors.numpy import load_file
from train import CHECKPOINTS, LOADED, cross_entropy, data, forward, shifted


def main() -> None:
    _, _, x, y = data()
    x, y = shifted(x.reshape(-1, 8, 8)).reshape(-1, 64), np.tile(y, 9)
    scores = {}
    for weights in sorted(LOADED.glob("rank-*/**/model.safetensors")):
        name = "/".join(weights.parent.relative_to(LOADED).parts[1:])
        _, probabilities = forward(load_file(weights), x)
        right = float((probabilities.argmax(1) == y).mean())
        scores[name] = {"held_out_accuracy": right, "held_out_loss": cross_entropy(probabilities, y)}
        print(f"{name}  held_out_accuracy {right:.4f}  held_out_loss {scores[name]['held_out_loss']:.4f}")
    folder = CHECKPOINTS / "scores"
    folder.mkdir(parents=True)
    (folder / "scores.json").write_text(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
