"""A convolution with bias and ReLU, from seven loops to all cores: python -m scratch_ae.bench --ladder

Each rung adds one idea to the rung before, and is compared with the loops before it is timed.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from . import kernels, reference
from .gradcheck import error
from .parallel import Team, shards
from .peers import seconds

Rung = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # x (N,H,W,C), w (3,3,C,F), b (F,) -> y; stride 2


def loops(x, w, b):
    """Seven loops in Python."""
    return np.maximum(reference.correlate(x, w, 2, "same") + b, 0)


@njit(nogil=True, error_model="numpy")
def compiled(x, w, b):
    """The loops of the formula, a sum for each filter, compiled by numba."""
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


@njit(nogil=True, error_model="numpy")
def filters_innermost(x, w, b):
    """All filters of a pixel in the innermost loop, which becomes vector instructions."""
    N, H, W, C = x.shape
    I, J, F = (H + 1) // 2, (W + 1) // 2, w.shape[3]
    y = np.empty((N, I, J, F), x.dtype)
    for n in range(N):
        for i in range(I):
            for j in range(J):
                sums = b.copy()
                for p in range(3):
                    for q in range(3):
                        row, column = 2 * i + p - H % 2, 2 * j + q - W % 2
                        if 0 <= row < H and 0 <= column < W:
                            for c in range(C):
                                for f in range(F):
                                    sums[f] += x[n, row, column, c] * w[p, q, c, f]
                for f in range(F):
                    y[n, i, j, f] = max(sums[f], 0)
    return y


def one_product(x, w, b):
    """The pixels under the kernel copied into rows ("im2col"), and one product of BLAS."""
    (_, H, W, C), F = x.shape, w.shape[3]
    around = [(0, 0), (H % 2, 1), (W % 2, 1), (0, 0)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, around), (3, 3), axis=(1, 2))[:, ::2, ::2]
    rows = np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3))  # (N,I,J,3,3,C)
    return np.maximum((rows.reshape(-1, 9 * C) @ w.reshape(-1, F) + b).reshape(*rows.shape[:3], F), 0)


def in_registers(x, w, b):
    """Line by line, each tile of the result held in registers: what the package does."""
    return kernels.correlate(x, w, 2, "same", b, relu=True)


def on_threads(team: Team) -> Rung:
    def threaded(x, w, b):
        """The batch in shards, one for each thread."""
        return np.concatenate(team.map(lambda s: in_registers(x[s], w, b), shards(len(x), team.threads)))

    return threaded


def climb(threads: int) -> None:
    """Print each rung's time and speed for a convolution, 32 -> 64 channels, on 32 images of 64x64."""
    rng = np.random.default_rng(0)
    large, small = case(rng, 32, 64, 64, 32, 64), case(rng, 1, 9, 8, 4, 6)
    expected = loops(*(a.astype(np.float64) for a in small))
    print(f"convolution 3x3, stride 2, 32 -> 64 channels, 32 images of 64x64; the last rung on {threads} threads\n")
    print(f"{'':88}{'ms':>10}{'GFLOP/s':>9}")
    with threadpool_limits(1, user_api="blas"):
        for rung in (loops, compiled, filters_innermost, one_product, in_registers, on_threads(Team(threads))):
            off = error(rung(*small), expected)
            assert off < 1e-6, f"{rung.__name__} is off by {off:.0e}"
            slow = rung is loops  # which would take ten minutes
            x, w, b = case(rng, 1, 16, 16, 32, 64) if slow else large
            times = [1e3 * seconds(partial(rung, x, w, b)) for _ in range(1 if slow else 7)]
            work, scale = 2 * (x[..., 0].size // 4) * w.size, len(large[0]) * 16 if slow else 1
            title = (rung.__doc__ or "").split("\n")[0] + (" *" if slow else "")
            print(f"{title:88}{np.median(times) * scale:10.1f}{work / np.median(times) / 1e6:9.2f}", flush=True)
    print("\n* timed on one image of 16x16, and multiplied")


def case(rng: np.random.Generator, N: int, H: int, W: int, C: int, F: int) -> tuple[np.ndarray, ...]:
    shapes = (N, H, W, C), (3, 3, C, F), (F,)
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return x, w / np.float32(3 * C**0.5), b
