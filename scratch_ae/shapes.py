"""How large is the output of a convolution, and how many zeros go before the input? Answered here, once.

Sizes are those of one axis; height and width are worked out separately and need not agree.
Names used in every file: N images, H height, W width, C channels in, F filters (channels out), K kernel size, S stride.
"""


def convolved(size: int, K: int, S: int, padding: str) -> tuple[int, int]:
    """Output size of a convolution, and the zeros before the input, along one axis.

    'same' gives ceil(size / S): the zeros that this needs are split evenly, an odd one goes after (as in Keras).
    'valid' pads nothing, and raises ValueError where the kernel does not fit.
    """
    check(K, S, padding)
    if padding == "valid":
        if size < K:
            raise ValueError(f"a {K}-wide kernel with 'valid' padding needs an input of at least {K}, got {size}")
        return (size - K) // S + 1, 0
    out = -(-size // S)
    total = max((out - 1) * S + K - size, 0)
    return out, total // 2


def transposed(size: int, K: int, S: int, padding: str) -> int:
    """Output size of a transposed convolution along one axis.

    Several input sizes of a convolution share one output size (with S=2, 7 and 8 both give 4), so going back needs a
    choice. This one is Keras's: size*S for 'same', which the convolution turns back into size, and for 'valid' the
    size that all of the kernel's taps reach, but never less than size*S.
    """
    check(K, S, padding)
    return size * S if padding == "same" else size * S + max(K - S, 0)


def check(K: int, S: int, padding: str) -> None:
    """Raise ValueError unless kernel size, stride and padding are ones that a convolution can have."""
    if K < 1 or S < 1:
        raise ValueError(f"kernel size and stride must be at least 1, got {K} and {S}")
    if padding not in ("same", "valid"):
        raise ValueError(f"padding must be 'same' or 'valid', got {padding!r}")
