import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from scratch_ae.gradcheck import check_loss, rejected_by
from scratch_ae.losses import EPS, loss, psnr, ssim


def test_loss_of_a_case_worked_out_by_hand():
    # One image of 2 x 2 grey pixels, y = 0 1   target = 0 0. Squared error: (0 + 1 + 0 + 0) / 4.
    #                                      0 0            0 0
    # Variation: top left dx = 1, dy = 0; top right dx = 0, dy = -1; below nothing. Both roots are sqrt(1 + EPS^2).
    y, target = np.array([[0, 1.0], [0, 0]]).reshape(1, 2, 2, 1), np.zeros((1, 2, 2, 1))
    assert loss(y, target, 0)[0] == pytest.approx(0.25, rel=1e-12)
    assert loss(y, target, 1)[0] == pytest.approx(2 * (np.sqrt(1 + EPS**2) - EPS) / 4, rel=1e-12)
    assert loss(y, target, 0.3)[0] == pytest.approx(0.7 * 0.25 + 0.3 * loss(y, target, 1)[0], rel=1e-12)
    assert loss(y, target, 0)[1].reshape(2, 2).tolist() == [[0, 0.5], [0, 0]]


@pytest.mark.parametrize("tv_weight", [0, 0.3, 1])
def test_its_gradient_is_its_derivative(tv_weight):
    y, target = np.random.default_rng(3).random((2, 2, 5, 3, 2))  # an odd height, and a second image after it
    assert rejected_by(check_loss(loss, y, target, tv_weight)) == []


def test_eps_is_what_the_published_numbers_were_made_with():
    assert EPS == 1e-3


def test_a_flat_image_has_no_variation_and_no_gradient():
    y = np.full((3, 5, 4, 3), 0.4)
    value, gy = loss(y, np.zeros_like(y), 1)
    assert value == 0
    assert not gy.any()


def test_the_loss_does_not_depend_on_how_often_an_image_is_in_the_batch():
    rng = np.random.default_rng(0)
    y, target = rng.random((2, 1, 6, 5, 3))
    many = loss(np.repeat(y, 7, 0), np.repeat(target, 7, 0), 0.2)[0]
    assert many == pytest.approx(loss(y, target, 0.2)[0], rel=1e-12)


def test_the_parts_of_a_batch_add_up_to_it():
    rng = np.random.default_rng(1)
    y, target = rng.random((2, 5, 6, 5, 3))
    value, gy = loss(y, target, 0.2)
    parts = [loss(y[part], target[part], 0.2, batch=5) for part in (slice(0, 2), slice(2, 5))]
    assert sum(part[0] for part in parts) == pytest.approx(value, rel=1e-12)
    assert np.allclose(np.concatenate([part[1] for part in parts]), gy, rtol=1e-12, atol=0)


def test_a_float32_loss_is_summed_in_float64():
    y = np.full((4, 256, 256, 3), 0.1, np.float32)
    y[0, 0, 0, 0] = 1
    exact = ((y.astype(np.float64)) ** 2).mean()
    assert loss(y, np.zeros_like(y), 0)[0] == pytest.approx(exact, rel=1e-7)


def test_whole_numbers_are_refused_or_counted_rightly():
    """In integers 1/48 is 0, and 0 - 1 may be 255."""
    zeros, ones = np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="of type uint8"):
        loss(zeros, ones, 0.1)
    assert psnr(zeros, ones) == psnr(ones, zeros) == 0


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 3\).*\(1, 4, 4, 1\)"):
        loss(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 1)), 0)


def pictures(seed):
    """Smooth pictures and noisy copies, of different noise, in float32 as in training."""
    rng = np.random.default_rng(seed)
    target = np.cumsum(np.cumsum(rng.normal(size=(4, 40, 33, 3)), 1), 2)
    target = (target - target.min()) / np.ptp(target)
    noise = rng.normal(size=target.shape) * np.array([0.001, 0.02, 0.1, 0.4])[:, None, None, None]
    return np.clip(target + noise, 0, 1).astype(np.float32), target.astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_psnr_and_ssim_equal_scikit_image(seed):
    y, target = pictures(seed)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    for k, (a, b) in enumerate(zip(y.astype(float), target.astype(float), strict=True)):
        assert psnr(y, target)[k] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), rel=1e-6)
        assert ssim(y, target)[k] == pytest.approx(structural_similarity(b, a, channel_axis=2, **options), abs=1e-9)


def test_ssim_of_the_smallest_picture():
    y, target = np.random.default_rng(0).random((2, 2, 11, 12, 1))
    assert ssim(y, target).shape == (2,)
    with pytest.raises(ValueError, match="the images are 11x10, wanted at least 11x11"):
        ssim(y[:, :, :10], target[:, :, :10])
    with pytest.raises(ValueError, match="the images are 10x12, wanted at least 11x11"):
        ssim(y[:, :10], target[:, :10])


def test_equal_pictures():
    y = pictures(0)[0]
    assert np.all(psnr(y, y) == np.inf)
    assert np.allclose(ssim(y, y), 1, atol=1e-12)


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="8x8, wanted at least 11x11"):
        ssim(np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 3)))
