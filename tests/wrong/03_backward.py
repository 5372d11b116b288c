"""Wrong answers to exercise 3: the mistakes that people make, each with a part of the sentence that helps."""

import numpy as np


def dense(gx=lambda x, w, gy: gy @ w.T, gw=lambda x, w, gy: x.T @ gy, gb=lambda x, w, gy: gy.sum(0)):
    return {"dense_backward": lambda x, w, gy: (gx(x, w, gy), gw(x, w, gy), gb(x, w, gy))}


def relu_in_place(x, gy):
    gy[x <= 0] = 0
    return gy


def sigmoid_in_place(y, gy):
    gy *= y * (1 - y)
    return gy


def sigmoid_of_x(y, gy):
    s = 1 / (1 + np.exp(-y))
    return gy * s * (1 - s)


WRONG = {
    "dense: gw and gx the other way round": (
        {"dense_backward": lambda x, w, gy: (x.T @ gy, gy @ w.T, gy.sum(0))},
        "dense_backward's gx has the shape",
    ),
    "dense: mean over the batch": (dense(gw=lambda x, w, gy: x.T @ gy / len(x)), "a weight serves every image"),
    "dense: bias of the first image": (dense(gb=lambda x, w, gy: gy[0]), "a bias serves every image"),
    "dense: bias summed over everything": (dense(gb=lambda x, w, gy: gy.sum()), "dense_backward's gb has the shape ()"),
    "dense: bias through the weights": (
        dense(gb=lambda x, w, gy: (gy * w.sum()).sum(0)),
        "b[f] reaches y[n,f] as it is",
    ),
    "dense: upstream forgotten": (
        dense(gx=lambda x, w, gy: np.ones_like(gy) @ w.T),
        "x[n,c] reaches y[n,f] through w[c,f]",
    ),
    "dense: shape guessed": (dense(gw=lambda x, w, gy: (gy.T @ x).reshape(w.shape)), "not what complex steps"),
    "relu: sign of the upstream": ({"relu_backward": lambda x, gy: gy * (gy > 0)}, "where x is below 0 nothing passes"),
    "relu: both signs": ({"relu_backward": lambda x, gy: gy * (x > 0) * (gy > 0)}, "the sign of x, and not that of gy"),
    "relu: passes at 0": ({"relu_backward": lambda x, gy: gy * (x >= 0)}, "where x is 0"),
    "relu: the forward again": (
        {"relu_backward": lambda x, gy: np.maximum(x, 0)},
        "above 0 the gradient passes as it is",
    ),
    "relu: upstream changed in place": ({"relu_backward": relu_in_place}, "relu_in_place changes its argument gy"),
    "sigmoid: upstream forgotten": ({"sigmoid_backward": lambda y, gy: y * (1 - y)}, "times gy"),
    "sigmoid: y taken for x": ({"sigmoid_backward": sigmoid_of_x}, "its slope 0.25"),
    "sigmoid: the tangent's derivative": ({"sigmoid_backward": lambda y, gy: gy * (1 - y * y)}, "its slope 0.25"),
    "sigmoid: upstream changed in place": ({"sigmoid_backward": sigmoid_in_place}, "changes its argument gy"),
}
