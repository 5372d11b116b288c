"""Backwards that are wrong on purpose, and which check notices: python -m tests.mistakes

Each one runs, returns the right shapes and takes the place of the real thing in the checks of `scratch_ae.gradcheck`.
The last column is the check that many programs stop at: finite differences, every entry of them, but with an upstream
gradient of all ones. A mistake that it lets through is one that such a program would ship.
"""

import copy
import sys
from collections.abc import Callable, Iterator

import numpy as np

from scratch_ae import kernels
from scratch_ae.gradcheck import TOLERANCE, check_adam, check_layer, check_loss, rejected_by
from scratch_ae.layers import Conv2D, ConvTranspose2D, Dense, Layer, ReLU, Reshape, Sigmoid
from scratch_ae.losses import EPS, loss
from scratch_ae.optim import Adam

MISTAKES: list[type] = []  # the wrong layers; the docstring of each is its name


def mistake(cls: type) -> type:
    MISTAKES.append(cls)
    return cls


# ---------------------------------------------------------------------------------------------------- convolution


def weights_gradient(layer: Conv2D, x: np.ndarray, gy: np.ndarray) -> np.ndarray:
    gw = np.empty_like(layer.w)
    kernels.correlate_backward(x, layer.w, layer.y, gy, layer.S, layer.padding, layer.relu, np.empty_like(x), gw)
    return gw


@mistake
class Flipped(Conv2D):
    """Conv2D: upstream flipped upside down"""

    def backward(self, gy):
        return super().backward(gy[:, ::-1])


@mistake
class Transposed(Conv2D):
    """Conv2D: height and width of upstream exchanged"""

    def backward(self, gy):
        return super().backward(gy.transpose(0, 2, 1, 3))


@mistake
class Averaged(Conv2D):
    """Conv2D: upstream replaced by its mean"""

    def backward(self, gy):
        return super().backward(np.full_like(gy, gy.mean()))


@mistake
class Rolled(Conv2D):
    """Conv2D: upstream rolled by a pixel"""

    def backward(self, gy):
        return super().backward(np.roll(gy, 1, axis=2))


@mistake
class Ignored(Conv2D):
    """Conv2D: upstream ignored"""

    def backward(self, gy):
        return super().backward(np.ones_like(gy))


@mistake
class ImagesMixed(Conv2D):
    """Conv2D: upstream of the images in reverse order"""

    def backward(self, gy):
        return super().backward(gy[::-1])


@mistake
class FiltersMixed(Conv2D):
    """Conv2D: upstream of the filters in reverse order"""

    def backward(self, gy):
        return super().backward(gy[..., ::-1])


@mistake
class NoBias(Conv2D):
    """Conv2D: bias gradient missing"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gb = np.zeros_like(self.b)
        return gx


@mistake
class BiasPerInputPixel(Conv2D):
    """Conv2D: bias counted once an input pixel"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gb = self.gb * self.S**2
        return gx


@mistake
class BiasAveraged(Conv2D):
    """Conv2D: bias gradient averaged over the images"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gb = self.gb / len(gy)
        return gx


@mistake
class PaddingOff(Conv2D):
    """Conv2D: padding off by one in the input gradient"""

    def backward(self, gy):
        return np.roll(super().backward(gy), 1, axis=1)


@mistake
class PaddingOffWeights(Conv2D):
    """Conv2D: padding off by one in the weight gradient"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gw = weights_gradient(self, np.roll(self.x, 1, axis=2), gy)
        return gx


@mistake
class StridesSwapped(Conv2D):
    """Conv2D: strides swapped: rows of the input gradient out of place"""

    def backward(self, gy):
        gx = super().backward(gy)
        return np.concatenate([gx[:, ::2], gx[:, 1::2]], axis=1)


@mistake
class KernelFlipped(Conv2D):
    """Conv2D: kernel flipped in the input gradient"""

    def backward(self, gy):
        super().backward(gy)
        return kernels.scatter(gy, self.w[::-1, ::-1].swapaxes(2, 3), self.S, self.padding, self.x.shape[1:3])


@mistake
class ChannelsSwapped(Conv2D):
    """Conv2D: colours in reverse order in the input gradient"""

    def backward(self, gy):
        return super().backward(gy)[..., ::-1]


@mistake
class WeightsNotTransposed(Conv2D):
    """Conv2D: C and F of the kernel not exchanged in the input gradient"""

    def backward(self, gy):
        super().backward(gy)
        K, _, C, F = self.w.shape
        return kernels.scatter(gy, self.w.reshape(K, K, F, C), self.S, self.padding, self.x.shape[1:3])


@mistake
class ChangedInPlace(Conv2D):
    """Conv2D: upstream changed in place, after use"""

    def backward(self, gy):
        gx = super().backward(gy)
        gy *= 0.5
        return gx


@mistake
class LastRowLost(Conv2D):
    """Conv2D: last output row left out of the weight gradient"""

    def backward(self, gy):
        gx = super().backward(gy)
        short = gy.copy()
        short[:, -1] = 0
        self.gw = weights_gradient(self, self.x, short)
        return gx


@mistake
class Accumulated(Conv2D):
    """Conv2D: weight gradient added to that of the call before"""

    total = 0.0

    def backward(self, gy):
        gx = super().backward(gy)
        type(self).total = self.gw = type(self).total + self.gw
        return gx


# ---------------------------------------------------------------------------------------------- the other layers


@mistake
class TransposeWeightsSwapped(ConvTranspose2D):
    """ConvTranspose2D: x and upstream exchanged in the weight gradient"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gw = self.gw.transpose(0, 1, 3, 2).reshape(self.w.shape)
        return gx


@mistake
class TransposeFlipped(ConvTranspose2D):
    """ConvTranspose2D: kernel flipped in the input gradient"""

    def backward(self, gy):
        super().backward(gy)
        return kernels.correlate(gy, self.w[::-1, ::-1].swapaxes(2, 3), self.S, self.padding)


@mistake
class TransposeBias(ConvTranspose2D):
    """ConvTranspose2D: bias counted once an input pixel"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gb = self.gb / self.S**2
        return gx


@mistake
class MaskMissing(Conv2D):
    """Conv2D with ReLU: gradient passes everywhere"""

    relu_inside = True

    def backward(self, gy):
        self.relu = False
        try:
            return super().backward(gy)
        finally:
            self.relu = True  # or the next forward would be without it, and fit again


@mistake
class BiasBeforeMask(ConvTranspose2D):
    """ConvTranspose2D with ReLU: bias gradient of what the ReLU stops, too"""

    relu_inside = True

    def backward(self, gy):
        gx = super().backward(gy)
        self.gb = gy.sum((0, 1, 2))
        return gx


@mistake
class BiasAfterReLU(Conv2D):
    """Conv2D with ReLU: the bias added after it"""

    relu_inside = True

    def forward(self, x):
        self.y = kernels.correlate(x, self.w, self.S, self.padding, 0 * self.b, True) + self.b
        self.x = x
        return self.y


@mistake
class DenseNotTransposed(Dense):
    """Dense: weights not transposed"""

    def backward(self, gy):
        super().backward(gy)
        return gy @ self.w.reshape(self.w.shape[::-1])


@mistake
class DenseShared(Dense):
    """Dense: input kept where all threads find it"""

    def forward(self, x):
        type(self).x = x
        return x @ self.w + self.b

    def backward(self, gy):
        self.gw, self.gb = type(self).x.T @ gy, gy.sum(0)
        return gy @ self.w.T


@mistake
class DenseAveraged(Dense):
    """Dense: weight gradient averaged over the images"""

    def backward(self, gy):
        gx = super().backward(gy)
        self.gw = self.gw / len(gy)
        return gx


@mistake
class ReLUOfUpstream(ReLU):
    """ReLU: the upstream's sign asked instead of the input's"""

    def backward(self, gy):
        return np.maximum(gy, 0)


@mistake
class ReLUEverywhere(ReLU):
    """ReLU: gradient passes everywhere"""

    def backward(self, gy):
        return gy.copy()


@mistake
class ReLUInPlace(ReLU):
    """ReLU: upstream changed in place"""

    def backward(self, gy):
        gx = super().backward(gy)
        gy[self.y == 0] = 0
        return gx


@mistake
class ReLUForwardInPlace(ReLU):
    """ReLU: input changed in place"""

    def forward(self, x):
        y = super().forward(x)
        x[y == 0] = 0
        return y


@mistake
class SigmoidFactor(Sigmoid):
    """Sigmoid: factor 1 - y missing"""

    def backward(self, gy):
        return gy * self.y


@mistake
class SigmoidTwice(Sigmoid):
    """Sigmoid: y (1 - y) of the output's own sigmoid"""

    def backward(self, gy):
        y = 1 / (1 + np.exp(-self.y))
        return gy * y * (1 - y)


@mistake
class ReshapeOrder(Reshape):
    """Reshape: Fortran order on the way back"""

    def backward(self, gy):
        return super().backward(gy).reshape(self.x_shape[0], -1).reshape(self.x_shape, order="F")


# --------------------------------------------------------------------------------------------------- loss and Adam


def wrong_loss(wrong: Callable) -> Callable:
    """A loss whose value is right and whose gradient is wrong(gy, y, target, w)."""

    def function(y, target, w):
        value, gy = loss(y, target, w)
        return value, wrong(gy, y, target, w)

    return function


def slopes(y):
    """dy/r, and dx/r, of the variation: what a pixel passes to the neighbour below, and to the one on its right."""
    dx, dy = np.zeros_like(y), np.zeros_like(y)
    dx[:, :, :-1], dy[:, :-1] = np.diff(y, axis=2), np.diff(y, axis=1)
    r = np.sqrt(dx**2 + dy**2 + EPS**2) * y.size
    return dy / r, dx / r


def on_one_axis(gy, y, target, w):
    """loss: variation's gradient along one axis only"""
    down, _ = slopes(y)
    gy = gy + w * down
    gy[:, 1:] -= w * down[:, :-1]
    return gy


def without_last_row(gy, y, target, w):
    """loss: the last row forgets its neighbour"""
    gy = gy.copy()
    gy[:, -1] -= w * slopes(y)[0][:, -2]
    return gy


def summed(gy, y, target, w):
    """loss: gradient of the sum over images, not of the mean"""
    return gy * len(y)


def without_two(gy, y, target, w):
    """loss: the 2 of the square forgotten"""
    return gy - (1 - w) * (y - target) / y.size


def exchanged(gy, y, target, w):
    """loss: prediction and target exchanged"""
    return gy - 4 * (1 - w) * (y - target) / y.size


LOSSES = (on_one_axis, without_last_row, summed, without_two, exchanged)


class PlainAdam(Adam):
    """Adam: written again in NumPy, to be made wrong"""

    def step(self, gradients, rate):
        self.t += 1
        for name, p in self.parameters.items():
            self.update(name, p, gradients[name], rate, self.t)

    def update(self, name, p, g, rate, t):
        self.m[name] = self.beta1 * self.m[name] + (1 - self.beta1) * g
        self.v[name] = self.beta2 * self.v[name] + (1 - self.beta2) * g * g
        m, v = self.corrected(name, t)
        p -= rate * m / (np.sqrt(v) + self.eps)

    def corrected(self, name, t):
        return self.m[name] / (1 - self.beta1**t), self.v[name] / (1 - self.beta2**t)


class BetaForBetaT(PlainAdam):
    """Adam: beta for beta^t"""

    def corrected(self, name, t):
        return super().corrected(name, 1)


class NoCorrection(PlainAdam):
    """Adam: no correction"""

    def corrected(self, name, t):
        return self.m[name], self.v[name]


class CorrectionInPlace(PlainAdam):
    """Adam: correction in place, so that it accumulates"""

    def corrected(self, name, t):
        self.m[name], self.v[name] = super().corrected(name, t)
        return self.m[name], self.v[name]


class TimePerParameter(PlainAdam):
    """Adam: t counted once an array"""

    def update(self, name, p, g, rate, t):
        super().update(name, p, g, rate, self.t)
        self.t += 1


class TimeStandsStill(PlainAdam):
    """Adam: t starts at 0 and is increased after the step"""

    def update(self, name, p, g, rate, t):
        super().update(name, p, g, rate, max(t - 1, 1))


class EpsInsideRoot(PlainAdam):
    """Adam: eps inside the root"""

    def update(self, name, p, g, rate, t):
        before = p.copy()
        super().update(name, p, g, rate, t)
        m, v = self.corrected(name, t)
        p[...] = before - rate * m / np.sqrt(v + self.eps)


class GradientInPlace(PlainAdam):
    """Adam: gradient changed in place"""

    def update(self, name, p, g, rate, t):
        super().update(name, p, g, rate, t)
        g *= 0


ADAMS = (
    BetaForBetaT,
    NoCorrection,
    CorrectionInPlace,
    TimePerParameter,
    TimeStandsStill,
    EpsInsideRoot,
    GradientInPlace,
)

# ------------------------------------------------------------------------------------------------------- the table


def built(cls: type, rng: np.random.Generator) -> tuple[Layer, np.ndarray]:
    """A layer of this class, and an input for it: square, because a mistake that needs an oblong image hides on it."""
    if issubclass(cls, Conv2D | ConvTranspose2D):
        relu = getattr(cls, "relu_inside", False)
        layer, x = cls(3, 4, 3, 2, "same", rng, relu=relu), rng.normal(size=(2, 6, 6, 3))
    elif issubclass(cls, Dense):
        layer, x = cls(6, 4, rng), rng.normal(size=(3, 6))
    else:
        layer, x = cls(*([3, 8] if issubclass(cls, Reshape) else [])), rng.normal(size=(2, 3, 4, 2))
    if hasattr(layer, "b"):
        layer.b = rng.normal(size=layer.b.shape)
    return layer, x


def apart(layer: Layer) -> Layer:
    """A copy with a class of its own, so that no check finds what another one has left there."""
    layer = copy.copy(layer)
    layer.__class__ = type(type(layer).__name__, (type(layer),), {})
    return layer


def fooled(layer: Layer, x: np.ndarray) -> bool:
    """Whether full finite differences with an upstream gradient of ones find no fault with this layer."""
    gy = np.ones_like(copy.copy(layer).forward(x.copy()))
    return check_layer(layer, x.copy(), gy)["differences"] <= TOLERANCE["differences"]


def table() -> Iterator[tuple[str, list[str], str]]:
    """(mistake, columns of gradcheck that reject it, what ones with finite differences say), the right ones first."""
    rng = np.random.default_rng(0)
    for cls in (Conv2D, ConvTranspose2D, Dense, ReLU, Sigmoid, Reshape, *MISTAKES):
        layer, x = built(cls, rng)
        with np.errstate(all="ignore"):
            y = cls.__mro__[1 if cls in MISTAKES else 0].forward(copy.copy(layer), x.copy())
        verdict = "pass" if fooled(apart(layer), x) else "reject"
        name = cls.__doc__ if cls in MISTAKES else f"{cls.__name__}: right"
        yield name, rejected_by(check_layer(apart(layer), x, rng.normal(size=y.shape), oracle=y)), verdict
    y, target = rng.random((2, 2, 5, 4, 3))
    for wrong in (None, *LOSSES):
        function = wrong_loss(wrong) if wrong else loss
        yield (wrong.__doc__ if wrong else "loss: right"), rejected_by(check_loss(function, y, target, 0.3)), ""
    for optimiser in (Adam, PlainAdam, *ADAMS):
        name = "Adam: right" if optimiser is Adam else optimiser.__doc__
        yield name, rejected_by(check_adam(optimiser, rng)), ""


def main() -> int:
    print(f"{'':66} {'rejected by':40} ones and differences\n")
    wrong = caught = slipped = 0
    for name, columns, ones in table():
        print(f"{name:66} {', '.join(columns) or '-':40} {ones}")
        right = name.endswith("right") or name == PlainAdam.__doc__
        wrong, caught = wrong + (not right), caught + (not right and bool(columns))
        slipped += not right and ones == "pass"
    print(f"\n{caught} of {wrong} mistakes rejected; ones with full finite differences let {slipped} pass")
    return int(caught < wrong)


if __name__ == "__main__":
    sys.exit(main())
