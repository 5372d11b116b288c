"""Exercise 12: a way and a sheet through the latent space. Check it with: python -m lessons.check 12"""

from collections.abc import Callable

import numpy as np


def interpolate(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """a (K,), b (K,) -> (count, K): codes on the straight path from a to b, in equal steps; count is at least 2.

    The first is a and the last is b, both to the bit.
    """
    raise NotImplementedError


def sheet(
    decode: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, rows: int, columns: int
) -> np.ndarray:
    """A rectangle of the plane, decoded -> one picture (rows*H, columns*W, C); rows and columns are at least 2.

    decode turns codes (n, 2) into n images (n, H, W, C), which touch in the picture. The image at the top left is that
    of the code `low`, at the bottom right that of `high`. The first number of the code grows to the right, the second
    downwards, each in equal steps from low to high. Decoding many codes at once is faster: call decode at most once a
    row.
    """
    raise NotImplementedError
