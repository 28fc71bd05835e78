"""Train a two-layer network on scikit-learn's handwritten digits, through the gradient of plain NumPy code.

    python examples/digits.py [--out DIR] [--epochs N] [--seed N]

Prints loss and accuracy by epoch and writes the loss curve to DIR/digits.png.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from myia_lite import myia, value_and_grad

BATCH = 64
HIDDEN = 128
MOMENTUM = 0.9
RATE = 0.3  # falls linearly to zero
NOISE = 0.1  # added to the pixels, anew in each epoch, so that the network does not learn images by heart


class Params(NamedTuple):
    """Weights and biases of the two layers."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def logits(p, x):
    """Scores of the ten digits, one row for each image."""
    return np.tanh(x @ p.w1 + p.b1) @ p.w2 + p.b2


def cost(p, x, label):
    """Mean softmax cross-entropy."""
    z = logits(p, x)
    z = z - z.max(axis=1, keepdims=True)
    log_prob = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


def descend(w, v, g, rate):
    """One step of gradient descent with momentum: the new weight and velocity."""
    v = MOMENTUM * v - rate * g
    return w + v, v


@myia
def step(p, v, x, label, rate):
    """Compiled as one program: forward, backward and update. Returns the loss, parameters and velocities."""
    loss, g = value_and_grad(cost)(p, x, label)
    w1, v1 = descend(p.w1, v.w1, g.w1, rate)
    b1, u1 = descend(p.b1, v.b1, g.b1, rate)
    w2, v2 = descend(p.w2, v.w2, g.w2, rate)
    b2, u2 = descend(p.b2, v.b2, g.b2, rate)
    return loss, Params(w1, b1, w2, b2), Params(v1, u1, v2, u2)


@myia
def accuracy(p, x, label):
    """The share of images whose highest score is the right one."""
    return np.mean(np.argmax(logits(p, x), axis=1) == label)


def load(seed):
    """The 1797 images as float32 rows in [0, 1] with their labels; a fifth of them is kept for the test."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=seed)


def initial(rng, inputs, outputs):
    """Random weights (Glorot's scale), zero biases."""

    def layer(m, n):
        return (rng.standard_normal((m, n)) * np.sqrt(2 / (m + n))).astype(np.float32)

    zeros = [np.zeros(n, np.float32) for n in (HIDDEN, outputs)]
    return Params(layer(inputs, HIDDEN), zeros[0], layer(HIDDEN, outputs), zeros[1])


def train(epochs, seed):
    """Train with a progress bar; returns the losses of all steps and the accuracy on the test images."""
    x, x_test, label, label_test = load(seed)
    rng = np.random.default_rng(seed)
    p = initial(rng, x.shape[1], 10)
    v = Params(*(np.zeros_like(w) for w in p))
    batches = len(x) // BATCH
    losses, score = [], 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("training", total=epochs * batches)
        for epoch in range(epochs):
            rate = RATE * (1 - epoch / epochs)
            noisy = x + NOISE * rng.standard_normal(x.shape, dtype=np.float32)
            order = rng.permutation(len(x))
            for rows in order[: batches * BATCH].reshape(batches, BATCH):
                loss, p, v = step(p, v, noisy[rows], label[rows], rate)
                losses.append(float(loss))
                progress.advance(bar)
            score = float(accuracy(p, x_test, label_test))
            mean = np.mean(losses[-batches:])
            progress.console.print(f"epoch {epoch + 1:2}  loss {mean:.4f}  test accuracy {score:.2%}")
    return losses, score


def draw(losses, per_epoch, path):
    """Write the loss curve: each step, and the mean of each epoch."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    epochs = np.arange(len(losses)) / per_epoch
    means = np.reshape(losses, (-1, per_epoch)).mean(axis=1)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.semilogy(epochs, losses, color="0.75", label="each batch")
    axes.semilogy(np.arange(len(means)) + 0.5, means, color="tab:blue", label="mean of the epoch")
    axes.set(xlabel="epoch", ylabel="cross-entropy", title="Handwritten digits, 64-128-10 network")
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    """Train, report, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="where digits.png goes (default: ./out)")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    start = time.perf_counter()
    losses, score = train(options.epochs, options.seed)
    seconds = time.perf_counter() - start
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "digits.png"
    draw(losses, len(losses) // options.epochs, path)
    print(f"test accuracy {score:.2%} after {len(losses)} steps in {seconds:.1f} s; loss curve in {path}")


if __name__ == "__main__":
    main()
