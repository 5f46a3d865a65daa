"""The programs of one column against brute force on the network's own objective."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from oracles import sigma, slope
from plane_oracles import ACTIVATION_SKIP, CASES, LEAKY, PAPER_CASES
from plane_oracles import training_objective as objective
from scipy.optimize import linprog

import convexscore
from convexscore import ConvergenceWarning, UnboundedObjectiveError
from convexscore.programs import (
    SolverChoice,
    smallest_beta,
    univariate_matrices,
    univariate_program,
)
from convexscore.programs.solver import solve
from convexscore.scores.activations import get_activation
from convexscore.scores.network import TwoLayerNetwork

_RNG = np.random.default_rng(11)
DATA = {
    "normal": _RNG.normal(size=15),
    "ties": np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.5, 3.0, 3.0, 4.0, 4.0]),
    "three": np.array([0.0, 1.0, 5.0]),
    "two": np.array([-1.0, 2.0]),
    "heavy": 100.0 * _RNG.standard_t(1.2, size=14),
    "clusters": np.concatenate([_RNG.normal(size=7) * 1e-2, 5 + _RNG.normal(size=7) * 1e-2]),
    "far": 1e6 + 1e-2 * _RNG.normal(size=12),
}


def make_labels(x, sm):
    return None if sm else np.random.default_rng(3).normal(size=len(x)) / np.std(x)


def some_beta(x, labels, act, skip, factor=1.3, weight=None):
    """A beta with a handful of neurons, in the admissible range."""
    if labels is None:
        return factor * smallest_beta(x, activation=act, skip=skip, sample_weight=weight)
    total = len(x) if weight is None else np.sum(weight)
    return 0.03 * factor * total * np.std(x) * np.std(labels)


def with_best_line(u, w, kinks, x, labels, act, skip, weight):
    """Network with the offset (and skip) that minimise the objective, by normal equations."""
    b = -np.asarray(u) * kinks
    hidden = TwoLayerNetwork(u, w, b, offset=0.0, activation=act)
    centre = np.mean(x)
    basis = np.column_stack([np.ones_like(x), x - centre] if skip else [np.ones_like(x)])
    wanted = (0.0 if labels is None else labels) - hidden(x)
    right = basis.T @ (weight * wanted)
    if labels is None and skip:
        right[1] -= np.sum(weight)  # the divergence of the line
    line = np.linalg.solve(basis.T @ (weight[:, None] * basis), right)
    slope = line[1] if skip else None
    offset = line[0] - (line[1] * centre if skip else 0.0)
    return TwoLayerNetwork(u, w, b, skip=slope, offset=offset, activation=act)


# ---- matrices -----------------------------------------------------------------------------------


def blocks_of(sm, act):
    """Orientation of u and side of the kink of each block, from the indicators in the paper."""
    if act == "abs":
        return [(1, -1), (1, 1)] if sm else [(1, 0)]
    return [(1, -1), (1, 1), (-1, 1), (-1, -1)] if sm else [(1, 0), (-1, 0)]


@pytest.mark.parametrize("data", ["normal", "ties", "three"])
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_every_column_is_the_objective_of_its_neuron(sm, act, skip, data):
    x = DATA[data]
    labels = make_labels(x, sm)
    for weight in (np.ones(len(x)), np.random.default_rng(1).uniform(0.5, 3, len(x))):
        A, target, b, u, kinks = univariate_matrices(
            x, labels=labels, activation=act, skip=skip, sample_weight=weight
        )
        mean = weight @ x / weight.sum()
        constant = -(weight.sum() ** 2) / (2 * weight @ (x - mean) ** 2) if sm and skip else 0.0
        assert not np.any(target if sm else b)
        blocks = blocks_of(sm, act)
        assert A.shape == (len(x), len(blocks) * len(x))
        assert u.tolist() == np.repeat([sign for sign, _ in blocks], len(x)).tolist()
        wanted = [np.nextafter(x, side * np.inf) if side else x for _, side in blocks]
        assert kinks.tolist() == np.concatenate(wanted).tolist()
        for column, size in enumerate(np.resize([1.0, -2.0], len(u))):
            neuron = [u[column]], [size], kinks[column]
            net = with_best_line(*neuron, x, labels, act, skip, weight)
            fit = 0.5 * np.sum((size * A[:, column] - target) ** 2)
            expected = objective(net, x, 0.0, labels, mass=weight)
            assert fit + size * b[column] + constant == pytest.approx(
                expected, rel=1e-10, abs=1e-10
            )


def test_matrices_of_three_points_by_hand():
    A, _, b, *_ = univariate_matrices([0.0, 1.0, 2.0])
    right = np.array([[0, 0, 0], [1, 0, 0], [2, 1, 0]]) - np.array([1, 1 / 3, 0])
    left = np.array([[0, 1, 2], [0, 0, 1], [0, 0, 0]]) - np.array([0, 1 / 3, 1])
    np.testing.assert_allclose(A, np.hstack([right, right, left, left]), atol=1e-15)
    assert b.tolist() == [3, 2, 1, 2, 1, 0, -1, -2, -3, 0, -1, -2]
    A, _, b, *_ = univariate_matrices([0.0, 1.0, 2.0], activation="abs")
    both = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]) - np.array([1, 2 / 3, 1])
    np.testing.assert_allclose(A, np.hstack([both, both]), atol=1e-15)
    assert b.tolist() == [3, 1, -1, 1, -1, -3]


@pytest.mark.parametrize("sm", [False, True])
@pytest.mark.parametrize("act", ["relu", "abs", LEAKY])
def test_neurons_have_the_values_and_derivatives_of_their_columns(act, sm):
    # Neighbouring floats included: there the kink cannot move and must not.
    x = np.array([-3.0, -1.0, 0.0, 1.0, 1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 2.0])
    A, _, b, u, kinks = univariate_matrices(x, labels=None if sm else 0 * x, activation=act)
    assert u.shape == kinks.shape == (A.shape[1],)
    for k in range(A.shape[1]):
        net = TwoLayerNetwork(u[k], 1.0, -u[k] * kinks[k], offset=0.0, activation=act)
        np.testing.assert_allclose(net(x) - np.mean(net(x)), A[:, k], atol=1e-14)
        if sm:
            assert np.sum(net.divergence(x)) == pytest.approx(b[k], abs=1e-14)


# ---- optimum and network ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "sm", "act", "skip"),
    [
        (data, *case.values)
        for case in CASES
        for data in (DATA if case in PAPER_CASES else ("normal", "ties", "far"))
    ],
)
def test_network_attains_the_optimal_value(sm, act, skip, data):
    """|A'r + b| <= beta, = beta with the opposite sign on active columns; |G| <= beta anywhere.

    No neighbour is better where these lose their digits.
    """
    x = DATA[data]
    labels = make_labels(x, sm)
    options = {"labels": labels, "activation": act, "skip": skip}
    A, target, b, *_ = univariate_matrices(x, **options)
    rng, span = np.random.default_rng(2), np.ptp(x)
    for factor in (1.05, 1.3, 2.0) if data in ("normal", "ties", "heavy") else (1.05,):
        beta = some_beta(x, labels, act, skip, factor)
        program = univariate_program(x, beta=beta, **options)
        net, value, y = program.network, program.value, program.weights
        assert (program.status, program.accuracy, program.solver) == ("optimal", 1e-10, "CLARABEL")
        assert net.activation == get_activation(act)
        assert (net.skip is not None) == skip
        assert net.n_neurons <= len(y) and program.variables["y"].shape == y.shape
        assert program.scale * program.problem.value + program.constant == pytest.approx(value)
        # V x is rounded to 1e-16 |V x|, so data far from 0 cost digits (only with a skip).
        loss = np.finfo(float).eps * np.max(np.abs(x)) / np.std(x) * len(x)
        size = max(abs(value), 1e-3 * len(x) / np.var(x))
        assert objective(net, x, beta, labels) == pytest.approx(
            value, abs=size * max(1e-7, 10 * loss)
        )
        if data in ("clusters", "far"):
            # Gradients of points nearly equal, or far from the origin, keep few digits; objectives keep
            # theirs: move kinks off the data, change weights, add neurons, never below the optimum.
            for scale in (1e-3, 0.1, 1.0):
                u = np.append(net.u[:, 0], rng.choice([-1.0, 1.0], size=2))
                at = np.append(-net.u[:, 0] * net.b, rng.choice(x, size=2))
                at = at + scale * np.std(x) * rng.normal(size=len(u))
                w = np.append(net.w[:, 0], [0.0, 0.0])
                w = w + scale / np.var(x) * rng.normal(size=len(u))
                other = with_best_line(u, w, at, x, labels, act, skip, np.ones(len(x)))
                assert objective(other, x, beta, labels) >= value - 1e-7 * size
            continue
        gradient = A.T @ (A @ y - target) + b
        assert np.max(np.abs(gradient)) <= beta * (1 + 1e-6)
        active = np.abs(y) > 1e-4 * np.max(np.abs(y), initial=program.scale)
        if data == "normal" and factor == 1.3:
            assert 1 <= np.sum(active) < len(x)
        np.testing.assert_allclose(gradient[active], -beta * np.sign(y[active]), rtol=1e-5)
        residual = program.fitted[:, 0] - (0.0 if sm else labels)
        kinks = np.linspace(x.min() - span, x.max() + span, 2001)
        kinks = np.concatenate([kinks, x + 1e-9 * span, x - 1e-9 * span])
        for sign in (1.0, -1.0):
            pre = sign * (x[:, None] - kinks)
            G = residual @ sigma(act, pre)
            G += sign * np.sum(slope(act, pre, 1.0), axis=0) if sm else 0.0
            assert np.max(np.abs(G)) <= beta * (1 + 1e-5)
    assert "problem" not in repr(program)


def test_column_vectors_and_permutations_change_nothing():
    x, labels = DATA["normal"], make_labels(DATA["normal"], False)
    order = np.random.default_rng(0).permutation(len(x))
    plain = univariate_program(x, beta=0.5, labels=labels)
    for rows in (np.s_[:, None], order):
        shaped = univariate_program(x[rows], beta=0.5, labels=labels[rows])
        assert shaped.value == pytest.approx(plain.value, rel=1e-9)
        np.testing.assert_allclose(shaped.network(x), plain.network(x), atol=1e-5)


def test_optimum_of_nearly_coincident_points_with_weights_of_1e9():
    """Interior-point steps stall here in natural units; the larger units are needed."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=6) * 1e-5, 5 + rng.normal(size=6) * 1e-5])
    program = univariate_program(x, beta=1.05)
    assert program.status == "optimal"
    assert program.scale * np.var(x) > 1.0 + 1e-9  # a larger unit was needed
    assert np.max(np.abs(program.weights)) > 1e8
    assert objective(program.network, x, 1.05, None) == pytest.approx(program.value, rel=1e-6)
    # r = Ay is dual feasible and has the same value: so the optimum is the true one.
    A, _, b, *_ = univariate_matrices(x)
    r = A @ program.weights
    assert np.max(np.abs(A.T @ r + b)) <= 1.05 * (1 + 1e-3)
    assert -0.5 * r @ r == pytest.approx(program.value, rel=1e-5)


# ---- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["relu", "abs"])
@pytest.mark.parametrize("data", ["normal", "three", "ties", "heavy", "far"])
def test_score_matching_with_a_large_beta_is_gaussian_or_zero(act, data):
    x = DATA[data]
    n, v = len(x), np.var(x)
    # beta over n, skip, slope of the score in units of 1 / v, accuracy
    cases = [(2.0, True, 1.0, 1e-9), (0.97, False, 0.03, 1e-6), (1.05, False, 0.0, 1e-6)]
    for share, skip, kappa, rel in cases[:1] if data in ("heavy", "far") else cases:
        program = univariate_program(x, beta=share * n, activation=act, skip=skip)
        assert program.value == pytest.approx(
            -(kappa**2) * n / (2 * v), rel=rel, abs=1e-8 * (not skip)
        )
        assert share < 1 or program.network.n_neurons == 0
        expected = -kappa / v * (x - x.mean())
        size = max(np.max(expected), 0.01 / np.std(x))
        np.testing.assert_allclose(program.network(x), expected, atol=1e-6 * size)


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_denoising_with_a_large_beta_is_mean_or_line_and_without_interpolates(act, skip):
    x, labels = DATA["normal"], make_labels(DATA["normal"], False)
    options = {"activation": act, "skip": skip}
    program = univariate_program(x, beta=1e4, labels=labels, **options)
    line = np.polyval(np.polyfit(x, labels, int(skip)), x)
    assert program.network.n_neurons == 0
    assert program.value == pytest.approx(0.5 * np.sum((labels - line) ** 2), rel=1e-9)
    np.testing.assert_allclose(program.network(x), line, atol=1e-9)
    x, labels = np.array([0.0, 1.0, 3.0, 4.0]), np.array([1.0, -1.0, 2.0, 0.0])
    program = univariate_program(x, beta=0.0, labels=labels, **options)
    assert program.value == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(program.network(x), labels, atol=1e-4)


def test_constant_labels_need_no_neuron():
    program = univariate_program([0.0, 1.0, 2.0], beta=0.1, labels=[3.0, 3.0, 3.0])
    assert program.value == pytest.approx(0.0, abs=1e-9)
    assert program.network([0.5, 7.0]).tolist() == [3.0, 3.0]


# ---- boundedness --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act", ["relu", "abs", *(f"leaky_relu({s})" for s in (-0.7, -0.2, 0.01, 0.2, 0.9))]
)
@pytest.mark.parametrize("skip", [False, True])
def test_smallest_beta_is_the_value_of_its_linear_program(act, skip):
    """max -b'y over Ay = 0, |y|_1 <= 1, on data with random ties."""
    rng = np.random.default_rng(8)
    for trial in range(12):
        x = rng.integers(0, 6, size=9).astype(float)
        weight = rng.uniform(0.2, 4.0, size=9) if trial % 2 else np.ones(9)
        options = {"activation": act, "skip": skip, "sample_weight": weight}
        A, _, b, *_ = univariate_matrices(x, **options)
        found = linprog(
            np.concatenate([b, -b]),
            A_eq=np.hstack([A, -A]),
            b_eq=np.zeros(9),
            A_ub=np.ones((1, 2 * len(b))),
            b_ub=[1.0],
        )
        for limit in (smallest_beta, convexscore.smallest_beta):
            assert limit(x, **options) == pytest.approx(-found.fun, rel=1e-6)


@pytest.mark.parametrize(
    ("data", "limits"), [("normal", [1.0, 1.0, 1.0, 2.0]), ("ties", [2.0, 2.0, 3.0, 4.0])]
)
def test_beta_below_the_limit_is_refused_and_above_it_solved(data, limits):
    x = DATA[data]
    for (act, skip), limit in zip(ACTIVATION_SKIP[:4], limits, strict=True):
        options = {"activation": act, "skip": skip}
        assert smallest_beta(x, **options) == limit
        with pytest.raises(UnboundedObjectiveError, match=f"beta must be at least {limit:g}"):
            univariate_program(x, beta=0.999 * limit, **options)
        assert np.isfinite(univariate_program(x, beta=1.001 * limit, **options).value)


# ---- solvers ------------------------------------------------------------------------------------


def test_another_solver_gets_its_options():
    x = DATA["normal"]
    scs = SolverChoice("SCS", {"eps": 1e-7, "max_iters": 50_000})
    loose = univariate_program(x, beta=4.0, solver=scs)
    exact = univariate_program(x, beta=4.0)
    assert (loose.solver, loose.status) == ("SCS", "optimal")
    assert np.isnan(loose.accuracy)
    assert loose.value == pytest.approx(exact.value, rel=1e-3)
    assert loose.value != exact.value


class Scripted:
    """A problem whose attempts end as the script says, each with its own value."""

    def __init__(self, *script):
        self.script, self.tolerances, self.status = list(script), [], None
        self.solver_stats = SimpleNamespace(solver_name="CLARABEL")

    def variables(self):
        return []

    def solve(self, *, solver, tol_gap_rel, **options):
        self.tolerances.append(tol_gap_rel)
        self.status, self.value = self.script[min(len(self.tolerances), len(self.script)) - 1]


def test_a_stalled_solve_is_asked_again_for_a_digit_less():
    bad, good = ("optimal_inaccurate", 3.0), ("optimal", 1.0)
    for script, tolerances in (
        ([good], [1e-9]),
        ([bad, good], [1e-9, 1e-8]),
        ([("user_limit", None), bad, good], [1e-9, 1e-8, 1e-7]),
    ):
        problem = Scripted(*script)
        found = solve(lambda _, problem=problem: problem, SolverChoice(), 1e-9)
        np.testing.assert_allclose(problem.tolerances, tolerances)
        assert found.status == "optimal" and found.accuracy == pytest.approx(tolerances[-1])
    # Tolerances that were given are not loosened; of several inaccurate answers the lowest counts.
    both = {1.0: Scripted(bad), 10.0: Scripted(("optimal_inaccurate", 0.2))}
    given = SolverChoice(options={"tol_gap_rel": 1e-5})
    with pytest.warns(ConvergenceWarning, match="optimal_inaccurate"):
        found = solve(both.__getitem__, given, 1e-9, units=(1.0, 10.0))
    assert (found.scale, found.status) == (10.0, "optimal_inaccurate")
    assert both[1.0].tolerances == [1e-5]

    # An unsure answer is one that a check of boundedness may refuse, a sure one is not asked about.
    def refuse(status):
        raise UnboundedObjectiveError(status)

    with pytest.raises(UnboundedObjectiveError, match="optimal_inaccurate"):
        solve(lambda _: Scripted(bad), SolverChoice(), 1e-9, refuse=refuse)
    solve(lambda _: Scripted(good), SolverChoice(), 1e-9, refuse=refuse)
