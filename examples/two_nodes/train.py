"""Ranks learn scikit-learn's handwritten digits together, epoch by epoch, and survive being interrupted.

Each rank computes the gradient on its part of the data, and owns some rows of the weights: their momentum is kept, and
they are updated, by that rank alone. So a checkpoint is made of shards: rank 1 of 2 writes
`model-00002-of-00002.safetensors` with its rows and their momentum into its own checkpoint directory, and reads just
that one again. What there should be is in the index and the training state, which the first rank writes last.
"""

import json
import os
from pathlib import Path

import numpy as np
from ranks import RANK, WORLD_SIZE, Sum, connected
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS = int(os.environ.get("EPOCHS", "40"))
STEPS_PER_EPOCH = int(os.environ.get("STEPS_PER_EPOCH", "50"))
LEARNING_RATE = float(os.environ.get("LEARNING_RATE", "0.5"))
MOMENTUM = 0.9
CHECKPOINTS = Path(os.environ.get("BT_CHECKPOINT_DIR", f"checkpoints/rank-{RANK}"))
LOADED = Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "loaded"))
OWN = slice(64 * RANK // WORLD_SIZE, 64 * (RANK + 1) // WORLD_SIZE)
SHARDS = [f"model-{rank + 1:05}-of-{WORLD_SIZE:05}.safetensors" for rank in range(WORLD_SIZE)]


def data() -> tuple[np.ndarray, ...]:
    """This rank's part of the training data, and all of the test data."""
    digits = load_digits()
    images = (digits.data / 16.0).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(images, digits.target, test_size=0.25, random_state=0)
    return train_x[RANK::WORLD_SIZE], train_y[RANK::WORLD_SIZE], test_x, test_y


def probabilities(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    scores = x @ weights
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def loss_of(found: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(found[np.arange(len(y)), y] + 1e-9).mean())


def whole(rows: np.ndarray, total: Sum) -> np.ndarray:
    """All rows of the weights, from those that each rank owns."""
    weights = np.zeros((64, 10), np.float32)
    weights[OWN] = rows
    return total(weights)


def gradient(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    error = probabilities(weights, x)
    error[np.arange(len(y)), y] -= 1
    return (x.T @ error / len(y)).astype(np.float32)


def save(rows: np.ndarray, speed: np.ndarray, state: dict, total: Sum) -> None:
    folder = CHECKPOINTS / f"checkpoint-{state['global_step']}"
    folder.mkdir(parents=True)
    save_file({f"rows.{RANK}": rows, f"speed.{RANK}": speed}, folder / SHARDS[RANK])
    total(np.zeros(1, np.float32))  # all shards are there
    if RANK == 0:
        names = {f"{what}.{rank}": shard for rank, shard in enumerate(SHARDS) for what in ("rows", "speed")}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
        (folder / "trainer_state.json").write_text(json.dumps(state, indent=2))


def resumed() -> tuple[np.ndarray, np.ndarray, dict]:
    """This rank's rows and their momentum, and the training state: from the loaded checkpoint, or new ones."""
    states = list(LOADED.glob("rank-0/checkpoint-*/trainer_state.json"))
    if not states:
        rows = np.zeros((64, 10), np.float32)[OWN]
        state = {"epoch": 0.0, "global_step": 0, "max_steps": EPOCHS * STEPS_PER_EPOCH, "log_history": []}
        return rows, np.zeros_like(rows), state
    (found,) = states
    (shard,) = LOADED.glob(f"rank-*/{found.parent.name}/{SHARDS[RANK]}")  # every node has those of all
    print(f"Rank {RANK} resumes from {shard.parent.name}/{shard.name}")
    tensors = load_file(shard)
    return tensors[f"rows.{RANK}"], tensors[f"speed.{RANK}"], json.loads(found.read_text())


def main() -> None:
    how, total = connected()
    print(f"Rank {RANK} of {WORLD_SIZE} is connected: {how}")
    x, y, test_x, test_y = data()
    rows, speed, state = resumed()
    weights = whole(rows, total)
    for epoch in range(int(state["epoch"]) + 1, EPOCHS + 1):
        for _ in range(STEPS_PER_EPOCH):
            mean = total(gradient(weights, x, y)) / WORLD_SIZE
            speed = MOMENTUM * speed - LEARNING_RATE * mean[OWN]
            rows = rows + speed
            weights = whole(rows, total)
        loss = float(total(np.array([loss_of(probabilities(weights, x), y)], np.float32))[0]) / WORLD_SIZE
        found = probabilities(weights, test_x)
        state["epoch"], state["global_step"] = float(epoch), epoch * STEPS_PER_EPOCH
        at = {"epoch": state["epoch"], "step": state["global_step"]}
        accuracy = float((found.argmax(1) == test_y).mean())
        state["log_history"] += [
            {"loss": loss, **at},
            {"eval_loss": loss_of(found, test_y), "eval_accuracy": accuracy, **at},
        ]
        save(rows, speed, state, total)
        if RANK == 0:
            print(f"epoch {epoch:2d}/{EPOCHS}  loss {loss:.4f}  eval_accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
