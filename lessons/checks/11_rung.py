"""The check of exercise 11."""

import time

import numpy as np

from lessons.check import Wrong, call, expect_close, expect_shape
from scratch_ae import kernels, ladder, layers, reference

FORBIDDEN = [
    (reference, "correlate"), (kernels, "correlate"), (kernels, "convolution"), (layers.Conv2D, "forward"),
    *((ladder, rung) for rung in ("loops", "compiled", "filters_innermost", "one_product", "in_registers")),
]  # fmt: skip
FUNCTIONS = {"correlate": (np.ones((1, 2, 2, 1)), np.ones((3, 3, 1, 1)), np.ones(1))}
HINTS = [
    "Make z, a copy of x with one row of zeros below and one column on the right. Then no index falls outside.",
    "What does kernel entry (p,q) meet, in all windows at once? Every second row of z from row p on, H/2 of them, and "
    "every second column from column q on: a slice with a step of 2, shaped (N,H/2,W/2,C).",
    "Put these nine slices into one array with the axes n,i,j,p,q,c. As a matrix it has N*H/2*W/2 rows and 9*C "
    "columns; w as a matrix has 9*C rows and F columns, in the same order p,q,c.",
    "One product, then + b, and then np.maximum with 0. Give the result its four axes back.",
]

plain = reference.correlate  # taken before it is forbidden


def expected(x, w, b):
    """Window by window, by another way than one product."""
    z = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    y = np.zeros((len(x), x.shape[1] // 2, x.shape[2] // 2, len(b)))
    for i, j in np.ndindex(y.shape[1:3]):
        y[:, i, j] = np.einsum("npqc,pqcf->nf", z[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], w)
    return np.maximum(y + b, 0)


def check_on_paper(f):
    """One row of six pixels above one of zeros, under a kernel whose digits tell which entry met which pixel."""
    x, w = np.zeros((1, 2, 6, 1)), np.zeros((3, 3, 1, 1))
    x[0, 0, :, 0], w[:, :, 0, 0] = np.arange(1, 7), (1, 10, 100)
    case = {"x": x[0, :, :, 0], "w": w[..., 0, 0]}
    y = np.asarray(call(f, x, w, np.zeros(1)))[0, :, :, 0]
    mistakes = {
        "the kernel is turned round: w[0,0] belongs to the upper left pixel of a window": (123, 345, 560),
        "the column of zeros belongs on the right and not on the left: the first window begins at pixel 0":
            (210, 432, 654),
        "the windows move by one pixel, and should move by two: take every second window only": (321, 432, 543),
        "rows and columns of the window are exchanged: x[2*i+p, 2*j+q] belongs to w[p,q]": (6, 12, 11),
    }  # fmt: skip
    right = np.array([[321.0, 543, 65]])
    for sentence, wrong in mistakes.items():
        if np.allclose(y, [wrong]):
            expect_close(sentence, y, right, **case)
    expect_close("two rows of six pixels do not come out as on paper", y, right, **case)
    x, w = x.swapaxes(1, 2).copy(), w.swapaxes(0, 1).copy()
    y, case = call(f, x, w, np.zeros(1))[0, :, :, 0], {"x": x[0, :, :, 0], "w": w[..., 0, 0]}
    text = "the row of zeros belongs below the image and not above it: the first window begins at row 0"
    expect_close(text, y, right.T, **case)


def check_bias_and_relu(f):
    x, w = np.ones((1, 2, 2, 1)), np.ones((3, 3, 1, 1))
    for sentence, sign, bias, right in (
        ("the bias b[f] is not added once to each y[n,i,j,f]", 1, 1000.0, 1004.0),
        ("the ReLU is missing: the sum is -4, and what is below 0 becomes 0", -1, 0.0, 0.0),
        ("the bias comes before the ReLU: max(0, -4 + 1) is 0", -1, 1.0, 0.0),
        ("the bias comes before the ReLU: max(0, 4 - 10) is 0", 1, -10.0, 0.0),
    ):
        y = call(f, x, sign * w, np.array([bias]))
        expect_close(sentence, y, np.full((1, 1, 1, 1), right), x=x[0, ..., 0], w=sign * w[..., 0, 0], b=bias)
    x, w = np.zeros((1, 2, 2, 2)), np.zeros((3, 3, 2, 1))
    x[0, 0, :, :], w[0, :2, :, 0] = ((1, 2), (3, 4)), ((1, 10), (100, 1000))
    case = {"x": x[0, 0], "w": w[0, :2, :, 0]}
    text = "the columns of your matrix do not meet the right rows of w: both go through p, q, c in this order"
    expect_close(text, call(f, x, w, np.zeros(1)), np.full((1, 1, 1, 1), 4321.0), **case)
    x, w = np.ones((1, 2, 2, 1)), np.zeros((3, 3, 1, 3))
    w[0, 0, 0], right = (1, 10, 100), np.array([[[[1.0, 10, 100]]]])
    expect_close("each filter w[..., f] has an output of its own", call(f, x, w, np.zeros(3)), right, w=w[0, 0, 0])


def check_batches(f, random):
    x, w, b = np.ones((3, 2, 2, 1)) * np.array([1.0, 2, 3]).reshape(3, 1, 1, 1), np.ones((3, 3, 1, 1)), np.zeros(1)
    text = "y[n] belongs to x[n]: not every image of the batch comes out"
    expect_close(text, call(f, x, w, b).ravel(), np.array([4.0, 8, 12]), x=x[:, 0, 0, 0])
    for _ in range(40):
        N, C, F, I, J = random.integers(1, [4, 4, 5, 5, 5])
        x, w, b = random.normal(size=(N, 2 * I, 2 * J, C)), random.normal(size=(3, 3, C, F)), random.normal(size=F)
        y, right = call(f, x, w, b), expected(x, w, b)
        sizes = f"x {x.shape}, w {w.shape}"
        expect_shape("y", y, right.shape)
        if not np.allclose(y, right, rtol=1e-9, atol=1e-9) and np.allclose(y, right, rtol=1e-4, atol=1e-4):
            text = f"{sizes}: only about seven digits are right, so somewhere float64 becomes float32"
            expect_close(text, y, right)
        expect_close(f"{sizes}: not the sum of the formula", y, right)
        large = random.normal(size=(N, 4 * I, 2 * J, 2 * C))
        x = large[:, ::2, :, C:]
        text = f"{sizes}: wrong where x is a view of a larger array, whose strides are others; copy it first"
        expect_close(text, call(f, x, w, b), expected(x, w, b))


def speed(f, random):
    """How fast a right answer is, beside the seven loops of the package."""

    def seconds(work, count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    x, w, b = random.normal(size=(8, 32, 32, 16)), random.normal(size=(3, 3, 16, 32)), random.normal(size=32)
    yours = seconds(lambda: f(x, w, b), 3)
    loops = seconds(lambda: plain(x[:1, :8, :8], w[..., :4], 2, "same"), 1) * 8 * 16 * 8  # so much less work
    beside = f"{loops / yours:,.0f} times as long" if loops > 2 * yours else "hardly longer"
    return (
        f"8 images of 32x32, 16 to 32 channels: about {1e3 * yours:.1f} ms; "
        f"the plain loops would take about {loops:.0f} s, {beside}"
    )


def check(answer):
    f, random = answer.correlate, np.random.default_rng(0)
    for N, H, W, C, F in ((1, 4, 6, 3, 5), (2, 4, 6, 3, 5)):
        expect_shape("y", call(f, np.ones((N, H, W, C)), np.ones((3, 3, C, F)), np.zeros(F)), (N, H // 2, W // 2, F))
    check_on_paper(f)
    check_bias_and_relu(f)
    check_batches(f, random)
    if np.asarray(f(np.ones((1, 2, 2, 1)), np.ones((3, 3, 1, 1)), np.zeros(1))).dtype != np.float64:
        raise Wrong("y is not float64, though all arguments are")
    return speed(f, random)
