"""The check of exercise 5: right layers, and the wrong ones of `python -m tests.mistakes` whose derivative is wrong."""

import copy

import numpy as np

from lessons.check import Wrong, call
from scratch_ae import gradcheck
from scratch_ae.layers import Conv2D, ConvTranspose2D, Dense, ReLU, Reshape, Sigmoid
from tests.mistakes import MISTAKES, built

FORBIDDEN = [(gradcheck, name) for name in ("check_layer", "central_differences", "complex_steps", "adjoint_error")]
FUNCTIONS = {"accepts": (ReLU(), np.ones((1, 2)))}
HINTS = [
    "Draw gy at random, in the shape of layer.forward(x). f = (layer.forward(x) * gy).sum() is a number that depends "
    "on x, w and b, and layer.backward(gy) claims to know its gradients.",
    "Check the claim entry by entry: (f with the entry a little larger - f with it as much smaller) / (2 * as much).",
    "Compare by norms, |claimed - measured| <= 1e-6 |measured|, and separately for x, w and b. Copy what forward or "
    "backward may change.",
]


class Thousandth(Dense):
    """Dense: input gradient too large by a thousandth"""

    def backward(self, gy):
        return 1.001 * super().backward(gy)


def errors(layer, x, gy):
    """How far the gradients of x, w and b are from difference quotients, by norms."""
    result, found = gradcheck.run(layer, x.copy(), gy.copy()), []
    for name, array in {"x": x, **gradcheck.weights(layer)}.items():

        def f(a, name=name):
            probe, start = (layer, a) if name == "x" else (gradcheck.changed(layer, **{name: a}), x.copy())
            return (copy.copy(probe).forward(start) * gy).sum()

        found.append(gradcheck.error(result[name], gradcheck.central_differences(f, array)))
    return np.array(found)


def wrong_layers():
    """Of each wrong layer its name, itself, an input, whether an upstream of ones lets it pass, whether gx is right."""
    for k, cls in enumerate([*MISTAKES, Thousandth]):
        layer, x = built(cls, np.random.default_rng([5, k]))
        gy = np.random.default_rng([6, k]).normal(size=copy.copy(layer).forward(x.copy()).shape)
        off = errors(layer, x, gy)
        if off.max() > 1e-4:
            yield cls.__doc__, layer, x, errors(layer, x, np.ones_like(gy)).max() < 1e-4, off[0] < 1e-4


WRONG_LAYERS = list(wrong_layers())


def check(answer):
    f = answer.accepts
    for seed in range(3):
        for cls in (Dense, ReLU, Sigmoid, Reshape, Conv2D, ConvTranspose2D):
            layer, x = built(cls, np.random.default_rng([7, seed]))
            verdict = call(f, layer, x)
            if verdict is None:
                raise Wrong("accepts returns None; is a `return` missing?")
            if not verdict:
                raise Wrong(f"it rejects a right layer, {layer}, at an x of the shape {x.shape}")
    for what, kinds in (("x", (np.float32, np.float64)), ("w and b", (np.float64, np.float32))):
        layer, x = built(Dense, np.random.default_rng(0))
        layer.w, layer.b = layer.w.astype(kinds[1]), layer.b.astype(kinds[1])
        try:
            f(layer, x.astype(kinds[0]))
        except TypeError:
            continue
        raise Wrong(f"it takes float32 in {what}, where it should raise TypeError")
    accepted = [row for row in WRONG_LAYERS if f(copy.copy(row[1]), row[2].copy())]
    if not accepted:
        return
    name, total = accepted[0][0], f"it accepts {len(accepted)} of {len(WRONG_LAYERS)} wrong layers"
    if len(accepted) < len(WRONG_LAYERS) and all(ones for _, _, _, ones, _ in accepted):
        raise Wrong(f"{total}, as {name!r}: an upstream gradient of ones does not see them, so draw it at random")
    if all(gx_right for *_, gx_right in accepted):
        raise Wrong(f"{total}, as {name!r}: their gx is right; gw and gb are gradients, too")
    raise Wrong(f"{total}, as {name!r}")
