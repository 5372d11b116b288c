"""The seven loops: slow, obvious, and the judge of every kernel.

    y[n,i,j,f] = sum over p,q,c of  x[n, i*S+p-P, j*S+q-Q, c] * w[p,q,c,f]

Three maps come from this one formula. Read it as a map from x to y and it is `correlate`, the convolution of neural
networks. Read it backwards, from y to x, and it is `scatter`, its adjoint. Ask how y changes with w and it is
`correlate_weights`. The loops are the same; only the line in the middle differs.

This file imports nothing of the package and works out its own padding, so that it shares no mistake with the rest.
Arrays: x (N,H,W,C), w (K,K,C,F), y (N,I,J,F). All results are accumulated in float64 (complex128 for complex input).
"""

from collections.abc import Iterator

import numpy as np


def taps(H: int, W: int, K: int, S: int, padding: str) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (i, j, p, q, row, column): output pixel (i,j) sees input pixel (row,column) through kernel entry (p,q)."""
    I, J = output_size(H, K, S, padding), output_size(W, K, S, padding)
    P, Q = zeros_before(H, K, S, padding), zeros_before(W, K, S, padding)
    for i in range(I):
        for j in range(J):
            for p in range(K):
                for q in range(K):
                    row, column = i * S + p - P, j * S + q - Q
                    if 0 <= row < H and 0 <= column < W:  # outside x everything is 0
                        yield i, j, p, q, row, column


def output_size(H: int, K: int, S: int, padding: str) -> int:
    """How often the kernel is laid down along an axis of H pixels, counted by laying it down."""
    return len([start for start in range(0, H, S) if padding == "same" or start + K <= H])


def zeros_before(H: int, K: int, S: int, padding: str) -> int:
    """The zeros on the left: as many as on the right, or one fewer."""
    if padding == "valid":
        return 0
    last = (output_size(H, K, S, padding) - 1) * S + K  # where the last kernel ends with no zeros before
    return max(last - H, 0) // 2


def correlate(x: np.ndarray, w: np.ndarray, S: int, padding: str) -> np.ndarray:
    """x (N,H,W,C), w (K,K,C,F) -> y (N,I,J,F)."""
    (N, H, W, C), (K, _, _, F) = x.shape, w.shape
    y = np.zeros((N, output_size(H, K, S, padding), output_size(W, K, S, padding), F), np.result_type(float, x, w))
    for n in range(N):
        for i, j, p, q, row, column in taps(H, W, K, S, padding):
            for c in range(C):
                for f in range(F):
                    y[n, i, j, f] += x[n, row, column, c] * w[p, q, c, f]
    return y


def scatter(y: np.ndarray, w: np.ndarray, S: int, padding: str, size: tuple[int, int]) -> np.ndarray:
    """y (N,I,J,F), w (K,K,C,F) -> x (N,H,W,C) with size = (H,W): each y is spread over the pixels that it came from."""
    (N, _, _, F), (K, _, C, _), (H, W) = y.shape, w.shape, size
    x = np.zeros((N, H, W, C), np.result_type(float, y, w))
    for n in range(N):
        for i, j, p, q, row, column in taps(H, W, K, S, padding):
            for c in range(C):
                for f in range(F):
                    x[n, row, column, c] += y[n, i, j, f] * w[p, q, c, f]
    return x


def correlate_weights(x: np.ndarray, y: np.ndarray, K: int, S: int, padding: str) -> np.ndarray:
    """x (N,H,W,C), y (N,I,J,F) -> w (K,K,C,F): every product of an input and an output, at the entry joining them."""
    (N, H, W, C), F = x.shape, y.shape[3]
    w = np.zeros((K, K, C, F), np.result_type(float, x, y))
    for n in range(N):
        for i, j, p, q, row, column in taps(H, W, K, S, padding):
            for c in range(C):
                for f in range(F):
                    w[p, q, c, f] += x[n, row, column, c] * y[n, i, j, f]
    return w
