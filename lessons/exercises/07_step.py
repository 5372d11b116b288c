"""Exercise 7: Adam. Check it with: python -m lessons.check 07

beta1 is 0.9, beta2 is 0.999, eps is 1e-8: Kingma & Ba 2015, algorithm 1. All arrays are float64, and none of those that
are passed in may change: what is returned are new ones.
"""

import numpy as np


def step(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of one array, of any shape: the new (p, m, v), each of the shape of p.

    p are the parameters and g their gradient, m and v what the step before returned (all 0 before the first one). t is
    the number of this step: 1 for the first, 2 for the second.
    """
    raise NotImplementedError


def step_all(
    p: dict[str, np.ndarray],
    g: dict[str, np.ndarray],
    m: dict[str, np.ndarray],
    v: dict[str, np.ndarray],
    t: int,
    rate: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """One step of all the arrays of a network, which have the same names in all four dictionaries: new (p, m, v, t).

    Here t is how many steps were taken before, 0 at the start; what is returned is how many there are now. You may call
    your `step`.
    """
    raise NotImplementedError
