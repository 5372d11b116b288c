import numpy as np


def step(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    mean, square = m / (1 - 0.9**t), v / (1 - 0.999**t)  # m and v themselves stay as they are
    return p - rate * mean / (np.sqrt(square) + 1e-8), m, v


def step_all(
    p: dict[str, np.ndarray],
    g: dict[str, np.ndarray],
    m: dict[str, np.ndarray],
    v: dict[str, np.ndarray],
    t: int,
    rate: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray], int]:
    t += 1  # once for all arrays
    new = {name: step(p[name], g[name], m[name], v[name], t, rate) for name in p}
    p, m, v = ({name: arrays[k] for name, arrays in new.items()} for k in range(3))
    return p, m, v, t
