"""Exercise 1: the convolution of neural networks, as loops. Check it with: python -m lessons.check 01"""

import numpy as np


def correlate(x: np.ndarray, w: np.ndarray, b: np.ndarray, down: int, right: int) -> np.ndarray:
    """x (H,W,C), w (K,K,C,F), b (F,) -> y (I,J,F), one image, with a frame of zeros around it as lesson 1 lays it.

        y[i,j,f] = b[f] + sum over p,q,c of  x[i*down+p-P, j*right+q-Q, c] * w[p,q,c,f]

    where x is 0 outside the image. The kernel moves `down` rows at a time and `right` columns, and is laid down
    I = ceil(H/down) and J = ceil(W/right) times. P rows of zeros are above the image: half of max((I-1)*down+K-H, 0),
    rounded down. Q columns of zeros are left of it, likewise.
    """
    raise NotImplementedError
