"""The network of an experiment in this package, in Keras and in PyTorch, each in a process of its own, for `bench`.

A contender gets our weights, is checked against our loss and gradients, and then steps when told to. Keras lays out
arrays as we do. With padding=1 the one zero that counts comes before the image in PyTorch and after it here, so PyTorch
works on images and kernels rotated by half a turn: the same network, without a copy for the padding.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import UserError, checkpoint
from .gradcheck import error
from .layers import ConvTranspose2D, Weighted
from .losses import EPS
from .model import AutoEncoder
from .optim import Adam

RATE = 1e-3


class Contender(NamedTuple):
    gradients: Callable[[], tuple[float, list[np.ndarray]]]  # the loss, and the gradients in the framework's layout
    step: Callable[[], Any]  # forward, loss, backward, Adam, on data already in tensors
    decode: Callable[[], Any]  # one code to one image


def ours(model: AutoEncoder, images: np.ndarray) -> Contender:
    adam, code = Adam(model.parameters()), np.zeros((1, model.experiment.latent), np.float32)

    def gradients() -> tuple[float, list[np.ndarray]]:
        value, found = model.loss_and_gradients(images)
        return value, list(found.values())

    def step() -> None:
        adam.step(model.loss_and_gradients(images)[1], RATE, model.team.map)

    return Contender(gradients, step, lambda: model.decode(code))


def keras(model: AutoEncoder, images: np.ndarray, how: str) -> Contender:
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(model.team.threads)
    tf.config.threading.set_inter_op_parallelism_threads(model.team.threads)
    e, layers = model.experiment, keras.layers
    x = image = keras.Input((e.size, e.size, e.channels))
    for F in e.filters:
        x = layers.Conv2D(F, 3, strides=2, padding="same", activation="relu")(x)
    corner = x.shape[1:]
    x = code = layers.Dense(e.latent)(layers.Flatten()(x))
    x = layers.Reshape(corner)(layers.Dense(math.prod(corner), activation="relu")(x))
    for F in reversed(e.filters):
        x = layers.Conv2DTranspose(F, e.kernel_size, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(e.channels, 1, activation="sigmoid")(x)
    network, decoder = keras.Model(image, x), keras.Model(code, x)
    network.set_weights(for_keras(model, list(model.parameters().values())))
    optimiser = keras.optimizers.Adam(RATE, epsilon=1e-12)  # added before the correction, not after as in ours
    data, one, w = tf.constant(images), tf.zeros((1, e.latent)), e.tv_weight

    def loss(true: Any, y: Any) -> Any:
        dx = tf.pad(y[:, :, 1:] - y[:, :, :-1], [[0, 0], [0, 0], [0, 1], [0, 0]])
        dy = tf.pad(y[:, 1:] - y[:, :-1], [[0, 0], [0, 1], [0, 0], [0, 0]])
        variation = tf.reduce_mean(tf.sqrt(dx * dx + dy * dy + EPS**2) - EPS)
        return (1 - w) * tf.reduce_mean(tf.square(y - true)) + w * variation

    @tf.function
    def backward() -> Any:
        with tf.GradientTape() as tape:
            value = loss(data, network(data, training=True))
        return value, tape.gradient(value, network.trainable_variables)

    @tf.function
    def step() -> Any:
        value, found = backward()
        optimiser.apply_gradients(zip(found, network.trainable_variables, strict=True))
        return value

    def gradients() -> tuple[float, list[np.ndarray]]:
        value, found = backward()
        return float(value), [g.numpy() for g in found]

    decode = tf.function(lambda: decoder(one, training=False))
    if how == "train_on_batch":
        network.compile(optimiser, loss, jit_compile=False)  # XLA takes twice the time here
        return Contender(gradients, lambda: network.train_on_batch(data, data), lambda: decode().numpy())
    return Contender(gradients, lambda: step().numpy(), lambda: decode().numpy())


def for_keras(model: AutoEncoder, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Weights or gradients, in the order of `parameters`, as Keras lays them out: (K,K,F,C) for ConvTranspose2D."""
    owners = [layer for layer in model.layers if isinstance(layer, Weighted) for _ in ("w", "b")]
    return [array.swapaxes(2, 3) if array.ndim == 4 and isinstance(layer, ConvTranspose2D) else array
            for layer, array in zip(owners, arrays, strict=True)]  # fmt: skip


def for_torch(model: AutoEncoder, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Weights or gradients, in the order of `parameters`, as PyTorch lays them out for images rotated half a turn."""
    e, found = model.experiment, list[np.ndarray]()
    side, channels = e.size // 2 ** len(e.filters), e.filters[-1]
    corner = np.arange(side * side * channels).reshape(side, side, channels)[::-1, ::-1].transpose(2, 0, 1).ravel()
    for a in for_keras(model, arrays):
        if a.ndim == 4:  # (K,K,C,F) -> (F,C,K,K)
            a = a.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]
        else:
            a = a.T
            for axis in range(a.ndim):  # of a Dense layer or its bias: the numbers between encoder and code
                a = a.take(corner, axis) if a.shape[axis] == corner.size else a
        found.append(a)
    return found


def pytorch(model: AutoEncoder, images: np.ndarray, how: str) -> Contender:
    import torch
    from torch import nn

    torch.set_num_threads(model.team.threads)
    e, c = model.experiment, model.experiment.channels
    side = e.size // 2 ** len(e.filters)
    encoder: list[nn.Module] = []
    for F in e.filters:
        encoder += [nn.Conv2d(c, F, 3, 2, padding=1), nn.ReLU()]
        c = F
    encoder += [nn.Flatten(), nn.Linear(c * side * side, e.latent)]
    decoder: list[nn.Module] = [nn.Linear(e.latent, c * side * side), nn.ReLU(), nn.Unflatten(1, (c, side, side))]
    for F in reversed(e.filters):
        decoder += [nn.ConvTranspose2d(c, F, e.kernel_size, 2, 1, output_padding=4 - e.kernel_size), nn.ReLU()]
        c = F
    decoder += [nn.Conv2d(c, e.channels, 1), nn.Sigmoid()]
    layout = torch.contiguous_format if how == "NCHW" else torch.channels_last
    network = nn.Sequential(*encoder, *decoder)
    with torch.no_grad():
        for p, w in zip(network.parameters(), for_torch(model, list(model.parameters().values())), strict=True):
            p.copy_(torch.from_numpy(np.ascontiguousarray(w)))
    network.to(memory_format=layout)
    turned_images = np.ascontiguousarray(images.transpose(0, 3, 1, 2)[:, :, ::-1, ::-1])
    data = torch.from_numpy(turned_images).to(memory_format=layout)
    adam, one, tv = torch.optim.Adam(network.parameters(), RATE, fused=True), torch.zeros(1, e.latent), e.tv_weight
    half = network[len(encoder) :]

    def loss() -> Any:
        y = network(data)  # the variation's neighbours are on the other side, since the image is turned
        dx = nn.functional.pad(y[..., :-1] - y[..., 1:], (1, 0))
        dy = nn.functional.pad(y[:, :, :-1] - y[:, :, 1:], (0, 0, 1, 0))
        variation = (torch.sqrt(dx * dx + dy * dy + EPS**2) - EPS).mean()
        return (1 - tv) * ((y - data) ** 2).mean() + tv * variation

    compiled = torch.compile(loss) if how == "torch.compile" else loss

    def backward() -> Any:
        adam.zero_grad()
        value = compiled()
        value.backward()
        return value

    def gradients() -> tuple[float, list[np.ndarray]]:
        return float(backward().detach()), [p.grad.numpy() for p in network.parameters()]

    def step() -> None:
        backward()
        adam.step()

    def decode() -> Any:
        with torch.no_grad():
            return half(one).numpy()

    return Contender(gradients, step, decode)


CONTENDERS: dict[str, tuple[str, Callable[[AutoEncoder, np.ndarray], Contender]]] = {
    "scratch_ae": ("numba", ours),
    "Keras tf.function": ("tensorflow", lambda model, images: keras(model, images, "function")),
    "Keras train_on_batch": ("tensorflow", lambda model, images: keras(model, images, "train_on_batch")),
    "PyTorch NCHW": ("torch", lambda model, images: pytorch(model, images, "NCHW")),
    "PyTorch channels_last": ("torch", lambda model, images: pytorch(model, images, "channels_last")),
    "torch.compile": ("torch", lambda model, images: pytorch(model, images, "torch.compile")),
}


class Process:
    """A contender in a process of its own, which does what it is told through a pipe and otherwise waits."""

    def __init__(self, name: str, job: Path, threads: int):
        self.name, self.errors = name, tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        arguments = [sys.executable, "-m", "scratch_ae.peers", name, str(job), str(threads)]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment, text=True
        )

    def ask(self, question: str = "") -> Any:
        """The answer to a question; without one, what it says of itself when it is ready. UserError if it died."""
        assert self.process.stdin
        assert self.process.stdout
        if question:
            with contextlib.suppress(BrokenPipeError):  # it died, and so gives no answer
                self.process.stdin.write(question + "\n")
                self.process.stdin.flush()
        if answer := self.process.stdout.readline():
            return json.loads(answer)
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"{self.name} ended: {last[0]}")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()  # which closes the pipes, too
        self.errors.close()


def installed(name: str) -> bool:
    return find_spec(CONTENDERS[name][0]) is not None


def write_job(file: Path, model: AutoEncoder, images: np.ndarray) -> None:
    """The weights, the batch, and what we make of it, for the processes to start from."""
    value, gradients = model.loss_and_gradients(images)
    arrays = model.parameters() | {"images": images} | {"g" + name: g for name, g in gradients.items()}
    checkpoint.write(file, arrays, {"experiment": vars(model.experiment), "loss": value})


def seconds(work: Callable[[], Any]) -> float:
    """How long work() takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mib() -> float | None:
    """The peak memory of this process; what getrusage says includes the process that started it."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024 if status.exists() else None


def serve(name: str, job: str, threads: int) -> None:
    """Be a contender: print how far loss and gradients are from ours, then answer questions until the pipe closes."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a framework prints is no answer
    arrays, header = checkpoint.read(job)
    model = AutoEncoder.load(job, threads)
    contender = CONTENDERS[name][1](model, arrays["images"])
    value, found = contender.gradients()
    layout = {"torch": for_torch, "tensorflow": for_keras}.get(CONTENDERS[name][0], lambda _, arrays: arrays)
    wanted = layout(model, [arrays["g" + parameter] for parameter in model.parameters()])
    flat = [np.concatenate([np.ravel(a) for a in part]) for part in (found, wanted)]
    answers.write(json.dumps({"loss": abs(value / header["loss"] - 1), "gradients": error(*flat)}) + "\n")
    for line in sys.stdin:
        what, count = line.split()
        answer = peak_mib() if what == "peak" else [1e3 * seconds(getattr(contender, what)) for _ in range(int(count))]
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
