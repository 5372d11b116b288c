"""The check of exercise 4."""

import numpy as np

from lessons.check import Wrong, call, expect_close, expect_shape
from scratch_ae import kernels, layers, reference

FORBIDDEN = [
    (reference, "scatter"), (kernels, "scatter"), (kernels, "transposed_convolution"),
    (kernels, "correlate_backward"), (layers.Conv2D, "backward"), (layers.ConvTranspose2D, "forward"),
]  # fmt: skip
ONE = np.ones((1, 1, 1)), np.ones((1, 1, 1, 1)), 1, 1, 1
FUNCTIONS = {"scatter": ONE, "fooled": ONE}
HINTS = [
    "Take the loops of exercise 1 as they are: the same i, j, p, q, c, f, the same row and column, the same `if`.",
    "Only the line in the middle changes. There it was y[i,j,f] += x[row,column,c] * w[p,q,c,f]: what is given now, "
    "and what is looked for?",
    "For `fooled`: what can you do to an array of ones that leaves it as it is, and changes any other?",
]


def expected(gy, w, H, W, S):
    """Through the matrix of the convolution, transposed: column by column, by unit images."""
    K, C = len(w), w.shape[2]
    I, J = gy.shape[:2]
    down, across = max((I - 1) * S + K - H, 0), max((J - 1) * S + K - W, 0)
    columns = []
    for k in range(H * W * C):
        unit = np.zeros(H * W * C)
        unit[k] = 1
        frame = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
        z = np.pad(unit.reshape(H, W, C), frame)
        windows = [[z[i * S : i * S + K, j * S : j * S + K] for j in range(J)] for i in range(I)]
        columns.append(np.einsum("ijpqc,pqcf->ijf", np.array(windows), w).ravel())
    return (np.array(columns) @ gy.ravel()).reshape(H, W, C)


def drawn(random, ones=False):
    """A random case: gy, w, H, W, S; a small one for ones."""
    K, C, F, H, W = random.integers(1, [4, 2, 3, 4, 4] if ones else [5, 3, 3, 6, 6])
    S = int(random.integers(1, 4))
    shape = -(-H // S), -(-W // S), F
    return np.ones(shape) if ones else random.normal(size=shape), random.normal(size=(K, K, C, F)), int(H), int(W), S


def check_scatter(f, random):
    expect_shape("gx", call(f, np.ones((2, 3, 5)), np.ones((3, 3, 2, 5)), 4, 6, 2), (4, 6, 2))
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, :, 0, 0] = 1, 10, 100
    gy, right = np.ones((1, 1, 1)), np.array([[1.0, 10, 100]])
    gx, case = call(f, gy, kernel, 1, 3, 3)[..., 0], {"gy": gy[0, :, 0], "w": kernel[1, :, 0, 0], "S": 3}
    if np.allclose(gx, right[:, ::-1]):
        text = "the kernel is turned round: y[0] was made from x[0] by the first entry, so x[0] gets that back"
        expect_close(text, gx, right, **case)
    expect_close("y[0] was made from x[0], x[1], x[2]; its blame goes there", gx, right, **case)
    text = "the zeros beside the image are blamed for nothing; gx[-1] would be its last pixel"
    expect_close(text, call(f, gy, kernel, 1, 1, 1)[..., 0], np.array([[10.0]]), gy=gy[0, :, 0], w=kernel[1, :, 0, 0])
    gy = np.ones((1, 5, 1))
    text = "a pixel is in several windows, and gets blame from each: they add up"
    expect_close(text, call(f, gy, kernel, 1, 5, 1)[..., 0], np.array([[11.0, 111, 111, 111, 110]]), gy=gy[0, :, 0],
                 w=kernel[1, :, 0, 0])  # fmt: skip
    gy = np.array([1.0, 5]).reshape(1, 2, 1)
    text = "with stride 2 on four pixels the one column of zeros is on the right"
    case = {"gy": gy[0, :, 0], "w": kernel[1, :, 0, 0], "S": 2}
    expect_close(text, call(f, gy, kernel, 1, 4, 2)[..., 0], np.array([[1.0, 10, 105, 50]]), **case)
    gy, w = np.array([[[1.0, 10]]]), np.array([[1.0, 2], [3, 4]]).reshape(1, 1, 2, 2)
    text = "gx[c] is the sum over f of gy[f] * w[c,f]: every filter sends its share to every channel"
    expect_close(text, call(f, gy, w, 1, 1, 1), np.array([[[21.0, 43]]]), gy=gy, w=w[0, 0])
    for _ in range(40):
        case = drawn(random)
        gy, w, H, W, S = case
        text = f"gy {gy.shape}, w {w.shape}, H {H}, W {W}, S {S}: <Ax, gy> is not <x, scatter(gy)>"
        expect_close(text, call(f, *case), expected(*case))


def check_fooled(f, random):
    for _ in range(20):
        case = drawn(random, ones=True)
        gy, w, H, W, S = case
        sizes = f"gy {gy.shape}, w {w.shape}, H {H}, W {W}, S {S}"
        text = f"with ones, {sizes}: `fooled` differs from `scatter`, so it is caught"
        expect_close(text, call(f, *case), expected(*case))
    caught = 0
    for _ in range(20):
        gy, w, H, W, S = drawn(random)
        if gy.size < 2:  # nothing to mix up
            continue
        x = random.normal(size=(H, W, w.shape[2]))
        caught += abs((expected(gy, w, H, W, S) * x).sum() - (call(f, gy, w, H, W, S) * x).sum()) > 1e-6
    if caught < 5:
        raise Wrong(f"the adjoint test rejects `fooled` in {caught} of 20 random cases: is it wrong at all?")


def check(answer):
    random = np.random.default_rng(0)
    check_scatter(answer.scatter, random)
    check_fooled(answer.fooled, random)
