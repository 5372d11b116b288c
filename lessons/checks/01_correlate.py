"""The check of exercise 1."""

import numpy as np

from lessons.check import call, expect_close, expect_shape
from scratch_ae import kernels, layers, reference

FORBIDDEN = [
    (reference, "correlate"), (kernels, "correlate"), (kernels, "convolution"), (layers.Conv2D, "forward"),
    (kernels, "scatter_backward"), (kernels, "transposed_convolution_backward"), (layers.ConvTranspose2D, "backward"),
]  # fmt: skip
FUNCTIONS = {"correlate": (np.ones((1, 1, 1)), np.ones((1, 1, 1, 1)), np.ones(1), 1, 1)}
HINTS = [
    "Begin with the sizes: I, J, P and Q. Then y = np.zeros((I, J, F)), and a loop over every index of y.",
    "Inside, loop over p, q and c. Which row of x does kernel row p fall on? i*down + p - P, and the column likewise.",
    "A row below 0 or from H on is outside: there x is 0, so leave that term out. Python's x[-1] is the last row!",
]


def padded(x, K, down, right):
    """x with its frame of zeros, and the size of y."""
    sizes, frame = [], []
    for n, S in zip(x.shape, (down, right), strict=False):
        sizes.append(-(-n // S))
        total = max((sizes[-1] - 1) * S + K - n, 0)
        frame.append((total // 2, total - total // 2))
    return np.pad(x, [*frame, (0, 0)]), sizes


def expected(x, w, b, down, right):
    """Window by window, and so by another way than the loops."""
    K = len(w)
    z, (I, J) = padded(x, K, down, right)
    windows = [[z[i * down : i * down + K, j * right : j * right + K] for j in range(J)] for i in range(I)]
    return np.einsum("ijpqc,pqcf->ijf", np.array(windows), w) + b


def check(answer):
    rng = np.random.default_rng(0)
    f = answer.correlate
    expect_shape("y", call(f, np.ones((4, 6, 2)), np.ones((3, 3, 2, 5)), np.zeros(5), 2, 3), (2, 2, 5))

    row, kernel = np.arange(1.0, 6).reshape(1, 5, 1), np.zeros((3, 3, 1, 1))
    kernel[1, :, 0, 0] = 1, 10, 100  # so that the digits of y tell which pixel met which entry
    case = {"x": row[0, :, 0], "w": kernel[1, :, 0, 0]}
    y = call(f, row, kernel, np.zeros(1), 1, 1)
    right = np.array([210.0, 321, 432, 543, 54]).reshape(1, 5, 1)
    if np.allclose(y, np.array([12.0, 123, 234, 345, 450]).reshape(1, 5, 1)):
        expect_close("the kernel is turned round: its first entry belongs to the leftmost pixel", y, right, **case)
    expect_close("one row of five pixels does not come out as on paper", y[..., 0], right[..., 0], **case)
    y = call(f, row, kernel, np.full(1, 1000.0), 1, 1)
    expect_close("the bias b[f] is not added once to each y[i,j,f]", y[..., 0], right[..., 0] + 1000, **case)

    x, middle = rng.integers(1, 10, (5, 3, 1)).astype(float), np.zeros((3, 3, 1, 1))
    middle[1, 1] = 1
    y, case = call(f, x, middle, np.zeros(1), 2, 1), {"x": x[..., 0], "w": middle[..., 0, 0], "down": 2, "right": 1}
    expect_close("`down` is the stride of rows, `right` that of columns", y[..., 0], x[::2, :, 0], **case)
    y, right = call(f, row[:, :4], kernel, np.zeros(1), 1, 2), np.array([[321.0, 43]])
    case = {"x": row[0, :4, 0], "w": kernel[1, :, 0, 0], "right": 2}
    text = "stride 2 on four pixels takes one column of zeros, and it is on the right: half of 1, rounded down, is 0"
    expect_close(text, y[..., 0], right, **case)

    y, case = call(f, row[:, :4], np.ones((1, 1, 1, 1)), np.zeros(1), 1, 2), {"x": row[0, :4, 0], "w": 1, "right": 2}
    text = "a kernel that is smaller than the stride needs no zeros, and there are never fewer than none: max(..., 0)"
    expect_close(text, y[..., 0], np.array([[1.0, 3]]), **case)
    x = rng.integers(1, 10, (3, 2, 1)).astype(float)
    y, right = call(f, x, np.ones((3, 3, 1, 1)), np.zeros(1), 1, 1), expected(x, np.ones((3, 3, 1, 1)), 0, 1, 1)
    expect_close("a window of ones does not give the sum of its pixels, at the edges neither more nor less", y[..., 0],
                 right[..., 0], x=x[..., 0], w=np.ones((3, 3)))  # fmt: skip
    x, w = np.array([[[1.0, 10]]]), np.ones((1, 1, 2, 1))
    y = call(f, x, w, np.zeros(1), 1, 1)
    expect_close("channels are summed over, each once", y, np.array([[[11.0]]]), x=x, w=w)
    x, w = np.ones((1, 1, 1)), np.array([1.0, 10, 100]).reshape(1, 1, 1, 3)
    y, text = call(f, x, w, np.zeros(3), 1, 1), "each filter w[..., f] has an output of its own"
    expect_close(text, y, np.array([[[1.0, 10, 100]]]), x=x, w=w)

    for _ in range(60):
        K, C, F, H, W = rng.integers(1, [5, 3, 4, 7, 7])
        down, across = rng.integers(1, 4, 2)
        x, w, b = rng.normal(size=(H, W, C)), rng.normal(size=(K, K, C, F)), rng.normal(size=F)
        case = {"x": x.shape, "w": w.shape, "strides": f"{down} down, {across} right"}
        y = call(f, x, w, b, int(down), int(across))
        expect_close(f"x {x.shape}, w {w.shape}, strides {down} and {across}: not the sum of the formula", y,
                     expected(x, w, b, down, across), **case)  # fmt: skip
