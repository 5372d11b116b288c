"""What is punished, and how good a picture is.

The loss is (1-w) * mean squared error + w * total variation. The error asks for the right colour at every pixel; the
variation asks neighbours to agree and so punishes speckle (Rudin, Osher & Fatemi 1992). PSNR and SSIM are not trained
for: they only measure.
"""

import math

import numpy as np

from . import kernels

EPS = 1e-3  # rounds the corner of the variation, which otherwise has no gradient where an image is flat


def loss(y: np.ndarray, target: np.ndarray, tv_weight: float, batch: int | None = None) -> tuple[float, np.ndarray]:
    """The loss of images y (N,H,W,C) in [0,1] against their targets, and its gradient in y (N,H,W,C).

    MSE is the mean of (y - target)^2, TV the mean over images, pixels and channels of sqrt(dx^2 + dy^2 + EPS^2) - EPS:
    0 on a flat image, smooth everywhere, and independent of the number of images. `tv_weight` w is in [0,1]. If the
    images are part of a larger batch, `batch` is its size, and the parts' losses and gradients add up to its own.
    """
    if y.ndim != 4 or y.shape != target.shape:
        raise ValueError(f"loss: prediction {y.shape} and target {target.shape}, wanted the same (N,H,W,C) for both")
    if y.dtype.kind not in "fc":  # as integers the factors below would be 0
        raise ValueError(f"loss: the prediction is of type {y.dtype}, wanted floating-point numbers in [0,1]")
    count = (batch or len(y)) * math.prod(y.shape[1:])
    a, b, eps = (y.dtype.type(factor) for factor in ((1 - tv_weight) / count, tv_weight / count, EPS))
    y, target = np.ascontiguousarray(y), np.ascontiguousarray(target)
    gy, sums = np.empty_like(y), np.zeros(2, np.result_type(np.float64, y))  # a sum of many: float64 even in training
    kernels.squared_error_and_variation(y, target, a, b, eps, gy, sums)
    return (a * sums[0] + b * sums[1]).item(), gy


def psnr(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of each image, y and target (N,H,W,C) in [0,1] -> (N,); inf where equal."""
    error = np.square(np.subtract(y, target, dtype=np.float64)).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)


def ssim(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, y and target (N,H,W,C) in [0,1] -> (N,), 1 where equal.

    Wang et al. 2004: means and population covariances under a Gaussian window (sigma 1.5, 11 taps), averaged over all
    positions where the window fits, and over channels. Raises ValueError for images smaller than the window.
    """
    if min(y.shape[1:3]) < 11:
        raise ValueError(f"ssim: the images are {y.shape[1]}x{y.shape[2]}, wanted at least 11x11")
    rows, columns = window(y.shape[1]), window(y.shape[2])

    def mean(images: np.ndarray) -> np.ndarray:  # (N,C,H,W), under the window
        return rows @ images @ columns.T

    y, t = (np.moveaxis(image, 3, 1).astype(np.float64, order="C") for image in (y, target))
    my, mt = mean(y), mean(t)
    vy, vt, covariance = mean(y * y) - my * my, mean(t * t) - mt * mt, mean(y * t) - my * mt
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * my * mt + c1) * (2 * covariance + c2) / ((my * my + mt * mt + c1) * (vy + vt + c2))
    return similarity.mean((1, 2, 3))


def window(size: int) -> np.ndarray:
    """(size-10, size): each row holds the 11 Gaussian weights, one pixel further on than the row before."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    return np.sum([weight * np.eye(size - 10, size, k) for k, weight in enumerate(weights / weights.sum())], axis=0)
