"""The contenders of `scratch_ae.bench` compute what we compute, in float32, each in its own process.

Needs PyTorch, TensorFlow and Keras (the extra `compare`) and fails without them. Run: python -m pytest tests/compare -s
"""

from dataclasses import replace

import numpy as np
import pytest

from scratch_ae import peers
from scratch_ae.experiments import EXPERIMENTS
from scratch_ae.model import AutoEncoder


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("experiment", ["rose", "sunflower"])
@pytest.mark.parametrize("name", [name for name in peers.CONTENDERS if name != "torch.compile"])  # it needs a compiler
def test_a_contender_has_our_loss_and_gradients(name, experiment, kernel_size, tmp_path):
    e = replace(EXPERIMENTS[experiment], kernel_size=kernel_size, tv_weight=0.1)
    model = AutoEncoder(e, seed=1, threads=2)
    peers.write_job(tmp_path / "job.npz", model, np.random.default_rng(0).random((4, e.size, e.size, 3), np.float32))
    process = peers.Process(name, tmp_path / "job.npz", 2)
    try:
        off = process.ask()
        assert len(process.ask("step 2")) == len(process.ask("decode 2")) == 2
    finally:
        process.end()
    case = f"{name}, {experiment}, {kernel_size}x{kernel_size}"
    print(f"\n{case}: loss {off['loss']:.1e}, gradients {off['gradients']:.1e}")
    assert off["loss"] <= 1e-6
    assert off["gradients"] <= 1e-3  # a pixel on the kink of its ReLU decides otherwise, and alone makes 1e-4
