"""Wrong answers to exercise 5: the checks that people write, each with a part of the sentence that helps."""

import numpy as np


def checker(
    ones=False, arrays=("x", "w", "b"), tolerance=1e-6, step=1e-5, sided=2, float32=False, entries=None, sums=False
):  # fmt: skip
    """The right check, with one weakness."""

    def accepts(layer, x):
        names = [name for name in arrays if name == "x" or hasattr(layer, name)]
        values = [x if name == "x" else getattr(layer, name) for name in names]
        everything = [x, *(getattr(layer, name) for name in ("w", "b") if hasattr(layer, name))]
        if not float32 and any(value.dtype != np.float64 for value in everything):
            raise TypeError
        y = layer.forward(x)
        gy = np.ones_like(y) if ones else np.random.default_rng(0).normal(size=y.shape)
        gx = layer.backward(gy.copy())
        for name, value in zip(names, values, strict=True):
            gradient, measured = gx if name == "x" else getattr(layer, "g" + name), np.zeros_like(value)
            places = list(np.ndindex(value.shape))[:entries]
            for k in places:
                kept = value[k]
                value[k] = kept + step
                above = (layer.forward(x) * gy).sum()
                value[k] = kept - step if sided == 2 else kept
                below = (layer.forward(x) * gy).sum()
                value[k] = kept
                measured[k] = (above - below) / (sided * step)
            seen = tuple(np.array(places).T) if entries else slice(None)
            a, b = (gradient.sum(), measured.sum()) if sums else (gradient[seen], measured[seen])
            if np.linalg.norm(a - b) > tolerance * np.linalg.norm(b):
                return False
        return True

    return {"accepts": accepts}


def refuses_float32(answer):
    def accepts(layer, x):
        if x.dtype != np.float64 or getattr(layer, "w", x).dtype != np.float64:
            raise TypeError
        return answer(layer, x)

    return {"accepts": accepts}


def same_shapes(layer, x):
    gx = layer.backward(np.ones_like(layer.forward(x)))
    return gx.shape == x.shape and all(layer.gw.shape == layer.w.shape for _ in "w" if hasattr(layer, "w"))


def with_itself(layer, x):
    y = layer.forward(x.copy())
    return np.allclose(layer.backward(np.ones_like(y)), layer.backward(np.ones_like(y)))


WRONG = {
    "always content": (refuses_float32(lambda layer, x: True), "wrong layers, as 'Conv2D: upstream flipped"),
    "never content": (refuses_float32(lambda layer, x: False), "it rejects a right layer, Dense 6 -> 4"),
    "shapes only": (refuses_float32(same_shapes), "wrong layers, as 'Conv2D: upstream flipped"),
    "compared with itself": (refuses_float32(with_itself), "wrong layers, as 'Conv2D: upstream flipped"),
    "upstream of ones": (checker(ones=True), "an upstream gradient of ones does not see them"),
    "gx only": (checker(arrays=("x",)), "gw and gb are gradients, too"),
    "bias forgotten": (checker(arrays=("x", "w")), "gw and gb are gradients, too"),
    "generous tolerance": (checker(tolerance=1e-2), "1 of 31 wrong layers, as 'Dense: input gradient too large by a"),
    "step too small": (checker(step=1e-13), "it rejects a right layer"),
    "step too large": (checker(step=0.5), "it rejects a right layer, ReLU"),
    "one-sided": (checker(sided=1, tolerance=1e-9), "it rejects a right layer"),
    "float32 taken": (checker(float32=True, step=1e-3, tolerance=1e-3), "it takes float32 in x"),
    "a few entries": (checker(entries=2), "wrong layers, as"),
    "sums compared": (checker(sums=True), "wrong layers, as"),
    "nothing returned": ({"accepts": lambda layer, x: None}, "accepts returns None"),
}
