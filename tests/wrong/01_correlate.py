"""Wrong answers to exercise 1: the mistakes that people make, each with a part of the sentence that helps."""

import numpy as np


def loops(flip=False, swap=False, bias=True, first=False, twice=False, lost=0, around=False, image=False):
    """The right loops, with one mistake."""

    def correlate(x, w, b, down, right):
        (H, W, C), (K, _, _, F) = x.shape, w.shape
        I, J = -(-H // down), -(-W // right)
        P, Q = max((I - 1) * down + K - H, 0), max((J - 1) * right + K - W, 0)
        P, Q = ((P + 1) // 2, (Q + 1) // 2) if first else (P // 2, Q // 2)
        y = np.zeros((I, J, F))
        for i in range(I - lost):
            for j in range(J):
                for f in range(F):
                    y[i, j, f] = b[f] if bias else 0
                    for p in range(K):
                        for q in range(K):
                            row, column = (i * right, j * down) if swap else (i * down, j * right)
                            row, column = row + p - P, column + q - Q
                            inside = row < H and column < W and (around or (row >= 0 and column >= 0))
                            weights = w[K - 1 - p, K - 1 - q] if flip else w[p, q]
                            if inside:
                                for c in range(C):
                                    y[i, j, f] += x[row, column, c] * weights[c, f] * (C if twice else 1)
        if image:
            x += 1
        return y

    return correlate


def only(function):
    return {"correlate": function}


def bias_at_every_tap(x, w, b, down, right):
    return loops()(x, w, 0 * b, down, right) + b * w.shape[0] ** 2


def fewer_than_none(x, w, b, down, right):
    """max(..., 0) left out: a negative number of zeros cuts pixels off."""
    (H, W, _), K = x.shape, len(w)
    I, J = -(-H // down), -(-W // right)
    P, Q = ((I - 1) * down + K - H) // 2, ((J - 1) * right + K - W) // 2
    return loops()(x[max(-P, 0) :, max(-Q, 0) :], w, b, down, right)


def no_return(x, w, b, down, right):
    loops()(x, w, b, down, right)


def valid(x, w, b, down, right):
    K = len(w)
    return loops()(x, w, b, down, right)[: (len(x) - K) // down + 1, : (x.shape[1] - K) // right + 1]


def filters_summed(x, w, b, down, right):
    y = loops()(x, w, b, down, right)
    return np.repeat(y.sum(-1, keepdims=True), y.shape[-1], -1)


WRONG = {
    "flipped kernel": (only(loops(flip=True)), "the kernel is turned round"),
    "swapped strides": (only(loops(swap=True)), "`down` is the stride of rows"),
    "dropped bias": (only(loops(bias=False)), "the bias b[f] is not added"),
    "bias once a tap": (only(bias_at_every_tap), "the bias b[f] is not added once"),
    "padding on the wrong side": (only(loops(first=True)), "it is on the right"),
    "channels summed twice": (only(loops(twice=True)), "channels are summed over, each once"),
    "last row lost": (only(loops(lost=1)), "does not come out as on paper"),
    "x[-1] is the last row": (only(loops(around=True)), "does not come out as on paper"),
    "no frame of zeros": (only(valid), "y has the shape (1, 2, 5), expected (2, 2, 5)"),
    "filters summed": (only(filters_summed), "each filter w[..., f] has an output of its own"),
    "image changed": (only(loops(image=True)), "changes its argument x"),
    "fewer zeros than none": (only(fewer_than_none), "there are never fewer than none"),
    "nothing returned": (only(no_return), "y is None; is a `return` missing?"),
}
