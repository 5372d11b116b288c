"""A convolution with bias and ReLU, from seven loops to all cores: python -m scratch_ae.bench --ladder

Each rung is one idea more than the rung before, and is compared with the loops before it is timed.
"""

import time
from collections.abc import Callable

import numpy as np
from numba import njit

from . import kernels, reference
from .gradcheck import error
from .parallel import Team, shards
from .shapes import convolved

Rung = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # x (N,H,W,C), w (3,3,C,F), b (F,) -> y; stride 2


def loops(x, w, b):
    """Seven loops in Python."""
    return np.maximum(reference.correlate(x, w, 2, "same") + b, 0)


@njit(nogil=True, error_model="numpy")
def compiled(x, w, b):
    """The same loops, compiled by numba."""
    N, H, W, C = x.shape
    I, J, F = (H + 1) // 2, (W + 1) // 2, w.shape[3]
    y = np.zeros((N, I, J, F), x.dtype)
    for n in range(N):
        for i in range(I):
            for j in range(J):
                for f in range(F):
                    total = b[f]
                    for p in range(3):
                        for q in range(3):
                            row, column = 2 * i + p - H % 2, 2 * j + q - W % 2
                            if 0 <= row < H and 0 <= column < W:
                                for c in range(C):
                                    total += x[n, row, column, c] * w[p, q, c, f]
                    y[n, i, j, f] = max(total, 0)
    return y


def packed(x, w, b):
    """The pixels under the kernel packed into rows, and one product for the whole batch."""
    rows, shape = pack_all(x, w)
    return np.maximum((rows @ w.reshape(-1, w.shape[3]) + b).reshape(shape), 0)


def fused(x, w, b):
    """Bias and ReLU in one compiled pass, instead of two of NumPy's that make new arrays."""
    rows, shape = pack_all(x, w)
    y = rows @ w.reshape(-1, w.shape[3])
    kernels.add_bias(y, b, True)
    return y.reshape(shape)


def pack_all(x, w):
    (N, H, W, C), F = x.shape, w.shape[3]
    (I, P), (J, Q) = convolved(H, 3, 2, "same"), convolved(W, 3, 2, "same")
    columns = np.empty((N, I, J, 3, 3, C), x.dtype)
    kernels.pack(x, columns, 2, P, Q, 0)
    return columns.reshape(N * I * J, 9 * C), (N, I, J, F)


def in_parts(x, w, b):
    """A part of the batch at a time, so that the rows are still in the cache when they are multiplied."""
    return kernels.correlate(x, w, 2, "same", b, relu=True)


def on_threads(team: Team) -> Rung:
    def threaded(x, w, b):
        """The batch in shards, one for each thread."""
        y = np.empty((len(x), (x.shape[1] + 1) // 2, (x.shape[2] + 1) // 2, w.shape[3]), x.dtype)
        team.map(lambda s: kernels.correlate(x[s], w, 2, "same", b, True, y[s]), shards(len(x), team.threads))
        return y

    return threaded


def climb(threads: int) -> None:
    """Print each rung's time and speed for the second layer of the rose network, batch 32."""
    rng = np.random.default_rng(0)
    large, small = case(rng, 32, 64, 64, 32, 64), case(rng, 1, 9, 8, 4, 6)
    expected = loops(*(a.astype(np.float64) for a in small))
    print(f"convolution 3x3, stride 2, 32 -> 64 channels, 32 images of 64x64; the last rung on {threads} threads\n")
    print(f"{'':88}{'ms':>10}{'GFLOP/s':>9}")
    with Team(1).blas.limit(limits=1, user_api="blas"):
        for rung in (loops, compiled, packed, fused, in_parts, on_threads(Team(threads))):
            off = error(rung(*small), expected)
            assert off < 1e-6, f"{rung.__name__} is off by {off:.0e}"
            x, w, b = large if rung is not loops else case(rng, 1, 16, 16, 32, 64)  # the loops would take ten minutes
            times = []
            for _ in range(1 if rung is loops else 7):
                start = time.perf_counter()
                y = rung(x, w, b)
                times.append((time.perf_counter() - start) * 1e3)
            work, scale = 2 * y.size * w[..., 0].size, len(large[0]) * 16 if rung is loops else 1
            title = (rung.__doc__ or "").split("\n")[0] + " *" * (rung is loops)
            print(f"{title:88}{np.median(times) * scale:10.1f}{work / np.median(times) / 1e6:9.2f}", flush=True)
    print("\n* timed on one image of 16x16, and multiplied")


def case(rng: np.random.Generator, N: int, H: int, W: int, C: int, F: int) -> tuple[np.ndarray, ...]:
    shapes = (N, H, W, C), (3, 3, C, F), (F,)
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return x, w / np.float32(3 * C**0.5), b
