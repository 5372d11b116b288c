"""Wrong answers to exercise 11: the mistakes that people make, each with a part of the sentence that helps."""

import numpy as np
from numpy.lib.stride_tricks import as_strided


def rung(zeros=((0, 1), (0, 1)), order=(0, 1, 2, 3, 4, 5), step=2, dtype=np.float64, flip=False, end="b relu"):
    """The right answer, with one mistake."""

    def correlate(x, w, b):
        (N, H, W, C), F = x.shape, w.shape[3]
        z = np.pad(x.astype(dtype), ((0, 0), *zeros, (0, 0)))
        z = np.pad(z, ((0, 0), (0, 2), (0, 2), (0, 0)))[:, : H + 3, : W + 3]
        rows = np.empty((N, H // 2, W // 2, 3, 3, C), dtype)
        for p, q in np.ndindex(3, 3):
            span = [slice(k, k + step * (n // 2 - 1) + 1, step) for k, n in ((p, H), (q, W))]
            rows[:, :, :, p, q] = z[:, span[0], span[1]]
        weights = (w[::-1, ::-1] if flip else w).reshape(9 * C, F).astype(dtype)
        y = (rows.transpose(order).reshape(-1, 9 * C) @ weights).reshape(N, H // 2, W // 2, F)
        for what in end.split():
            y = np.maximum(y, 0) if what == "relu" else y + b.astype(dtype)
        return y

    return correlate


def only(function):
    return {"correlate": function}


def strided(wrong):
    """as_strided, on x with its zeros; with strides that are wrong, or those of a fresh array where x is none."""

    def correlate(x, w, b):
        (N, H, W, C), F = x.shape, w.shape[3]
        if wrong == "believes x to be fresh":
            fresh = as_strided(x, (x.size,), (8,)).reshape(x.shape)
            z = np.pad(fresh, ((0, 0), (0, 3), (0, 3), (0, 0)))
        else:
            z = np.pad(x, ((0, 0), (0, 3), (0, 3), (0, 0)))
        n, down, right, c = z.strides
        strides = {
            "windows of stride 1": (n, down, right, down, right, c),
            "rows and columns of a window": (n, 2 * down, 2 * right, right, down, c),
        }.get(wrong, (n, 2 * down, 2 * right, down, right, c))
        rows = as_strided(z, (N, H // 2, W // 2, 3, 3, C), strides)
        y = rows.reshape(-1, 9 * C) @ w.reshape(9 * C, F) + b
        return np.maximum(y, 0).reshape(N, H // 2, W // 2, F)

    return correlate


def first_image(x, w, b):
    y = np.zeros_like(rung()(x, w, b))
    y[0] = rung()(x[:1], w, b)[0]
    return y


def first_image_alone(x, w, b):
    return rung()(x[:1], w, b)


def in_place(x, w, b):
    y = rung()(x, w, b)
    x *= 2
    return y


def bias_in_place(x, w, b):
    y = rung(end="relu")(x, w, b)
    b += y.sum()
    return y


def no_reshape(x, w, b):
    return rung()(x, w, b).reshape(-1, w.shape[3])


def short_result(x, w, b):
    return np.round(rung()(x, w, b), 12).astype(np.float32)


def square_only(x, w, b):
    """i and j exchanged in the result; a square image hides it from shapes."""
    y = rung()(x, w, b)
    N, I, J, F = y.shape
    return y.transpose(0, 2, 1, 3).reshape(N, I, J, F)


def no_return(x, w, b):
    rung()(x, w, b)


WRONG = {
    "bias forgotten": (only(rung(end="relu")), "the bias b[f] is not added"),
    "bias twice": (only(rung(end="b b relu")), "the bias b[f] is not added once"),
    "ReLU forgotten": (only(rung(end="b")), "the ReLU is missing"),
    "ReLU before bias": (only(rung(end="relu b")), "the bias comes before the ReLU"),
    "ReLU before and after bias": (only(rung(end="relu b relu")), "max(0, -4 + 1) is 0"),
    "zeros on the left": (only(rung(zeros=((0, 1), (1, 0)))), "on the right and not on the left"),
    "zeros above": (only(rung(zeros=((1, 0), (0, 1)))), "below the image and not above"),
    "zeros above and on the left": (only(rung(zeros=((1, 0), (1, 0)))), "on the right and not on the left"),
    "windows move by one": (only(rung(step=1)), "should move by two"),
    "as_strided without the stride": (only(strided("windows of stride 1")), "take every second window only"),
    "as_strided, axes exchanged": (only(strided("rows and columns of a window")), "rows and columns of the window"),
    "as_strided of a view": (only(strided("believes x to be fresh")), "a view of a larger array"),
    "matrix in the order q, p, c": (only(rung(order=(0, 1, 2, 4, 3, 5))), "rows and columns of the window"),
    "matrix in the order c, p, q": (only(rung(order=(0, 1, 2, 5, 3, 4))), "both go through p, q, c"),
    "matrix in the order j, i": (only(rung(order=(0, 2, 1, 3, 4, 5))), "not the sum of the formula"),
    "i and j exchanged at the end": (only(square_only), "not the sum of the formula"),
    "kernel flipped": (only(rung(flip=True)), "the kernel is turned round"),
    "only the first image": (only(first_image), "not every image of the batch"),
    "the first image alone": (only(first_image_alone), "has the shape (1, 2, 3, 5), expected (2, 2, 3, 5)"),
    "sums in float32": (only(rung(dtype=np.float32)), "only about seven digits"),
    "result in float32": (only(short_result), "float32"),
    "x changed in place": (only(in_place), "changes its argument x"),
    "b changed in place": (only(bias_in_place), "changes its argument b"),
    "still a matrix": (only(no_reshape), "has the shape"),
    "return forgotten": (only(no_return), "is None"),
}
