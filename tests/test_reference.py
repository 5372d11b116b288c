"""The loops against cases worked out by hand: they judge the kernels, so something has to judge them."""

import numpy as np
import pytest

from scratch_ae import reference


def images(*rows):
    return np.array(rows, float)[None, :, :, None]  # one image, one channel


def test_three_by_three_image_with_a_two_by_two_kernel():
    # x = 1 2 3   w = 1 2   valid, stride 1. Top left: 1*1 + 2*2 + 4*3 + 5*4 = 37; one pixel on: 2 + 6 + 15 + 24 = 47
    #     4 5 6       3 4   below: 4 + 10 + 21 + 32 = 67; and 5 + 12 + 24 + 36 = 77.
    #     7 8 9
    x, w = images([1, 2, 3], [4, 5, 6], [7, 8, 9]), np.array([[1, 2], [3, 4]], float)[:, :, None, None]
    assert reference.correlate(x, w, 1, "valid")[0, :, :, 0].tolist() == [[37, 47], [67, 77]]

    # The adjoint lays the kernel down at each y, times y: y = 1 10 -> 1*w at the left, 10*w one pixel on, 100*w below.
    #                                                          100 0
    y = images([1, 10], [100, 0])
    expected = [[1, 2 + 10, 20], [3 + 100, 4 + 30 + 200, 40], [300, 400, 0]]
    assert reference.scatter(y, w, 1, "valid", (3, 3))[0, :, :, 0].tolist() == expected

    # The gradient in w[p,q] is the sum of y times the pixel under it: w[0,0]: 1*1 + 10*2 + 100*4 = 421, and so on.
    expected = [[421, 2 + 30 + 500], [4 + 50 + 700, 5 + 60 + 800]]
    assert reference.correlate_weights(x, y, 2, 1, "valid")[:, :, 0, 0].tolist() == expected


def test_same_padding_on_an_even_and_an_odd_axis_with_stride_two():
    # 2 rows x 3 columns, K=3, S=2. Rows: one output, zeros: total (1-1)*2+3-2 = 1, none before, one after.
    # Columns: two outputs, total (2-1)*2+3-3 = 2, one before and one after. With zeros the image is
    #     0 1 2 3 0      w = 1 1 1    first window: 0 + 1 + 2 + 10*(0 + 4 + 5) + 100*0 = 93
    #     0 4 5 6 0         10 10 10  second:       2 + 3 + 0 + 10*(5 + 6 + 0)         = 115
    #     0 0 0 0 0        100 100 100
    x = images([1, 2, 3], [4, 5, 6])
    w = np.array([[1.0] * 3, [10.0] * 3, [100.0] * 3])[:, :, None, None]
    assert reference.correlate(x, w, 2, "same")[0, :, :, 0].tolist() == [[93, 115]]

    # Back: y = (1, 2) spreads w over columns -1..1 and 1..3, what falls outside is lost.
    expected = [[1, 1 + 2, 2], [10, 10 + 20, 20]]
    assert reference.scatter(images([1, 2]), w, 2, "same", (2, 3))[0, :, :, 0].tolist() == expected

    # w[p,q]: row p, column 2j+q-1. w[0,0] = 1*0 + 2*2, w[0,1] = 1*1 + 2*3, w[0,2] = 1*2 + 2*0; row 1 with 4, 5, 6.
    expected = [[4, 7, 2], [10, 16, 5], [0, 0, 0]]
    assert reference.correlate_weights(x, images([1, 2]), 3, 2, "same")[:, :, 0, 0].tolist() == expected


def test_channels_filters_and_images_are_kept_apart():
    # Two images of one pixel with colours (1, 2) and (3, 4); filter 0 = colour 0 + 10 * colour 1, filter 1 = colour 0.
    x = np.array([[1, 2], [3, 4]], float).reshape(2, 1, 1, 2)
    w = np.array([[1, 1], [10, 0]], float).reshape(1, 1, 2, 2)
    assert reference.correlate(x, w, 1, "valid").reshape(2, 2).tolist() == [[21, 1], [43, 3]]
    y = np.array([[1, 0], [0, 1]], float).reshape(2, 1, 1, 2)  # of image 0 filter 0, of image 1 filter 1
    assert reference.scatter(y, w, 1, "valid", (1, 1)).reshape(2, 2).tolist() == [[1, 10], [1, 0]]
    assert reference.correlate_weights(x, y, 1, 1, "valid").reshape(2, 2).tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("K", "S"), [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (2, 3), (4, 2)])
def test_the_three_maps_are_one_form(K, S, padding):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 7, 6, 2)), rng.normal(size=(K, K, 2, 3))
    ax = reference.correlate(x, w, S, padding)
    y = rng.normal(size=ax.shape)
    product, scale = (ax * y).sum(), np.linalg.norm(ax) * np.linalg.norm(y)
    assert abs(product - (x * reference.scatter(y, w, S, padding, (7, 6))).sum()) < 1e-12 * scale
    assert abs(product - (w * reference.correlate_weights(x, y, K, S, padding)).sum()) < 1e-12 * scale
