"""The fast path: loops compiled by numba move and transform the data, NumPy's BLAS multiplies the matrices.

A convolution is a matrix product once the pixels under each kernel position lie in one row ("columns", Chellapilla et
al. 2006, known as im2col). `pack` makes these rows, `gather` is its adjoint, and the three maps of `reference.py`
are then one product each, a few images at a time so that the rows stay in the processor's cache:

    correlate:          y = pack(x) w          scatter:  x = gather(y w')          correlate_weights:  w = pack(x)' y

Every compiled function is in this file, since numba's cache does not notice a change in another one. They release
Python's lock, so that threads run side by side. float32, float64 and complex128 all work: the complex numbers are
there for the gradient checks, which is why squares are d*d and branches look at the real part.
"""

import math
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .shapes import convolved

cache_folders = Path(__file__).parent / "__pycache__", Path(os.getenv("XDG_CACHE_HOME", "~/.cache")).expanduser()
there = [next(folder for folder in (wish, *wish.parents) if folder.exists()) for wish in cache_folders]
if not any(os.access(folder, os.W_OK) for folder in there):  # numba will not start without a place for its cache
    os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp())

from numba import njit  # noqa: E402  (only now that the cache has a place)

Size = tuple[int, int]
Bias = np.ndarray | None
Out = np.ndarray | None  # an array to write to, or None for a new one

CACHED_BYTES = 1 << 21  # of packed rows at a time: more leaves the cache, less makes the products small


# ---------------------------------------------------------------------------------------------- convolution


@njit(cache=True, nogil=True, error_model="numpy")
def rectified(x):
    """A number x where it is positive, else 0 (nan stays nan, since 0 * nan is nan)."""
    return x if x.real > 0 else 0 * x


@njit(cache=True, nogil=True, error_model="numpy")
def pack(x, columns, S, P, Q, top):
    """x (N,H,W,C) -> columns (N,I,J,K,K,C): columns[n,i,j,p,q,c] = x[n, (top+i)*S+p-P, j*S+q-Q, c], 0 outside x."""
    N, H, W, C = x.shape
    _, I, J, K, _, _ = columns.shape
    for n in range(N):
        for i in range(I):
            for j in range(J):
                for p in range(K):
                    row = (top + i) * S + p - P
                    for q in range(K):
                        column = j * S + q - Q
                        if 0 <= row < H and 0 <= column < W:
                            for c in range(C):
                                columns[n, i, j, p, q, c] = x[n, row, column, c]
                        else:
                            for c in range(C):
                                columns[n, i, j, p, q, c] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def gather(columns, x, S, P, Q, top, first, last, b, relu):
    """columns (N,I,J,K,K,C), b (C,) -> rows first to last of x (N,H,W,C): each pixel sums b and what `pack` took there.

    columns begin with line `top`. Where `relu`, what is below 0 becomes 0. Written from the pixel's side, a row of x at
    a time, so that the row stays in the cache until it is complete.
    """
    N, _, W, C = x.shape
    _, I, J, K, _, _ = columns.shape
    for n in range(N):
        for row in range(first, last):
            x[n, row] = b
            for p in range(K):
                i = (row + P - p) // S - top
                if (i + top) * S != row + P - p or i < 0 or i >= I:
                    continue
                for j in range(J):
                    for q in range(K):
                        column = j * S + q - Q
                        if 0 <= column < W:
                            for c in range(C):
                                x[n, row, column, c] += columns[n, i, j, p, q, c]
            if relu:
                for column in range(W):
                    for c in range(C):
                        x[n, row, column, c] = rectified(x[n, row, column, c])


def parts(N: int, lines: int, bytes_per_line: int) -> Iterator[tuple[slice, slice]]:
    """(images, lines) that cut N images of so many lines into equal parts of at most CACHED_BYTES, if a line fits.

    Parts are whole images where these fit, or else lines of one image.
    """
    most = max(1, CACHED_BYTES // bytes_per_line)
    if most < lines:
        cuts = -(-lines // most)
        for n in range(N):
            for k in range(cuts):
                yield slice(n, n + 1), slice(lines * k // cuts, lines * (k + 1) // cuts)
    else:
        cuts = -(-N // (most // lines))
        for k in range(cuts):
            yield slice(N * k // cuts, N * (k + 1) // cuts), slice(0, lines)


kept = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory for what is soon read again: each thread's own, overwritten at the next call with the same name.

    Memory from the system costs more time than what is computed in it, and this stays in the processor's cache.
    """
    size = math.prod(shape) * dtype.itemsize
    if len(vars(kept).get(name, b"")) < size:
        setattr(kept, name, np.empty(size, np.uint8))
    return getattr(kept, name)[:size].view(dtype).reshape(shape)


def packed(x: np.ndarray, K: int, S: int, padding: str) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """x (N,H,W,C) -> ((images, lines) of y, rows (n*i*J, K*K*C)), part by part; the rows are scratch."""
    N, H, W, C = x.shape
    if K == S == 1:  # every pixel already is its own row
        yield (slice(0, N), slice(0, H)), x.reshape(-1, C)
        return
    (I, P), (J, Q) = convolved(H, K, S, padding), convolved(W, K, S, padding)
    for images, lines in parts(N, I, J * K * K * C * x.itemsize):
        columns = scratch("columns", (images.stop - images.start, lines.stop - lines.start, J, K, K, C), x.dtype)
        pack(x[images], columns, S, P, Q, lines.start)
        yield (images, lines), columns.reshape(-1, K * K * C)


def correlate(
    x: np.ndarray, w: np.ndarray, S: int, padding: str, b: Bias = None, relu: bool = False, y: Out = None
) -> np.ndarray:
    """x (N,H,W,C), w (K,K,C,F) -> y (N,I,J,F); stride S, padding 'same' or 'valid'. The convolution of networks.

    With b (F,) the bias is added, and with `relu` too what is then below 0 becomes 0. y is the array to write to.
    """
    (N, H, W, _), (K, _, _, F) = x.shape, w.shape
    if y is None:
        y = np.empty((N, convolved(H, K, S, padding)[0], convolved(W, K, S, padding)[0], F), np.result_type(x, w))
    for part, rows in packed(x, K, S, padding):
        pixels = y[part].reshape(-1, F)
        np.matmul(rows, w.reshape(-1, F), out=pixels)
        if b is not None:
            add_bias(pixels, b, relu)
    return y


def scatter(
    y: np.ndarray, w: np.ndarray, S: int, padding: str, size: Size, b: Bias = None, relu: bool = False, x: Out = None
) -> np.ndarray:
    """y (N,I,J,F), w (K,K,C,F) -> x (N,H,W,C) with size = (H,W): the adjoint of `correlate` in x.

    With b (C,) the bias is added, and with `relu` too what is then below 0 becomes 0. x is the array to write to.
    """
    (N, I, J, F), (K, _, C, _), (H, W) = y.shape, w.shape, size
    if x is None:
        x = np.empty((N, H, W, C), np.result_type(y, w))
    if K == S == 1:  # every row already is its own pixel
        np.matmul(y.reshape(-1, F), w.reshape(C, F).T, out=x.reshape(-1, C))
        if b is not None:
            add_bias(x.reshape(-1, C), b, relu)
        return x
    b = np.zeros(C, x.dtype) if b is None else b
    P, Q = convolved(H, K, S, padding)[1], convolved(W, K, S, padding)[1]
    columns = x[:, :0]
    for images, lines in parts(N, I, J * K * K * C * x.itemsize):
        again = min((K - 1) // S, lines.start)  # lines of the part before that reach into the rows of this one
        shape = images.stop - images.start, again + lines.stop - lines.start, J, K, K, C
        before, columns = columns, scratch("columns", shape, x.dtype)
        if again:
            columns[:, :again] = before[:, -again:]
        np.matmul(y[images, lines].reshape(-1, F), w.reshape(-1, F).T, out=columns[:, again:].reshape(-1, K * K * C))
        rows = max(lines.start * S - P, 0), H if lines.stop == I else lines.stop * S - P
        gather(columns, x[images], S, P, Q, lines.start - again, *rows, b, relu)
    return x


def correlate_weights(
    x: np.ndarray, y: np.ndarray, K: int, S: int, padding: str, w: Out = None, add: bool = False
) -> np.ndarray:
    """x (N,H,W,C), y (N,I,J,F) -> w (K,K,C,F): the adjoint of `correlate` in w.

    w is the array to write to, and with `add` what it holds already is added to.
    """
    C, F = x.shape[3], y.shape[3]
    w = np.empty((K, K, C, F), np.result_type(x, y)) if w is None else w
    for k, (part, rows) in enumerate(packed(x, K, S, padding)):
        product(rows.T, y[part].reshape(-1, F), w.reshape(-1, F), add or k > 0)
    return w


def correlate_both(
    x: np.ndarray, w: np.ndarray, y: np.ndarray, S: int, padding: str, ay: np.ndarray, aw: np.ndarray, add: bool
) -> None:
    """Writes ay = correlate(x, w) and aw = correlate_weights(x, y), for which x is packed only once.

    With `add`, aw is added to what that array holds already.
    """
    K, _, _, F = w.shape
    for k, (part, rows) in enumerate(packed(x, K, S, padding)):
        np.matmul(rows, w.reshape(-1, F), out=ay[part].reshape(-1, F))
        product(rows.T, y[part].reshape(-1, F), aw.reshape(-1, F), add or k > 0)


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray, add: bool) -> None:
    """out = a b, or with `add` out += a b."""
    if add:
        out += a @ b
    else:
        np.matmul(a, b, out=out)


# --------------------------------------------------------------------------------------- bias, ReLU, sigmoid


@njit(cache=True, nogil=True, error_model="numpy")
def add_bias(x, b, relu):
    """x (n,F) += b (F,), in place; with `relu` what is then below 0 becomes 0."""
    for n in range(x.shape[0]):
        for f in range(x.shape[1]):
            x[n, f] += b[f]
        if relu:
            for f in range(x.shape[1]):
                x[n, f] = rectified(x[n, f])


@njit(cache=True, nogil=True, error_model="numpy")
def add_bias_backward(y, gy, gx, gb, relu):
    """y, gy (n,F) -> gx (n,F): with `relu` what of gy passes it, else gy. The sum of gx over n is added to gb (F,)."""
    for n in range(y.shape[0]):
        for f in range(y.shape[1]):
            gx[n, f] = gy[n, f] if not relu or y[n, f].real > 0 else 0 * gy[n, f]
            gb[f] += gx[n, f]


def before_bias(y: np.ndarray, gy: np.ndarray, gb: np.ndarray, relu: bool) -> np.ndarray:
    """y, gy (N,I,J,F) -> what of gy passes the ReLU, in scratch memory. Its sum over all pixels is added to gb (F,)."""
    gz = scratch("gz", gy.shape, gy.dtype)
    F = len(gb)
    add_bias_backward(y.reshape(-1, F), np.ascontiguousarray(gy).reshape(-1, F), gz.reshape(-1, F), gb, relu)
    return gz


@njit(cache=True, nogil=True, error_model="numpy")
def relu(x):
    """x (n,) -> y (n,): y = x where x > 0, else 0."""
    y = np.empty_like(x)
    for k in range(x.size):
        y[k] = rectified(x[k])
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def relu_backward(y, gy):
    """y, gy (n,) -> gx (n,): the gradient passes where the output is positive, and nowhere else."""
    gx = np.empty_like(gy)
    for k in range(gy.size):
        gx[k] = gy[k] if y[k].real > 0 else 0 * gy[k]
    return gx


def sigmoid(x: np.ndarray, y: Out = None) -> np.ndarray:
    """x -> y = 1 / (1 + e^-x), any shape. NumPy's exponential takes a quarter of the time of numba's."""
    y = np.negative(x, out=y)
    with np.errstate(over="ignore"):  # e^-x may be infinite, and then y is 0, as it should be
        np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


@njit(cache=True, nogil=True, error_model="numpy")
def sigmoid_backward(y, gy, gx):
    """y, gy (n,) -> gx (n,): dy/dx = y (1 - y), so the output alone is needed."""
    for k in range(gy.size):
        gx[k] = gy[k] * y[k] * (1 - y[k])


# ------------------------------------------------------------------------------------------------- the loss


@njit(cache=True, nogil=True, error_model="numpy")
def squared_error_and_variation(y, target, a, b, eps, gy, sums):
    """y, target (N,H,W,C) -> sums (2,) and gy (N,H,W,C), the gradient of a*sums[0] + b*sums[1] in y.

    sums[0] = sum of (y - target)^2;  sums[1] = sum of r - eps with r = sqrt(dx^2 + dy^2 + eps^2), where
    dx = y[n,i,j+1,c] - y[n,i,j,c] and dy = y[n,i+1,j,c] - y[n,i,j,c], 0 where there is no neighbour. A row at a time,
    k = j*C + c, in loops without branches, which the compiler turns into vector instructions.
    """
    N, H, W, C = y.shape
    L = W * C
    ys, targets, gys = y.reshape(N, H, L), target.reshape(N, H, L), gy.reshape(N, H, L)
    dx, r, from_left = np.zeros(L, y.dtype), np.zeros(L, y.dtype), np.zeros(L + C, y.dtype)
    from_above = np.zeros((2, L), y.dtype)
    for n in range(N):
        from_above[0] = 0
        for i in range(H):
            here, below, wanted, g = ys[n, i], ys[n, min(i + 1, H - 1)], targets[n, i], gys[n, i]
            above, down = from_above[i % 2], from_above[1 - i % 2]
            for k in range(L - C):
                dx[k] = here[k + C] - here[k]
            for k in range(L):
                dy = below[k] - here[k]
                r[k] = np.sqrt(dx[k] * dx[k] + dy * dy + eps * eps)
                from_left[k + C] = dx[k] / r[k]
                down[k] = dy / r[k]
            for k in range(L):
                g[k] = 2 * a * (here[k] - wanted[k]) + b * (from_left[k] - from_left[k + C] + above[k] - down[k])
            for k in range(L):
                d = here[k] - wanted[k]
                sums[0] += d * d
                sums[1] += r[k] - eps


# ------------------------------------------------------------------------------------------------- Adam


@njit(cache=True, nogil=True, error_model="numpy")
def adam(p, g, m, v, decay1, gain1, decay2, gain2, rate, scale, eps):
    """One step on flat arrays (n,), in place: parameters p, moments m and v; g is only read.

    m = decay1*m + gain1*g;  v = decay2*v + gain2*g^2;  p -= rate * m / (sqrt(scale*v) + eps)
    """
    for k in range(p.size):
        m[k] = decay1 * m[k] + gain1 * g[k]
        v[k] = decay2 * v[k] + gain2 * (g[k] * g[k])
        p[k] -= rate * m[k] / (np.sqrt(scale * v[k]) + eps)
