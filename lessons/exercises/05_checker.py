"""Exercise 5: a gradient check that cannot be fooled. Check it with: python -m lessons.check 05"""

import numpy as np

from scratch_ae.layers import Layer


def accepts(layer: Layer, x: np.ndarray) -> bool:
    """Whether layer.backward is the derivative of layer.forward at x (N, ...).

    Layers that have weights hold them as layer.w and layer.b, and after backward their gradients as layer.gw and
    layer.gb. TypeError unless x and the weights are float64: in float32 a difference quotient is mostly rounding.
    """
    raise NotImplementedError
