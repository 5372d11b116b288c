"""The fast path: loops compiled by numba move and transform the data, NumPy's BLAS multiplies the matrices.

A convolution is a matrix product once the pixels under each kernel position lie in one row ("columns", Chellapilla et
al. 2006, known as im2col). `pack` makes these rows, `gather` is its adjoint, and the three maps of `reference.py`
are then one product each, a few images at a time so that the rows stay in the processor's cache:

    correlate:          y = pack(x) w          scatter:  x = gather(y w')          correlate_weights:  w = pack(x)' y

Every compiled function is in this file, since numba's cache does not notice a change in another one. They release
Python's lock, so that threads run side by side. float32, float64 and complex128 all work: the complex numbers are
there for the gradient checks, which is why squares are d*d and branches look at the real part.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .shapes import convolved

cache_folders = Path(__file__).parent / "__pycache__", Path(os.getenv("XDG_CACHE_HOME", "~/.cache")).expanduser()
there = [next(folder for folder in (wish, *wish.parents) if folder.exists()) for wish in cache_folders]
if not any(os.access(folder, os.W_OK) for folder in there):  # numba will not start without a place for its cache
    os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp())

from numba import njit  # noqa: E402  (only now that the cache has a place)

CACHED_BYTES = 1 << 22  # of packed rows at a time: more leaves the cache, less makes the products small


# ---------------------------------------------------------------------------------------------- convolution


@njit(cache=True, nogil=True, error_model="numpy")
def pack(x, columns, S, P, Q):
    """x (N,H,W,C) -> columns (N,I,J,K,K,C): columns[n,i,j,p,q,c] = x[n, i*S+p-P, j*S+q-Q, c], 0 outside x."""
    N, H, W, C = x.shape
    _, I, J, K, _, _ = columns.shape
    for n in range(N):
        for i in range(I):
            for j in range(J):
                for p in range(K):
                    row = i * S + p - P
                    for q in range(K):
                        column = j * S + q - Q
                        if 0 <= row < H and 0 <= column < W:
                            for c in range(C):
                                columns[n, i, j, p, q, c] = x[n, row, column, c]
                        else:
                            for c in range(C):
                                columns[n, i, j, p, q, c] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def gather(columns, x, S, P, Q):
    """columns (N,I,J,K,K,C) -> x (N,H,W,C): each pixel sums the entries that `pack` would have filled from it.

    Written from the pixel's side, a row of x at a time, so that the row stays in the cache while it is summed.
    """
    N, H, W, C = x.shape
    _, I, J, K, _, _ = columns.shape
    for n in range(N):
        for row in range(H):
            x[n, row] = 0
            for p in range(K):
                i = (row + P - p) // S
                if i * S != row + P - p or i < 0 or i >= I:
                    continue
                for j in range(J):
                    for q in range(K):
                        column = j * S + q - Q
                        if 0 <= column < W:
                            for c in range(C):
                                x[n, row, column, c] += columns[n, i, j, p, q, c]


def few_images(N: int, bytes_per_image: int) -> Iterator[slice]:
    """Slices of the batch whose packed rows take about CACHED_BYTES."""
    step = max(1, CACHED_BYTES // bytes_per_image)
    return (slice(start, min(start + step, N)) for start in range(0, N, step))


def packed(x: np.ndarray, K: int, S: int, padding: str) -> Iterator[tuple[slice, np.ndarray]]:
    """x (N,H,W,C) -> (images, rows (n*I*J, K*K*C)) for a few images at a time; the rows are overwritten each time."""
    N, H, W, C = x.shape
    if K == S == 1:  # every pixel already is its own row
        yield slice(0, N), x.reshape(-1, C)
        return
    (I, P), (J, Q) = convolved(H, K, S, padding), convolved(W, K, S, padding)
    columns = None
    for images in few_images(N, I * J * K * K * C * x.itemsize):
        n = images.stop - images.start
        if columns is None or len(columns) != n:
            columns = np.empty((n, I, J, K, K, C), x.dtype)
        pack(x[images], columns, S, P, Q)
        yield images, columns.reshape(n * I * J, K * K * C)


def correlate(x: np.ndarray, w: np.ndarray, S: int, padding: str) -> np.ndarray:
    """x (N,H,W,C), w (K,K,C,F) -> y (N,I,J,F); stride S, padding 'same' or 'valid'. The convolution of networks."""
    (N, H, W, C), (K, _, _, F) = x.shape, w.shape
    I, J = convolved(H, K, S, padding)[0], convolved(W, K, S, padding)[0]
    y = np.empty((N, I, J, F), np.result_type(x, w))
    for images, rows in packed(x, K, S, padding):
        np.matmul(rows, w.reshape(K * K * C, F), out=y[images].reshape(-1, F))
    return y


def scatter(y: np.ndarray, w: np.ndarray, S: int, padding: str, size: tuple[int, int]) -> np.ndarray:
    """y (N,I,J,F), w (K,K,C,F) -> x (N,H,W,C) with size = (H,W): the adjoint of `correlate` in x."""
    (N, I, J, F), (K, _, C, _), (H, W) = y.shape, w.shape, size
    transpose = w.reshape(K * K * C, F).T
    if K == S == 1:
        return (y.reshape(-1, F) @ transpose).reshape(N, H, W, C)
    P, Q = convolved(H, K, S, padding)[1], convolved(W, K, S, padding)[1]
    x = np.empty((N, H, W, C), np.result_type(y, w))
    for images in few_images(N, I * J * K * K * C * x.itemsize):
        rows = y[images].reshape(-1, F) @ transpose
        gather(rows.reshape(-1, I, J, K, K, C), x[images], S, P, Q)
    return x


def correlate_weights(x: np.ndarray, y: np.ndarray, K: int, S: int, padding: str) -> np.ndarray:
    """x (N,H,W,C), y (N,I,J,F) -> w (K,K,C,F): the adjoint of `correlate` in w."""
    C, F = x.shape[3], y.shape[3]
    w = np.zeros((K * K * C, F), np.result_type(x, y))
    for images, rows in packed(x, K, S, padding):
        w += rows.T @ y[images].reshape(-1, F)
    return w.reshape(K, K, C, F)


# ------------------------------------------------------------------------------- ReLU, sigmoid (flat arrays)


@njit(cache=True, nogil=True, error_model="numpy")
def relu(x):
    """x (n,) -> y (n,): y = x where x > 0, else 0."""
    y = np.empty_like(x)
    for k in range(x.size):
        y[k] = x[k] if x[k].real > 0 else 0 * x[k]
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def relu_backward(y, gy):
    """y, gy (n,) -> gx (n,): the gradient passes where the output is positive, and nowhere else."""
    gx = np.empty_like(gy)
    for k in range(gy.size):
        gx[k] = gy[k] if y[k].real > 0 else 0 * gy[k]
    return gx


@njit(cache=True, nogil=True, error_model="numpy")
def sigmoid(x):
    """x (n,) -> y (n,): y = 1 / (1 + e^-x), written so that the exponential never overflows."""
    y = np.empty_like(x)
    for k in range(x.size):
        if x[k].real >= 0:
            y[k] = 1 / (1 + np.exp(-x[k]))
        else:
            e = np.exp(x[k])
            y[k] = e / (1 + e)
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def sigmoid_backward(y, gy):
    """y, gy (n,) -> gx (n,): dy/dx = y (1 - y), so the output alone is needed."""
    gx = np.empty_like(gy)
    for k in range(gy.size):
        gx[k] = gy[k] * y[k] * (1 - y[k])
    return gx


# ------------------------------------------------------------------------------------------------- the loss


@njit(cache=True, nogil=True, error_model="numpy")
def squared_error_and_variation(y, target, a, b, eps, gy, sums):
    """y, target (N,H,W,C) -> sums (2,) and gy (N,H,W,C), the gradient of a*sums[0] + b*sums[1] in y.

    sums[0] = sum of (y - target)^2;  sums[1] = sum of r - eps with r = sqrt(dx^2 + dy^2 + eps^2), where
    dx = y[n,i,j+1,c] - y[n,i,j,c] and dy = y[n,i+1,j,c] - y[n,i,j,c], 0 where there is no neighbour.
    """
    N, H, W, C = y.shape
    for n in range(N):
        for i in range(H):
            for j in range(W):
                for c in range(C):
                    d = y[n, i, j, c] - target[n, i, j, c]
                    sums[0] += d * d
                    gy[n, i, j, c] = 2 * a * d
        for i in range(H):
            for j in range(W):
                for c in range(C):
                    dx = y[n, i, j + 1, c] - y[n, i, j, c] if j + 1 < W else 0 * y[n, i, j, c]
                    dy = y[n, i + 1, j, c] - y[n, i, j, c] if i + 1 < H else 0 * y[n, i, j, c]
                    r = np.sqrt(dx * dx + dy * dy + eps * eps)
                    sums[1] += r - eps
                    gy[n, i, j, c] -= b * (dx + dy) / r
                    if j + 1 < W:
                        gy[n, i, j + 1, c] += b * dx / r
                    if i + 1 < H:
                        gy[n, i + 1, j, c] += b * dy / r


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
