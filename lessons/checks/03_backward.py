"""The check of exercise 3."""

import numpy as np

from lessons.check import Wrong, call, expect_close, expect_shape
from scratch_ae.layers import Dense, ReLU, Sigmoid

FORBIDDEN = [(layer, name) for layer in (Dense, ReLU, Sigmoid) for name in ("forward", "backward")]
ONE = np.ones((1, 1))
FUNCTIONS = {"dense_backward": (ONE, ONE, ONE), "relu_backward": (ONE, ONE), "sigmoid_backward": (ONE, ONE)}
HINTS = [
    "Write down one number of the forward, y[n,f] = b[f] + sum over c of x[n,c] * w[c,f]. Where does x[n,c] occur?",
    "x[n,c] occurs in y[n,f] for every f, with the factor w[c,f]: gx[n,c] is the sum over f of gy[n,f] * w[c,f].",
    "ReLU lets a number through or stops it, and its gradient likewise: a product with x > 0 is a new array.",
    "The derivative of the sigmoid is y * (1 - y). It is multiplied by what comes from above.",
]


def check_dense(f):
    x, w, gy = np.array([[1.0, 2]]), np.array([[3.0], [4]]), np.array([[10.0]])
    result = call(f, x, w, gy)
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise Wrong("dense_backward returns three arrays: gx, gw, gb")
    rng = np.random.default_rng(0)
    x, w, gy = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    for name, part, shape in zip(("gx", "gw", "gb"), call(f, x, w, gy), ((2, 3), (3, 4), (4,)), strict=True):
        expect_shape(f"dense_backward's {name}", part, shape)
    x, w, gy = np.array([[1.0, 2]]), np.array([[3.0], [4]]), np.array([[10.0]])
    case = {"x": x, "w": w, "gy": gy}
    gx, gw, gb = call(f, x, w, gy)
    expect_close("gx: x[n,c] reaches y[n,f] through w[c,f]", gx, np.array([[30.0, 40]]), **case)
    expect_close("gw: w[c,f] reaches y[n,f] through x[n,c]", gw, np.array([[10.0], [20]]), **case)
    expect_close("gb: b[f] reaches y[n,f] as it is", gb, np.array([10.0]), **case)
    x, gy = np.array([[1.0], [2]]), np.array([[10.0], [100]])
    gx, gw, gb = call(f, x, np.array([[1.0]]), gy)
    text = "serves every image of the batch, so their shares add up"
    expect_close(f"gw: a weight {text}", gw, np.array([[210.0]]), x=x, gy=gy)
    expect_close(f"gb: a bias {text}", gb, np.array([110.0]), gy=gy)
    for _ in range(20):
        N, C, F = rng.integers(1, 6, 3)
        x, w, gy, b = rng.normal(size=(N, C)), rng.normal(size=(C, F)), rng.normal(size=(N, F)), rng.normal(size=F)
        parts = call(f, x, w, gy)
        text = f"N {N}, C {C}, F {F}: not what complex steps of y = x @ w + b give in"
        for name, part, k in zip(("gx", "gw", "gb"), parts, range(3), strict=True):
            expect_close(f"{text} {name}", part, by_complex_steps(lambda x, w, b: x @ w + b, (x, w, b), k, gy))


def by_complex_steps(forward, arrays, k, gy):
    """The gradient of <forward(*arrays), gy> in array k: an independent judge (lesson 5 tells why it is exact)."""
    found = np.empty_like(arrays[k])
    for index in np.ndindex(found.shape):
        moved = [a.astype(complex) for a in arrays]
        moved[k][index] += 1e-20j
        found[index] = (forward(*moved) * gy).sum().imag / 1e-20
    return found


def check_elementwise(f, forward, x, arguments, cases):
    """`cases` are sentences with a number of x and the gradient there for gy = 10."""
    for sentence, number, expected in cases:
        at, gy = np.array([number]), np.array([10.0])
        result = call(f, arguments(at), gy)
        expect_shape(f"{f.__name__}'s result", result, (1,))
        expect_close(sentence, result, np.array([expected]), x=at, gy=gy)
    for shape in ((3,), (2, 3), (2, 2, 3)):
        at = x(shape)
        gy = np.random.default_rng(1).normal(size=shape)
        result = call(f, arguments(at), gy)
        expect_close(f"not the derivative for {shape}", result, by_complex_steps(forward, (at,), 0, gy), x=at, gy=gy)


def check(answer):
    rng = np.random.default_rng(2)
    check_dense(answer.dense_backward)
    check_elementwise(
        answer.relu_backward, lambda x: np.where(x.real > 0, x, 0), lambda shape: rng.normal(size=shape), lambda x: x,
        [("where x is above 0 the gradient passes as it is", 2.0, 10.0),
         ("where x is below 0 nothing passes", -2.0, 0.0),
         ("where x is 0 the gradient is taken as 0", 0.0, 0.0)],
    )  # fmt: skip
    x, gy = np.array([2.0, -2]), np.array([-10.0, 10])
    text = "what decides is the sign of x, and not that of gy"
    expect_close(text, call(answer.relu_backward, x, gy), np.array([-10.0, 0]), x=x, gy=gy)
    check_elementwise(
        answer.sigmoid_backward, lambda x: 1 / (1 + np.exp(-x)), lambda shape: rng.normal(size=shape),
        lambda x: 1 / (1 + np.exp(-x)),
        [("at x = 0 the sigmoid is 0.5 and its slope 0.25, times gy", 0.0, 2.5),
         ("at x = 40 the sigmoid is flat, its slope nearly 0", 40.0, 0.0)],
    )  # fmt: skip
