"""A small network learns scikit-learn's handwritten digits, epoch by epoch, and survives being interrupted.

It writes a checkpoint after each epoch in the layout of the Hugging Face Trainer, with a server of its own beside the
weights, and starts from the newest checkpoint that the platform put in place: it goes on where that stopped, or, where
it is the one that the run begins from, trains EPOCHS more epochs.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS = int(os.environ.get("EPOCHS", "24"))
HIDDEN = int(os.environ.get("HIDDEN", "128"))
LEARNING_RATE = float(os.environ.get("LEARNING_RATE", "0.05"))
BATCH = 32
MOMENTUM = 0.9
CHECKPOINTS = Path(os.environ.get("BT_CHECKPOINT_DIR", "checkpoints"))
LOADED = Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "loaded"))
BEGINS_FROM = os.environ.get("TRUSS_TRAIN_BEGINS_FROM", "").split(",")


def shifted(images: np.ndarray) -> np.ndarray:
    """The images moved by up to one pixel in each direction: nine times as many to learn from."""
    moves = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.concatenate([np.roll(images, move, axis=(1, 2)) for move in moves])


def data() -> tuple[np.ndarray, ...]:
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(images, digits.target, test_size=0.25, random_state=0)
    return shifted(train_x).reshape(-1, 64), np.tile(train_y, 9), test_x.reshape(-1, 64), test_y


def initial_weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "w1": rng.normal(0, 0.15, (64, HIDDEN)).astype(np.float32),
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": rng.normal(0, 0.15, (HIDDEN, 10)).astype(np.float32),
        "b2": np.zeros(10, np.float32),
    }


def forward(weights: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    logits = hidden @ weights["w2"] + weights["b2"]
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def cross_entropy(probabilities: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(y)), y] + 1e-9).mean())


def step(weights: dict[str, np.ndarray], speed: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    """One step of gradient descent with momentum; returns the loss before it."""
    hidden, probabilities = forward(weights, x)
    loss = cross_entropy(probabilities, y)
    error = probabilities
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    back = (error @ weights["w2"].T) * (hidden > 0)
    gradients = {"w2": hidden.T @ error, "b2": error.sum(0), "w1": x.T @ back, "b1": back.sum(0)}
    for name, gradient in gradients.items():
        speed[name] = MOMENTUM * speed[name] - LEARNING_RATE * gradient
        weights[name] += speed[name]
    return loss


def save(global_step: int, weights: dict, speed: dict, state: dict) -> None:
    """A checkpoint is complete when its state file is there, so that comes last."""
    folder = CHECKPOINTS / f"checkpoint-{global_step}"
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    save_file(speed, folder / "optimizer.safetensors")
    shutil.copy(Path(__file__).with_name("serve.py"), folder / "serve.py")
    (folder / "config.json").write_text(json.dumps({"model_type": "digits-mlp", "hidden_size": HIDDEN}))
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=2))


def loaded_checkpoint() -> Path | None:
    """The newest checkpoint that the platform put in place before the start."""
    states = LOADED.rglob("checkpoint-*/trainer_state.json")
    return max((state.parent for state in states), key=lambda folder: int(folder.name.split("-")[1]), default=None)


def main() -> None:
    train_x, train_y, test_x, test_y = data()
    steps_per_epoch = len(train_x) // BATCH
    weights = initial_weights()
    speed = {name: np.zeros_like(value) for name, value in weights.items()}
    state = {"epoch": 0.0, "global_step": 0, "max_steps": EPOCHS * steps_per_epoch, "log_history": []}
    folder = loaded_checkpoint()
    if folder:
        weights, speed = load_file(folder / "model.safetensors"), load_file(folder / "optimizer.safetensors")
        state = json.loads((folder / "trainer_state.json").read_text())
        begins = folder.name in BEGINS_FROM
        print(f"{'Beginning' if begins else 'Resuming'} from {folder.name}, after epoch {state['epoch']:.0f}")
        if begins:
            speed = {name: np.zeros_like(value) for name, value in weights.items()}
            state |= {"max_steps": state["global_step"] + EPOCHS * steps_per_epoch, "log_history": []}
    last = max(EPOCHS, state["max_steps"] // steps_per_epoch)

    for epoch in range(int(state["epoch"]) + 1, last + 1):
        order = np.random.default_rng(epoch).permutation(len(train_x))[: steps_per_epoch * BATCH].reshape(-1, BATCH)
        loss = float(np.mean([step(weights, speed, train_x[batch], train_y[batch]) for batch in order]))
        _, probabilities = forward(weights, test_x)
        accuracy = float((probabilities.argmax(1) == test_y).mean())
        evaluation = cross_entropy(probabilities, test_y)
        state["epoch"], state["global_step"] = float(epoch), epoch * steps_per_epoch
        at = {"epoch": state["epoch"], "step": state["global_step"]}
        state["log_history"] += [
            {"loss": loss, **at},
            {"eval_loss": evaluation, "eval_accuracy": accuracy, **at},
        ]
        save(state["global_step"], weights, speed, state)
        print(f"epoch {epoch:2d}/{last}  loss {loss:.4f}  eval_loss {evaluation:.4f}  eval_accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
