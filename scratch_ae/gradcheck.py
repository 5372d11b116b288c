"""Every derivative, proven: python -m scratch_ae.gradcheck

A check asks a layer for its gradients with a *random* upstream gradient gy, and compares:

    oracle       the forward with another computation of it: the seven loops, or the formula written out
    adjoint      <Ax, gy> with <x, A'gy>, for layers that are linear: exact, and one number judges the whole array
    differences  with (f(x+s) - f(x-s)) / 2s in float64, the classic; its own error is about 1e-9
    complex      with Im f(x + ih) / h, h = 1e-20: nothing is subtracted, so it is exact (Squire & Trapp 1998)
    float32      the type of training with float64, by norms
    inputs       nothing that was passed in may have changed
    threads      two at once, each with its own input, must find what each finds alone, to the bit; a batch cut in two
                 what a whole one gives, but for rounding

f(x) = <layer(x), gy>, so the gradient of f is what backward(gy) returns. Errors are |a-b| / |b| by norms; of
adjoints, |a-b| / |Ax||gy|; of a slope of the whole model, over what it would be for a random direction of that length.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier
from typing import Any

import numpy as np

from . import UserError, command, reference
from .experiments import EXPERIMENTS, Experiment
from .layers import Conv2D, ConvTranspose2D, Dense, Layer, ReLU, Reshape, Sigmoid, Weighted
from .losses import EPS, loss
from .model import AutoEncoder
from .optim import Adam

# The largest error that passes, by column. Differences step over kinks of ReLU, so they judge loosely and complex
# steps strictly. Inputs and threads are either right (0) or wrong (1).
TOLERANCE = {
    "oracle": 1e-12,
    "adjoint": 1e-12,
    "differences": 1e-3,
    "complex": 1e-12,
    "float32": 1e-4,
    "inputs": 0.0,
    "threads": 0.0,
}

Function = Callable[[np.ndarray], np.number]  # float64 for float64, complex128 for complex128
Wait = Callable[[], object]  # for the other thread


def error(a: np.ndarray, b: np.ndarray) -> float:
    """|a - b| / |b| by norms; 0 where both are 0."""
    difference, norm = np.linalg.norm(np.subtract(a, b)), np.linalg.norm(b)
    return float(difference / norm) if norm else float(difference)


def adjoint_error(ax: np.ndarray, y: np.ndarray, x: np.ndarray, ay: np.ndarray) -> float:
    """|<Ax, y> - <x, A'y>| / |Ax||y| for ax = Ax and ay = A'y."""
    return float(abs((ax * y).sum() - (x * ay).sum()) / (np.linalg.norm(ax) * np.linalg.norm(y)))


def central_differences(f: Function, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of f at x (float64), entry by entry."""
    return np.array([(f(x + step * e) - f(x - step * e)).real / (2 * step) for e in entries(x)]).reshape(x.shape)


def complex_steps(f: Function, x: np.ndarray, h: float = 1e-20) -> np.ndarray:
    """The gradient of f at x (float64), entry by entry; f has to be written for complex numbers."""
    return np.array([f(x + 1j * h * e).imag / h for e in entries(x)]).reshape(x.shape)


def entries(x: np.ndarray) -> Iterator[np.ndarray]:
    """The unit vectors of the space of x."""
    for k in range(x.size):
        e = np.zeros(x.size)
        e[k] = 1
        yield e.reshape(x.shape)


def run(layer: Layer, x: np.ndarray, gy: np.ndarray, wait: Wait = lambda: None) -> dict[str, np.ndarray]:
    """A copy of the layer goes forward and backward: {'y': ..., 'x': gx, and where it has weights 'w': gw, 'b': gb}."""
    layer = copy.copy(layer)
    y = layer.forward(x)
    wait()
    gx = layer.backward(gy)
    return {"y": y, "x": gx, **{name: getattr(layer, "g" + name) for name in weights(layer)}}


def weights(layer: Layer) -> dict[str, np.ndarray]:
    """{'w': ..., 'b': ...}, or {} for a layer with none."""
    return {"w": layer.w, "b": layer.b} if isinstance(layer, Weighted) else {}


def changed(layer: Layer, **arrays: np.ndarray) -> Layer:
    """A copy of the layer with other weights."""
    layer = copy.copy(layer)
    vars(layer).update(arrays)
    return layer


def check_layer(layer: Layer, x: np.ndarray, gy: np.ndarray, oracle: np.ndarray | None = None) -> dict[str, float]:
    """The errors of a layer at x (N, ...) with the upstream gradient gy, by column; `oracle` is the right output."""
    variables = {"x": x, **weights(layer)}
    before, upstream = copy.deepcopy(variables), gy.copy()  # a layer that changes gy must not mislead the other checks
    result = run(layer, x, gy)
    errors = {} if oracle is None else {"oracle": error(result["y"], oracle)}

    def f(name: str, array: np.ndarray) -> np.number:  # <layer(x), gy> with another x, w or b, in its own type
        probe, start = (layer, array) if name == "x" else (changed(layer, **{name: array}), x.astype(array.dtype))
        return (copy.copy(probe).forward(start) * upstream).sum()

    def worst(gradient_of: Callable[[Function, np.ndarray], np.ndarray]) -> float:
        wrong = [error(result[name], gradient_of(partial(f, name), array)) for name, array in variables.items()]
        return float(np.max(wrong))  # which keeps a nan; max may not

    if isinstance(layer, Weighted | Reshape) and not getattr(layer, "relu", False):
        bias = run(layer, np.zeros_like(x), gy)["y"]  # for input 0 only the bias is left
        ax = result["y"] - bias  # linear in x for fixed w, and in w for fixed x
        products = [(ax, x, result["x"])]
        if isinstance(layer, Weighted):
            products += [(ax, layer.w, result["w"]), (bias, layer.b, result["b"])]
        errors["adjoint"] = np.max([adjoint_error(a, upstream, v, g) for a, v, g in products])
    errors |= {"differences": worst(central_differences), "complex": worst(complex_steps)}
    float32 = changed(layer, **{name: array.astype(np.float32) for name, array in weights(layer).items()})
    short = run(float32, x.astype(np.float32), gy.astype(np.float32))
    errors["float32"] = np.max([error(short[name], result[name]) for name in result])
    errors["inputs"] = float(not same((before, upstream), (variables, gy)))
    errors["threads"] = disagreement(lambda k, wait: run(layer, (x, -2 * x)[k], gy, wait))  # not -x: sums would cancel
    return errors


def check_loss(function: Callable[..., Any], y: np.ndarray, target: np.ndarray, tv_weight: float) -> dict[str, float]:
    """The errors of a loss, called like `losses.loss`, on images (N,H,W,C)."""
    before = y.copy(), target.copy()
    pair = y, target
    value, gy = function(*pair, tv_weight)
    dx, dy = np.zeros_like(y), np.zeros_like(y)
    dx[:, :, :-1], dy[:, :-1] = np.diff(y, axis=2), np.diff(y, axis=1)
    tv = (np.sqrt(dx**2 + dy**2 + EPS**2) - EPS).mean()
    return {
        "oracle": error(value, (1 - tv_weight) * np.square(y - target).mean() + tv_weight * tv),
        "differences": error(gy, central_differences(lambda a: function(a, target, tv_weight)[0], y)),
        "complex": error(gy, complex_steps(lambda a: function(a, target, tv_weight)[0], y)),
        "inputs": float(not same(before, (y, target))),
        "threads": disagreement(lambda k, wait: function(pair[k], pair[1 - k], tv_weight)),
    }


def check_adam(optimiser: Callable[[dict[str, np.ndarray]], Adam], rng: np.random.Generator) -> dict[str, float]:
    """Five steps on two arrays against algorithm 1 as the paper prints it, in plain numbers."""
    start = rng.normal(size=8)
    gradients = [rng.normal(size=8) * 10.0**-t for t in range(1, 6)]

    def five_steps(dtype: type, wait: Wait = lambda: None) -> tuple[np.ndarray, bool]:
        """Where they lead, and whether a gradient was changed."""
        parameters: dict[str, np.ndarray] = {"w": start[:6].astype(dtype).reshape(3, 2), "b": start[6:].astype(dtype)}
        adam, changed = optimiser(parameters), False
        for g in gradients:
            given: dict[str, np.ndarray] = {"w": g[:6].astype(dtype).reshape(3, 2), "b": g[6:].astype(dtype)}
            before = copy.deepcopy(given)
            adam.step(given, 0.01)
            wait()
            changed |= not same(before, given)
        return np.concatenate([p.ravel() for p in parameters.values()]), changed

    right, m, v = start.tolist(), [0.0] * 8, [0.0] * 8
    for t, g in enumerate(gradients, 1):
        for k in range(8):
            m[k] = 0.9 * m[k] + 0.1 * g[k]
            v[k] = 0.999 * v[k] + 0.001 * g[k] ** 2
            right[k] -= 0.01 * (m[k] / (1 - 0.9**t)) / (math.sqrt(v[k] / (1 - 0.999**t)) + 1e-8)
    got, changed = five_steps(np.float64)
    return {
        "oracle": error(got, np.array(right)),
        "float32": error(five_steps(np.float32)[0], np.array(right)),
        "inputs": float(changed),
        "threads": disagreement(lambda k, wait: five_steps((np.float64, np.float32)[k], wait)),
    }


def check_model(experiment: Experiment, N: int, bias: float = 0.0) -> dict[str, float]:
    """The whole network on two threads: each parameter array along one random direction, through what `train` calls.

    `bias` is the spread of what is added to the biases: 0 is how training begins; more is for a network so small that
    a pixel may see nothing but zeros, which puts it right on the kink of its ReLU, where there is no gradient to check.
    """
    rng = np.random.default_rng(0)
    images = rng.random((N, experiment.size, experiment.size, experiment.channels))
    before = images.copy()

    def network(dtype: type, threads: int = 2) -> AutoEncoder:
        model = AutoEncoder(experiment, 0, threads, dtype)
        for name, parameter in model.parameters().items():
            if name.endswith(".b"):
                noise = np.random.default_rng(parameter.size).normal(0, bias, parameter.shape)
                parameter += noise.astype(dtype)
        return model

    real, shifted = network(np.float64), network(np.complex128)
    kept = copy.deepcopy(real.parameters())
    gradients = real.loss_and_gradients(images)[1]
    errors = {"differences": 0.0, "complex": 0.0}

    def moved(name: str, along: np.ndarray, t: np.ndarray) -> Any:  # the loss, with one array moved by t (1,) * along
        model = shifted if np.iscomplexobj(t) else real
        array = model.parameters()[name]
        array[...] = kept[name] + t * along
        value = model.loss_and_gradients(images)[0]
        array[...] = kept[name]
        return value

    for name, gradient in gradients.items():
        along = rng.normal(size=gradient.shape)
        ours, scale = (gradient * along).sum(), np.linalg.norm(gradient) * np.linalg.norm(along) / math.sqrt(along.size)
        f, start = partial(moved, name, along), np.zeros(1)
        slopes = {"differences": central_differences(f, start, 1e-8), "complex": complex_steps(f, start)}
        for column, (slope,) in slopes.items():
            errors[column] = np.maximum(errors[column], abs(ours - slope) / scale)  # which keeps a nan; max may not
    short, batches = network(np.float32), [images, *(rng.random((2, *images.shape)))]
    found = [(short.loss_and_gradients(x.astype(np.float32))[1], real.loss_and_gradients(x)[1]) for x in batches]
    # The best of three: in float32 a pixel near its ReLU's kink may fall on the other side, which is no mistake.
    errors["float32"] = np.min([np.max([error(a[name], b[name]) for name in gradients]) for a, b in found])
    errors["inputs"] = float(not same((before, kept), (images, real.parameters())))
    again, single = real.loss_and_gradients(images)[1], network(np.float64, threads=1).loss_and_gradients(images)[1]
    rounding = all(error(single[name], gradient) < 1e-12 for name, gradient in gradients.items())
    errors["threads"] = float(N < 2 or not same(gradients, again) or not rounding)  # one image is not cut
    return errors


def disagreement(work: Callable[[int, Wait], Any]) -> float:
    """0 if work(0, wait) and work(1, wait), in two threads at once, twice, give what each gives alone, else 1.

    They wait for each other before they begin, and at each `wait`: what one leaves behind, the other would find.
    """
    alone, meet = [work(k, lambda: None) for k in range(2)], Barrier(2, timeout=60)

    def at_once(k: int) -> Any:
        meet.wait()
        return work(k % 2, meet.wait)

    with ThreadPoolExecutor(2) as pool:
        return float(not same(list(pool.map(at_once, range(4))), 2 * alone))


def same(a: Any, b: Any) -> bool:
    """Equal to the bit: numbers, arrays, and tuples, lists and dictionaries of them."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return isinstance(b, tuple | list) and len(a) == len(b) and all(map(same, a, b))
    a, b = np.asarray(a), np.asarray(b)
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())  # 0 and -0 differ


def cases(rng: np.random.Generator) -> Iterator[tuple[str, Layer, np.ndarray, np.ndarray]]:
    """(title, layer, x, right output) for every layer, on odd, even and oblong images, with a non-zero bias."""

    layer: Layer
    sizes = [(3, 2, "same", 7, 5), (3, 2, "same", 8, 6), (3, 1, "valid", 6, 5), (2, 3, "same", 7, 8)]
    sizes.append((1, 1, "same", 4, 5))
    for relu, (K, S, padding, H, W) in [(False, size) for size in sizes] + [(True, sizes[0])]:
        layer, x = Conv2D(3, 4, K, S, padding, rng, relu=relu), rng.normal(size=(2, H, W, 3))
        layer.b = rng.normal(size=4)
        y = reference.correlate(x, layer.w, S, padding) + layer.b
        yield str(layer), layer, x, np.where(y > 0, y, 0) if relu else y
    sizes = [(3, 2, "same", 3, 4), (4, 2, "same", 4, 3), (3, 2, "valid", 3, 4), (2, 3, "valid", 3, 2)]
    for relu, (K, S, padding, H, W) in [(False, size) for size in sizes] + [(True, sizes[0])]:
        layer, x = ConvTranspose2D(3, 4, K, S, padding, rng, relu=relu), rng.normal(size=(2, H, W, 3))
        layer.b = rng.normal(size=4)
        more = 0 if padding == "same" else max(K - S, 0)
        y = reference.scatter(x, layer.w.swapaxes(2, 3), S, padding, (H * S + more, W * S + more)) + layer.b
        yield str(layer), layer, x, np.where(y > 0, y, 0) if relu else y
    layer, x = Dense(6, 4, rng), rng.normal(size=(3, 6))
    layer.b = rng.normal(size=4)
    yield str(layer), layer, x, np.einsum("nc,cf->nf", x, layer.w) + layer.b
    x = rng.normal(size=(2, 3, 4, 2))
    yield "ReLU", ReLU(), x, np.where(x > 0, x, 0)
    yield "Sigmoid", Sigmoid(), 5 * x, 1 / (1 + np.exp(-5 * x))
    yield "Reshape to 3 x 8", Reshape(3, 8), x, np.stack([image.ravel().reshape(3, 8) for image in x])


def rows() -> Iterator[tuple[str, dict[str, float]]]:
    """(title, errors by column) of every check, one after another."""
    rng = np.random.default_rng(0)
    for title, layer, x, y in cases(rng):
        yield title, check_layer(layer, x, rng.normal(size=y.shape), oracle=y)
    y, target = rng.random((2, 2, 5, 4, 3))
    y[1] = 0.5  # a flat image, where a variation without EPS has no gradient
    yield "loss, TV weight 0.3", check_loss(loss, y, target, 0.3)
    yield "Adam, five steps", check_adam(Adam, rng)
    small = Experiment("small", (), 8, (2, 3), latent=2, tv_weight=0.2)
    for kernel_size in (3, 4):
        title = f"whole model, small, {kernel_size}x{kernel_size}"
        yield title, check_model(replace(small, kernel_size=kernel_size), N=5, bias=0.1)
    yield "whole model, rose at its real size, batch 3", check_model(EXPERIMENTS["rose"], N=3)


def main(arguments: list[str]) -> int:
    if arguments:
        raise UserError("this command takes no arguments")
    print(f"{'':49}" + "".join(f"{column:>12}" for column in TOLERANCE))
    print(f"{'(the largest error that passes)':49}" + "".join(f"{limit:12.0e}" for limit in TOLERANCE.values()))
    failed, start = 0, time.perf_counter()
    for title, errors in rows():
        wrong = rejected_by(errors)
        failed += bool(wrong)
        cells = (f"{errors[column]:12.1e}" if column in errors else f"{'':12}" for column in TOLERANCE)
        print(f"{title:49}" + "".join(cells) + ("  FAILED: " + ", ".join(wrong) if wrong else ""), flush=True)
    print(f"\n{failed or 'none'} failed, in {time.perf_counter() - start:.0f} s")
    return int(failed > 0)


def rejected_by(errors: dict[str, float]) -> list[str]:
    """The columns whose error is too large, or not a number."""
    return [column for column, value in errors.items() if not value <= TOLERANCE[column]]


if __name__ == "__main__":
    command(main)
