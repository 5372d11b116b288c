import pytest

from scratch_ae.shapes import convolved, transposed


@pytest.mark.parametrize(
    ("size", "K", "S", "padding", "expected"),
    [  # (output size, zeros before), counted on squared paper
        (8, 3, 2, "same", (4, 0)),
        (7, 3, 2, "same", (4, 1)),
        (5, 3, 1, "same", (5, 1)),
        (5, 4, 1, "same", (5, 1)),
        (8, 4, 2, "same", (4, 1)),
        (7, 1, 3, "same", (3, 0)),
        (1, 3, 2, "same", (1, 1)),
        (7, 3, 2, "valid", (3, 0)),
        (8, 3, 2, "valid", (3, 0)),
        (3, 3, 3, "valid", (1, 0)),
    ],
)
def test_convolved_sizes(size, K, S, padding, expected):
    assert convolved(size, K, S, padding) == expected


@pytest.mark.parametrize(
    ("size", "K", "S", "padding", "expected"),
    [(4, 3, 2, "same", 8), (4, 3, 2, "valid", 9), (4, 2, 3, "valid", 12), (5, 4, 1, "valid", 8)],
)
def test_transposed_sizes(size, K, S, padding, expected):
    assert transposed(size, K, S, padding) == expected


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("S", [1, 2, 3])
@pytest.mark.parametrize("K", [1, 2, 3, 4, 5])
def test_a_transposed_convolution_makes_the_size_that_the_convolution_takes_back(K, S, padding):
    for size in range(1, 12):
        assert convolved(transposed(size, K, S, padding), K, S, padding)[0] == size


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"3-wide kernel with 'valid' padding needs an input of at least 3, got 2"):
        convolved(2, 3, 1, "valid")
    with pytest.raises(ValueError, match=r"at least 1, got 3 and 0"):
        convolved(5, 3, 0, "same")
    with pytest.raises(ValueError, match=r"'same' or 'valid', got 'full'"):
        transposed(5, 3, 1, "full")
