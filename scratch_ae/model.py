"""The autoencoder: an encoder squeezes an image into a few numbers, a decoder draws it again from them."""

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np

from . import UserError, checkpoint
from .experiments import Experiment, experiment_from
from .layers import Conv2D, ConvTranspose2D, Dense, Kept, Layer, ReLU, Reshape, Sigmoid, Weighted, expect
from .losses import loss
from .parallel import Team, shards

FEW = 4  # images at a time where no gradient is asked for: what they need stays near the processor


def build(experiment: Experiment, rng: np.random.Generator) -> tuple[list[Layer], list[Layer]]:
    """The layers of encoder and decoder.

    Encoder: stride-2 3x3 'same' convolutions with ReLU, flatten, Dense. Decoder: Dense, ReLU, reshape, stride-2
    'same' transposed convolutions with ReLU in mirrored order, a 1x1 convolution to the colours, sigmoid.
    """
    e = experiment
    side = e.size // 2 ** len(e.filters)
    corner = side, side, e.filters[-1]
    first = Conv2D(e.channels, e.filters[0], 3, 2, "same", rng, gain=1, relu=True, first=True)
    encoder: list[Layer] = [first]
    encoder += [Conv2D(C, F, 3, 2, "same", rng, relu=True) for C, F in pairwise(e.filters)]
    encoder += [Reshape(math.prod(corner)), Dense(math.prod(corner), e.latent, rng, gain=2)]
    # Without this ReLU, Dense and the layer after it would be two matrices in a row, which are one.
    decoder: list[Layer] = [Dense(e.latent, math.prod(corner), rng), ReLU(), Reshape(*corner)]
    for C, F in pairwise((corner[2], *reversed(e.filters))):
        decoder.append(ConvTranspose2D(C, F, e.kernel_size, 2, "same", rng, relu=True))
    decoder += [Conv2D(e.filters[0], e.channels, 1, 1, "same", rng), Sigmoid()]
    mirror(encoder, e.channels)
    mirror(decoder, e.latent)
    first.b = -0.5 * first.w.sum((0, 1, 2))  # as if mid-grey were 0: 0.15 dB more after 4,000 images
    return encoder, decoder


def mirror(layers: list[Layer], channels: int) -> None:
    """Make these layers, whose input has `channels` channels, begin as if their convolutions had no ReLU.

    Filters followed by a ReLU come in pairs, v and -v, and the next layer reads the difference of the two: since
    max(a, 0) - max(-a, 0) = a, a pair of ReLUs lets everything through, until training makes the two filters differ
    (Balduzzi et al. 2017, section 4). Where their number is odd, the last one is left as it is.
    """
    paired, half = False, 0  # whether a layer's input channels are, and how many pairs
    for layer in layers:
        if isinstance(layer, Weighted):
            w = layer.w
            if isinstance(layer, Dense):  # it reads each channel once per pixel
                w = w.reshape(-1, channels, w.shape[-1])
            if paired:
                w[..., half : 2 * half, :] = -w[..., :half, :]
            paired, channels = getattr(layer, "relu", False), w.shape[-1]
            half = channels // 2
            if paired:
                w[..., half : 2 * half] = -w[..., :half]


class AutoEncoder:
    """A network of the shape an `Experiment` gives, its weights drawn from a seed.

    Images are (N, size, size, channels) in [0,1], codes (N, latent). Methods work on any number of images, in shards
    over `threads` threads (by default one per processor). The network computes in `dtype`: float32, or float64 and
    complex128 for the gradient checks. ValueError where a shape does not fit, naming the layer.
    """

    def __init__(self, experiment: Experiment, seed: int = 0, threads: int | None = None, dtype: type = np.float32):
        self.experiment, self.dtype, self.team = experiment, np.dtype(dtype), Team(threads)
        self.encoder, self.decoder = build(experiment, np.random.default_rng(seed))
        self.layers = self.encoder + self.decoder
        for layer in self.layers:
            if isinstance(layer, Weighted):
                layer.w, layer.b = layer.w.astype(dtype), layer.b.astype(dtype)
        self.kept = [[Kept() for _ in self.layers] for _ in range(self.team.threads)]  # for each shard of a batch
        self.busy = Lock()  # which one call at a time may use

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Images (N,H,W,C) -> codes (N, latent)."""
        self.check(images)
        return self.forward(self.encoder, images)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N, latent) -> images (N,H,W,C) in (0,1)."""
        return self.forward(self.decoder, codes)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images (N,H,W,C) -> what is left of them after the squeeze, (N,H,W,C) in (0,1)."""
        return self.decode(self.encode(images))

    def check(self, images: np.ndarray) -> None:
        """Raise ValueError unless these are images that the network was made for."""
        e = self.experiment
        expect("AutoEncoder", "a batch of images", images, ("N", e.size, e.size, e.channels))
        if not np.issubdtype(images.dtype, np.floating):
            raise ValueError(f"AutoEncoder: images are of type {images.dtype}, wanted floating-point numbers in [0,1]")

    def forward(self, layers: Sequence[Layer], x: np.ndarray) -> np.ndarray:
        """x through these layers, in shards. What each layer keeps for backward is dropped."""

        def work(shard: slice) -> np.ndarray:
            y = x[shard].astype(self.dtype, copy=False)
            for layer in map(copy.copy, layers):
                y = layer.forward(y)
            return y

        return np.concatenate(self.team.map(work, shards(len(x), -(-len(x) // FEW))))

    def loss_and_gradients(self, images: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        """The loss of a batch (N,H,W,C) and its gradient in each parameter, by the names of `parameters`."""
        self.check(images)
        if not len(images):
            raise ValueError("AutoEncoder: a batch without images has no loss")

        def work(job: tuple[slice, list[Kept]]) -> tuple[float, dict[str, np.ndarray]]:
            shard, kept = job
            layers = [copy.copy(layer) for layer in self.layers]  # which share the weights, and nothing else
            for layer, memory in zip(layers, kept, strict=True):
                vars(layer)["array"] = memory
            x = y = images[shard].astype(self.dtype, copy=False)
            for layer in layers:
                y = layer.forward(y)
            value, gy = loss(y, x, self.experiment.tv_weight, batch=len(images))
            for layer in reversed(layers):
                gy = layer.backward(gy)
            return value, named(layers, "g")

        with self.busy:
            jobs = zip(shards(len(images), self.team.threads), self.kept, strict=False)  # a small batch has fewer
            values, parts = zip(*self.team.map(work, jobs), strict=True)

            def total(name: str) -> np.ndarray:
                first, *others = (part[name] for part in parts)
                whole = first + others[0] if others else first.copy()  # the shards' own arrays are written to again
                for part in others[1:]:
                    whole += part
                return whole

            return sum(values), dict(zip(parts[0], self.team.map(total, parts[0]), strict=True))

    def first_not_finite(self, images: np.ndarray) -> str:
        """Where a non-finite number first appears in the forward pass: the layer, and whether in its weights."""
        y = images.astype(self.dtype, copy=False)
        for k, layer in enumerate(map(copy.copy, self.layers)):
            if not all(np.isfinite(array).all() for array in named([layer]).values()):
                return f"layer {k}, {layer}, has weights that are not finite"
            y = layer.forward(y)
            if not np.isfinite(y).all():
                return f"layer {k}, {layer}, is the first whose output is not finite"
        return "every layer is finite"

    def parameters(self) -> dict[str, np.ndarray]:
        """The arrays that are learnt, by name: '0.w' and '0.b' are the weights and the bias of layer 0."""
        return named(self.layers)

    def summary(self) -> str:
        """A table: number, layer, output shape, weights and biases."""
        shape, total = (self.experiment.size, self.experiment.size, self.experiment.channels), 0
        rows = [f"{'':2} {'layer':53} {'output':14} {'weights':>8}", f"{'':2} {'image':53} {sides(shape):14}"]
        x = np.zeros((1, *shape), self.dtype)
        for k, layer in enumerate(self.layers):
            x = copy.copy(layer).forward(x)
            count = sum(array.size for array in named([layer]).values())
            total += count
            rows.append(f"{k:2} {layer!s:53} {sides(x.shape[1:]):14} {count or '':>8}")
        return "\n".join([*rows, f"{'':2} {'in all':53} {'':14} {total:8}"])

    def save(self, file: Path | str) -> None:
        """Write parameters and experiment to one file, which `load` reads."""
        checkpoint.write(file, self.parameters(), {"experiment": asdict(self.experiment)})

    @classmethod
    def load(cls, file: Path | str, threads: int | None = None) -> "AutoEncoder":
        """The network in a file of `save`, or in a run's checkpoint.npz. Raises UserError where it cannot be read."""
        arrays, header = checkpoint.read(file)
        if "experiment" not in header:
            raise UserError(f"{file} does not say which network it holds")
        experiment = experiment_from(header["experiment"], file)
        model = cls(experiment, threads=threads)
        for name, parameter in model.parameters().items():
            if name not in arrays or arrays[name].shape != parameter.shape:
                raise UserError(f"{file} does not hold the network that its header names: {name} is missing or differs")
            parameter[...] = arrays[name]
        return model


def named(layers: Sequence[Layer], prefix: str = "") -> dict[str, np.ndarray]:
    """The weights and biases of these layers, or with the prefix 'g' their gradients, as {'0.w': ..., '0.b': ...}."""
    return {
        f"{k}.{name}": getattr(layer, prefix + name)
        for k, layer in enumerate(layers)
        if isinstance(layer, Weighted)
        for name in ("w", "b")
    }


def sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
