"""The torch peers descend what everybody descends; run where torch is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import gradient_peers, silu_network, torch_peers  # noqa: E402
from convexscore import certify  # noqa: E402
from convexscore.objectives import denoising, score_matching  # noqa: E402
from convexscore.training import train  # noqa: E402


def make_problem(x, objective):
    if objective == "score_matching":
        return score_matching(x)
    return denoising(x, noise=0.5, random_state=0)


# ---------------------------------------------------------------------- no torch needed
@pytest.mark.parametrize("objective", ["score_matching", "denoising"])
def test_objective_of_a_network_is_that_of_the_certificate(objective):
    x = np.random.default_rng(0).normal(size=(40, 2))
    problem = make_problem(x, objective)
    network = train(problem, beta=6.0, width=5, n_epochs=20, random_state=0).best
    proof = certify(network, problem.points, beta=6.0, objective=objective, labels=problem.labels)
    found = gradient_peers.objective(problem, network, 6.0)
    assert found == pytest.approx(proof.objective, rel=1e-10)


# ---------------------------------------------------------------------- two layers
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("objective", ["score_matching", "denoising"])
def test_autograd_has_the_value_and_gradient_of_our_objective(objective, skip):
    torch = pytest.importorskip("torch")
    stream = torch.Generator().manual_seed(0)
    x = np.random.default_rng(1).normal(size=(30, 3))
    problem = make_problem(x, objective)
    layers = [layer.double() for layer in torch_peers.two_layers(torch, 3, 6, skip, stream)]
    labels = None if problem.labels is None else torch.tensor(problem.labels)
    beta, n = 4.0, len(problem.points)
    at = torch.tensor(problem.points)
    loss = torch_peers.objective(layers, at, labels, problem.divergence, beta / n)
    loss.backward()

    def value():
        network = torch_peers.network_of(layers, np.zeros(3), 1.0)
        least = gradient_peers.objective(problem, network, beta)
        return least + beta * (network.weight_decay() - network.path_norm())

    assert loss.item() * n == pytest.approx(value(), rel=1e-12)
    for layer in layers:
        for weight in layer.parameters():
            index = tuple(0 for _ in weight.shape)
            values = []
            with torch.no_grad():
                for move in (1e-6, -2e-6):
                    weight[index] += move
                    values.append(value())
                weight[index] += 1e-6
            slope = (values[0] - values[1]) / 2e-6
            assert n * weight.grad[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_two_layers_reach_the_certified_optimum_and_never_pass_it():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = 50.0 + 7.0 * np.concatenate([rng.normal(-2, 0.5, 60), rng.normal(2, 0.5, 60)])
    problem = denoising(x, noise=4.0, random_state=1)  # far from standardised units
    options = {"beta": 40.0, "width": 32, "skip": True, "rate": 1e-2, "batch": 40, "seed": 3}
    runs = torch_peers.train_two_layers(problem, n_epochs=800, record=(0, 800), **options)
    values = [gradient_peers.objective(problem, network, 40.0) for _, network in runs]
    network = runs[-1][1]
    proof = certify(network, x=problem.points[:, 0], beta=40.0, objective="denoising",
                    labels=problem.labels[:, 0], reference="solve")  # fmt: skip
    bound = proof.dual_objective
    assert bound * (1.0 - 1e-9) <= values[-1] < 1.01 * bound < values[0]
    again = torch_peers.train_two_layers(problem, n_epochs=800, record=(800,), **options)
    assert np.array_equal(again[0][1].u, network.u)
    assert runs[0][0] == 0.0 < runs[1][0]


# ---------------------------------------------------------------------- three layers
def test_silu_networks_of_numpy_and_torch_take_the_same_steps():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weights = silu_network.initial_weights(2, 16, rng)
    ours, theirs = silu_network.SiluNet(weights), torch_peers.SiluNet(weights)
    at = rng.normal(size=(50, 2))
    before = theirs.frozen()
    for _ in range(30):
        x, delta = rng.normal(size=(64, 2)), rng.normal(size=(64, 2))
        ours.step(x, delta, 3e-3)
        theirs.step(x, delta, 3e-3)
    assert np.abs(ours(at) - theirs(at)).max() < 1e-4
    # and the steps changed something; what was frozen stays as it was
    assert np.abs(ours(at) - before(at)).max() > 0.05
    assert np.abs(before(at) - silu_network.forward(weights, at)).max() < 1e-5
