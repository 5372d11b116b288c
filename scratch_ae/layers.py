"""The six layers. Each is a forward and, beside it, the backward that follows from it.

`forward(x)` returns y and keeps what backward will need. `backward(gy)` takes gy, the gradient of the loss in y, and
returns gx, its gradient in x; layers that have weights keep theirs in `gw` and `gb`. Nothing that is passed in is
changed. Images are (N,H,W,C); weights and gradients have the type that the caller gives them (float32 in training).

Look at the two convolutions side by side: the gradient in the input of each is the other one's forward. You see it in
`kernels.py`, where `convolution_backward` calls `scatter_line` and `transposed_convolution_backward` calls
`correlate_line`.
"""

import math

import numpy as np

from . import kernels
from .shapes import check, convolved, transposed


def he(rng: np.random.Generator, shape: tuple[int, ...], fan_in: float, gain: float) -> np.ndarray:
    """Normal weights with variance gain / fan_in, so that signals keep their size from layer to layer.

    gain is 2 where the inputs come from a ReLU, which silences half of them, otherwise 1 (He et al. 2015, 2.2).
    """
    return rng.normal(0, np.sqrt(gain / fan_in), shape)


def expect(layer: object, what: str, array: np.ndarray, shape: tuple[int | str, ...]) -> None:
    """Raise ValueError unless the array has this shape; a letter stands for any size."""
    fits = [isinstance(b, str) or a == b for a, b in zip(array.shape, shape, strict=False)]
    if len(array.shape) != len(shape) or not all(fits):
        wanted = "(" + ", ".join(map(str, shape)) + ")"
        raise ValueError(f"{layer}: {what} has the shape {array.shape}, wanted {wanted}")


def fresh(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array that a layer writes `name` to: a new one, so that what the layer returned before stays as it was."""
    return np.empty(shape, dtype)


class Kept:
    """Takes the place of `fresh` in a layer that runs again and again: the same memory each time, and so faster."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        size = math.prod(shape)
        kept = self.arrays.get(name)
        if kept is None or kept.size < size or kept.dtype != dtype:
            self.arrays[name] = np.empty(size, dtype)
        return self.arrays[name][:size].reshape(shape)


class Conv2D:
    """Convolution, w (K,K,C,F), b (F,): x (N,H,W,C) -> y (N,I,J,F). Dumoulin & Visin 2016, chapters 1 and 2.

    With `relu` a ReLU follows inside the layer, where the numbers are still in the processor's cache. The `first` layer
    of a network returns an empty gx: nobody asks for the loss's gradient in the image.
    """

    array = staticmethod(fresh)

    def __init__(
        self, C: int, F: int, K: int, S: int, padding: str, rng: np.random.Generator, gain: float = 2,
        relu: bool = False, first: bool = False,
    ):  # fmt: skip
        check(K, S, padding)
        self.S, self.padding, self.relu, self.first = S, padding, relu, first
        self.w, self.b = he(rng, (K, K, C, F), K * K * C, gain), np.zeros(F)

    def __str__(self) -> str:
        K, _, C, F = self.w.shape
        return f"Conv2D {C} -> {F}, {K}x{K}, stride {self.S}, {self.padding}" + ", ReLU" * self.relu

    def forward(self, x: np.ndarray) -> np.ndarray:
        expect(self, "the input", x, ("N", "H", "W", self.w.shape[2]))
        (N, H, W, _), (K, _, _, F) = x.shape, self.w.shape
        if self.padding == "valid" and min(H, W) < K:
            raise ValueError(f"{self}: the input has the shape {x.shape}, wanted an image as large as the kernel")
        I, J = convolved(H, K, self.S, self.padding)[0], convolved(W, K, self.S, self.padding)[0]
        self.x, self.y = x, self.array("y", (N, I, J, F), np.result_type(x, self.w, self.b))  # kept for backward
        return kernels.correlate(x, self.w, self.S, self.padding, self.b, self.relu, self.y)

    def backward(self, gy: np.ndarray) -> np.ndarray:
        expect(self, "the gradient", gy, self.y.shape)
        dtype = np.result_type(gy, self.w)
        gx = self.array("gx", self.x[:0].shape if self.first else self.x.shape, dtype)
        self.gw = self.array("gw", self.w.shape, dtype)
        self.gb = kernels.correlate_backward(self.x, self.w, self.y, gy, self.S, self.padding, self.relu, gx, self.gw)
        return gx


class ConvTranspose2D:
    """A convolution's adjoint, w (K,K,C,F), b (F,): x (N,H,W,C) -> y (N,H*S,W*S,F) for 'same' padding.

    Roles are exchanged: this layer's x is the output of a convolution from F to C channels, and its y is the input;
    that convolution's weights are w.swapaxes(2, 3).
    With `relu` a ReLU follows inside the layer. Dumoulin & Visin 2016, chapter 4.
    """

    array = staticmethod(fresh)

    def __init__(
        self, C: int, F: int, K: int, S: int, padding: str, rng: np.random.Generator, gain: float = 2,
        relu: bool = False,
    ):  # fmt: skip
        check(K, S, padding)
        self.S, self.padding, self.relu = S, padding, relu
        fan_in = K * K * C / S**2  # the taps that reach a pixel, on average: K*K for stride 1, only K*K/4 for stride 2
        self.w, self.b = he(rng, (K, K, C, F), fan_in, gain), np.zeros(F)

    def __str__(self) -> str:
        K, _, C, F = self.w.shape
        return f"ConvTranspose2D {C} -> {F}, {K}x{K}, stride {self.S}, {self.padding}" + ", ReLU" * self.relu

    def forward(self, x: np.ndarray) -> np.ndarray:
        expect(self, "the input", x, ("N", "H", "W", self.w.shape[2]))
        (N, H, W, _), (K, _, _, F) = x.shape, self.w.shape
        size = transposed(H, K, self.S, self.padding), transposed(W, K, self.S, self.padding)
        self.x, self.y = x, self.array("y", (N, *size, F), np.result_type(x, self.w, self.b))  # kept for backward
        return kernels.scatter(x, self.w, self.S, self.padding, size, self.b, self.relu, self.y)

    def backward(self, gy: np.ndarray) -> np.ndarray:
        expect(self, "the gradient", gy, self.y.shape)
        dtype = np.result_type(gy, self.w)
        gx, self.gw = self.array("gx", self.x.shape, dtype), self.array("gw", self.w.shape, dtype)
        self.gb = kernels.scatter_backward(self.x, self.w, self.y, gy, self.S, self.padding, self.relu, gx, self.gw)
        return gx


class Dense:
    """Matrix product, w (C,F), b (F,): x (N,C) -> y (N,F)."""

    def __init__(self, C: int, F: int, rng: np.random.Generator, gain: float = 1.0):
        self.w, self.b = he(rng, (C, F), C, gain), np.zeros(F)

    def __str__(self) -> str:
        return "Dense {} -> {}".format(*self.w.shape)

    def forward(self, x: np.ndarray) -> np.ndarray:
        expect(self, "the input", x, ("N", self.w.shape[0]))
        self.x = x  # kept for backward
        return x @ self.w + self.b

    def backward(self, gy: np.ndarray) -> np.ndarray:
        expect(self, "the gradient", gy, (len(self.x), self.w.shape[1]))
        self.gw = self.x.T @ gy
        self.gb = gy.sum(0)
        return gy @ self.w.T


class ReLU:
    """y = max(x, 0), any shape. Where x is 0 the gradient is taken as 0; what is not finite never becomes 0."""

    def __str__(self) -> str:
        return "ReLU"

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.y = np.where(x.real > 0, x, x - x)  # kept for backward: y > 0 where x > 0
        return self.y

    def backward(self, gy: np.ndarray) -> np.ndarray:
        expect(self, "the gradient", gy, self.y.shape)
        return np.where(self.y.real > 0, gy, gy - gy)


class Sigmoid:
    """y = 1 / (1 + e^-x), any shape: squeezes every number into (0, 1)."""

    def __str__(self) -> str:
        return "Sigmoid"

    def forward(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # e^-x may be infinite, and then y is 0, as it should be
            self.y = 1 / (1 + np.exp(-x))  # kept for backward
        return self.y

    def backward(self, gy: np.ndarray) -> np.ndarray:
        expect(self, "the gradient", gy, self.y.shape)
        return gy * self.y * (1 - self.y)


class Reshape:
    """The same numbers in another shape, image by image: x (N, ...) -> y (N, *shape)."""

    def __init__(self, *shape: int):
        self.shape = shape

    def __str__(self) -> str:
        return "Reshape to " + " x ".join(map(str, self.shape))

    def forward(self, x: np.ndarray) -> np.ndarray:
        if np.prod(x.shape[1:]) != np.prod(self.shape):
            wanted = f"{np.prod(self.shape)} numbers an image"
            raise ValueError(f"{self}: the input has the shape {x.shape}, wanted {wanted}")
        self.x_shape = x.shape  # kept for backward
        return x.reshape(-1, *self.shape)

    def backward(self, gy: np.ndarray) -> np.ndarray:
        expect(self, "the gradient", gy, (self.x_shape[0], *self.shape))
        return gy.reshape(self.x_shape)


Weighted = Conv2D | ConvTranspose2D | Dense  # these have w and b, and after backward gw and gb
Layer = Weighted | ReLU | Sigmoid | Reshape
