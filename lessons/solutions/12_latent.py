from collections.abc import Callable

import numpy as np


def interpolate(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    alpha = np.arange(count)[:, None] / (count - 1)
    return (1 - alpha) * a + alpha * b


def sheet(
    decode: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, rows: int, columns: int
) -> np.ndarray:
    across, down = np.linspace(low[0], high[0], columns), np.linspace(low[1], high[1], rows)
    lines = []
    for second in down:
        images = decode(np.array([[first, second] for first in across]))
        lines.append(np.concatenate(list(images), axis=1))
    return np.concatenate(lines, axis=0)
