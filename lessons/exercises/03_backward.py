"""Exercise 3: three layers, backwards. Check it with: python -m lessons.check 03

Each function gets gy, the gradient of the loss in what the layer returned, and gives back the gradients in what went
in. Others read gy too, so it must stay as it is.
"""

import numpy as np


def dense_backward(x: np.ndarray, w: np.ndarray, gy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The forward is y = x @ w + b with x (N,C), w (C,F), b (F,). From gy (N,F): gx (N,C), gw (C,F), gb (F,)."""
    raise NotImplementedError


def relu_backward(x: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """The forward is y = max(x, 0), for any shape. Where x is 0, the gradient is taken as 0."""
    raise NotImplementedError


def sigmoid_backward(y: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """The forward returned y = 1 / (1 + e^-x), for any shape; x is not kept, since y is enough."""
    raise NotImplementedError
