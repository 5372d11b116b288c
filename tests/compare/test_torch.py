"""The four networks beside PyTorch: the same weights, the same batches, the same gradients and the same training.

Needs PyTorch (the extra `compare`) and fails without it. Run: python -m pytest tests/compare -s
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from scratch_ae.experiments import EXPERIMENTS, FULL
from scratch_ae.gradcheck import error
from scratch_ae.losses import EPS
from scratch_ae.model import AutoEncoder
from scratch_ae.optim import Adam
from scratch_ae.run import BETA2

STEPS, RATE = 50, 1e-3
NETWORKS = [(name, kernel_size) for name in ("rose", "sunflower", "iris_calendula") for kernel_size in (3, 4)]
NETWORKS += [(f"{name}, long", 3) for name in ("rose", "iris_calendula", "flowers")]
# The largest difference of the gradient, of the losses of all steps and of the parameters after them, by norms over all
# arrays. In float32 a ReLU may decide otherwise where its input is nearly 0: one such pixel moves a gradient by 1e-4.
# That is luck, and a mistake is not: of three batches the best counts in float32, the worst in float64. For the same
# reason the parameters drift apart in float32, and are not compared.
TOLERANCE = {np.float64: (1e-10, 1e-8, 1e-8), np.float32: (1e-4, 1e-3)}


def experiment_of(name):
    of, _, length = name.partition(", ")
    return (FULL if length else EXPERIMENTS)[of]


def test_no_experiment_has_a_network_that_is_not_compared():
    """Some share one, which is compared once."""
    def shape(e):
        return e.size, e.filters, e.latent, e.channels

    compared = {shape(experiment_of(name)) for name, _ in NETWORKS}
    assert {shape(e) for preset in (EXPERIMENTS, FULL) for e in preset.values()} == compared


def to_torch(w, transposed=False):
    """A kernel (K,K,C,F) is (F,C,K,K) in PyTorch, and for a transposed convolution (C,F,K,K)."""
    return w.permute(2, 3, 0, 1) if transposed else w.permute(3, 2, 0, 1)


def network(experiment, p, x):
    """The autoencoder in PyTorch's own operations: x (N,C,H,W), p the parameters by our names, in our layout."""
    depth, k = len(experiment.filters), 0
    for _ in range(depth):  # 'same' with stride 2 on an even side: one zero after, none before
        x = functional.relu(functional.conv2d(functional.pad(x, (0, 1, 0, 1)), to_torch(p[f"{k}.w"]), p[f"{k}.b"], 2))
        k += 1
    channels, side = x.shape[1], x.shape[2]
    x = x.permute(0, 2, 3, 1).flatten(1)  # our pictures have their channels last
    x = x @ p[f"{k + 1}.w"] + p[f"{k + 1}.b"]
    x = functional.relu(x @ p[f"{k + 2}.w"] + p[f"{k + 2}.b"])
    x = x.reshape(-1, side, side, channels).permute(0, 3, 1, 2)
    k += 5
    for _ in range(depth):  # the whole output, of which 'same' cuts (K-2)//2 before and the rest after
        size, before = 2 * x.shape[2], (experiment.kernel_size - 2) // 2
        x = functional.conv_transpose2d(x, to_torch(p[f"{k}.w"], transposed=True), p[f"{k}.b"], 2)
        x = functional.relu(x[:, :, before : before + size, before : before + size])
        k += 1
    return torch.sigmoid(functional.conv2d(x, to_torch(p[f"{k}.w"]), p[f"{k}.b"]))


def loss(y, target, w):
    dx = functional.pad(y[:, :, :, 1:] - y[:, :, :, :-1], (0, 1))
    dy = functional.pad(y[:, :, 1:] - y[:, :, :-1], (0, 0, 0, 1))
    return (1 - w) * ((y - target) ** 2).mean() + w * (torch.sqrt(dx**2 + dy**2 + EPS**2) - EPS).mean()


def flat(arrays):
    return np.concatenate([np.asarray(array).ravel() for array in arrays.values()])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize(("name", "kernel_size"), NETWORKS)
def test_gradients_and_training_are_those_of_pytorch(name, kernel_size, dtype):
    experiment = replace(experiment_of(name), kernel_size=kernel_size, tv_weight=0.1)
    rng = np.random.default_rng(0)
    batches = rng.random((3, 4, experiment.size, experiment.size, 3)).astype(dtype)
    model = AutoEncoder(experiment, seed=1, threads=2, dtype=dtype)
    theirs = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in model.parameters().items()}
    ours, peer = Adam(model.parameters(), beta2=BETA2), torch.optim.Adam(theirs.values(), RATE, betas=(0.9, BETA2))
    errors = []
    for images in batches:
        gradients, x = model.loss_and_gradients(images)[1], torch.tensor(images).permute(0, 3, 1, 2)
        loss(network(experiment, theirs, x), x, 0.1).backward()
        errors.append(error(flat(gradients), flat({k: p.grad for k, p in theirs.items()})))
        peer.zero_grad()
    gradient, worst_loss = max(errors) if dtype is np.float64 else min(errors), 0.0
    for step in range(STEPS):
        images = batches[step % 3]
        value, gradients = model.loss_and_gradients(images)
        peer.zero_grad()
        x = torch.tensor(images).permute(0, 3, 1, 2)
        their_value = loss(network(experiment, theirs, x), x, 0.1)
        their_value.backward()
        worst_loss = max(worst_loss, abs(value - their_value.item()) / their_value.item())
        ours.step(gradients, RATE)
        peer.step()
    parameters = error(flat(model.parameters()), flat({k: p.detach() for k, p in theirs.items()}))
    print(
        f"\n{name}, {kernel_size}x{kernel_size}, {np.dtype(dtype)}: the gradient differs by {gradient:.1e}, "
        f"{STEPS} losses by {worst_loss:.1e}, the parameters after them by {parameters:.1e}"
    )
    assert all(a <= b for a, b in zip((gradient, worst_loss, parameters), TOLERANCE[dtype], strict=False))
