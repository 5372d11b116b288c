import numpy as np

from scratch_ae.layers import Layer


def accepts(layer: Layer, x: np.ndarray) -> bool:
    names = [name for name in ("w", "b") if hasattr(layer, name)]
    arrays = [x, *(getattr(layer, name) for name in names)]
    if any(array.dtype != np.float64 for array in arrays):
        raise TypeError("a gradient check needs float64")
    y = layer.forward(x)
    gy = np.random.default_rng(0).normal(size=y.shape)
    gradients = [layer.backward(gy.copy()), *(getattr(layer, "g" + name) for name in names)]
    for array, gradient in zip(arrays, gradients, strict=True):
        quotients, step = np.empty_like(array), 1e-5
        for k in np.ndindex(array.shape):
            kept = array[k]
            array[k] = kept + step
            above = (layer.forward(x) * gy).sum()
            array[k] = kept - step
            below = (layer.forward(x) * gy).sum()
            array[k] = kept
            quotients[k] = (above - below) / (2 * step)
        if np.linalg.norm(gradient - quotients) > 1e-6 * np.linalg.norm(quotients):
            return False
    return True
