"""Exercise 4: the gradient of a convolution in its input. Check it with: python -m lessons.check 04"""

import numpy as np


def scatter(gy: np.ndarray, w: np.ndarray, H: int, W: int, S: int) -> np.ndarray:
    """gy (I,J,F), w (K,K,C,F) -> gx (H,W,C), one image: the adjoint of the convolution of exercise 1.

    That was y[i,j,f] = sum over p,q,c of x[i*S+p-P, j*S+q-Q, c] * w[p,q,c,f], here without a bias, with one stride S
    both ways and the same frame of zeros: I = ceil(H/S), P half of max((I-1)*S+K-H, 0), rounded down; J, Q likewise.
    Each gy[i,j,f] is spread over the pixels that y[i,j,f] was made from.
    """
    raise NotImplementedError


def fooled(gy: np.ndarray, w: np.ndarray, H: int, W: int, S: int) -> np.ndarray:
    """A wrong `scatter`, which nevertheless agrees with the right one whenever gy is nothing but ones.

    Then a check with an upstream gradient of ones lets it pass, for every size, kernel and stride, and the adjoint test
    with a random gy does not. You may call your `scatter` in it.
    """
    raise NotImplementedError
