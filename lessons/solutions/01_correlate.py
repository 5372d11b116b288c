import numpy as np


def correlate(x: np.ndarray, w: np.ndarray, b: np.ndarray, down: int, right: int) -> np.ndarray:
    (H, W, C), (K, _, _, F) = x.shape, w.shape
    I, J = -(-H // down), -(-W // right)
    P, Q = max((I - 1) * down + K - H, 0) // 2, max((J - 1) * right + K - W, 0) // 2
    y = np.zeros((I, J, F))
    for i in range(I):
        for j in range(J):
            for f in range(F):
                y[i, j, f] = b[f]
                for p in range(K):
                    for q in range(K):
                        row, column = i * down + p - P, j * right + q - Q
                        if 0 <= row < H and 0 <= column < W:
                            for c in range(C):
                                y[i, j, f] += x[row, column, c] * w[p, q, c, f]
    return y
