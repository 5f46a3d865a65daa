"""Slow references for scores of several columns; they share nothing with the package's solvers."""

from __future__ import annotations

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
import pytest
from oracles import sigma, slope, solved
from scipy.optimize import minimize


@dataclass(frozen=True, eq=False)
class Case:
    """One training problem in any dimension, by its definition."""

    points: np.ndarray
    labels: np.ndarray
    divergence: float
    beta: float
    activation: str
    skip: bool
    conservative: bool = False
    log_concave: bool = False
    mass: np.ndarray | None = None

    @property
    def weights(self):
        return np.ones(len(self.points)) if self.mass is None else self.mass

    def value(self, pre):
        return sigma(self.activation, pre)

    def slope(self, pre, on_kink):
        """Derivative, ``on_kink`` (broadcast) whether exact zeros count as active."""
        return slope(self.activation, pre, on_kink)


def training_objective(net, X, beta, labels=None, *, mass=1.0, order=2):
    """Sums over the data of the network's own outputs, any dimension; without labels score matching."""
    values = net(X).reshape(len(X), -1)
    miss = values - (0.0 if labels is None else np.reshape(labels, values.shape))
    per_sample = 0.5 * np.sum(miss**2, axis=1) + (net.divergence(X) if labels is None else 0.0)
    sizes = np.linalg.norm(net.u, ord=order, axis=1) * np.linalg.norm(net.w, axis=1)
    return float(np.sum(mass * per_sample) + beta * np.sum(sizes))


def objective(case, network):
    """The objective by its definition: sums over the data of the network's own outputs."""
    value = training_objective(network, case.points, case.beta, case.labels, mass=case.weights)
    return value + case.divergence * (case.weights @ network.divergence(case.points))


# ------------------------------------------------------------------------------------- convex programs

LEAKY = "leaky_relu(0.2)"
ACTIVATION_SKIP = [(act, skip) for act in ("relu", "abs", LEAKY) for skip in (False, True)]
# The paper's eight cases, and leaky ReLU; score matching or not.
CASES = [
    pytest.param(sm, act, skip, id=f"{'sm' if sm else 'dsm'}-{act}{'-skip' if skip else ''}")
    for act, skip in ACTIVATION_SKIP
    for sm in (True, False)
]
PAPER_CASES = CASES[:8]
# Tolerances that no solver reaches.
TIGHT = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-30)


# ------------------------------------------------------------------------------- finite dictionaries


def pair_lines(case):
    """All lines through two points: u, b, values (n, K) and active mass (K,), every tie convention."""
    x = case.points
    n = len(x)
    first, second = np.triu_indices(n, 1)
    along = x[second] - x[first]
    length = np.linalg.norm(along, axis=1)
    first, second, along = first[length > 0], second[length > 0], along[length > 0]
    u = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[length > 0][:, None]
    if case.activation != "abs":
        u = np.concatenate([u, -u])
        first, second = np.tile(first, 2), np.tile(second, 2)
    b = -np.einsum("kd,kd->k", u, x[first])
    pre = x @ u.T + b
    # the two points are on the line whatever rounding says
    k = np.arange(len(b))
    pre[first, k] = pre[second, k] = 0.0
    values = case.value(pre)
    parts = []
    for one, two in ((0, 0), (0, 1), (1, 0), (1, 1)) if case.divergence else ((0, 0),):
        on = np.zeros_like(pre)
        on[first, k], on[second, k] = one, two
        parts.append((u, b, values, case.weights @ case.slope(pre, on)))
    return joined(*parts)


def neuron_columns(case, u, b):
    """Given unit neurons as dictionary columns in any dimension, exact zeros counted as active."""
    pre = case.points @ u.T + b
    return u, b, case.value(pre), case.weights @ case.slope(pre, 1.0)


def network_columns(case, network):
    """The neurons of a network as dictionary columns, kinks as the network counts them."""
    unit = network.unit_norm()
    return neuron_columns(case, unit.u, unit.b)


def joined(*dictionaries):
    u, b, values, counts = zip(*dictionaries, strict=True)
    return np.concatenate(u), np.concatenate(b), np.hstack(values), np.concatenate(counts)


def conic_optimum(case, dictionary):
    """Optimal value over networks with neurons from the dictionary, by Clarabel; None if it fails."""
    u, _, values, counts = dictionary
    n, d = case.points.shape
    total = case.weights.sum()
    root = np.sqrt(case.weights)[:, None]
    c = cp.Variable((1, d))
    if case.conservative:
        y = cp.Variable((len(u), 1))
        W = cp.multiply(y @ np.ones((1, d)), u)
        cost = cp.norm1(y)
        linear = counts @ y
    else:
        W = cp.Variable((len(u), d))
        cost = cp.sum(cp.norm(W, 2, axis=1))
        linear = cp.sum(cp.multiply(counts[:, None] * u, W))
    rules = [] if not case.log_concave else [y <= 0]
    score = values @ W + np.ones((n, 1)) @ c
    trace = 0.0
    if case.skip:
        V = cp.Variable((d, d), symmetric=case.conservative)
        if case.log_concave:
            rules.append(V << 0)
        score = score + case.points @ V.T
        trace = total * cp.trace(V)
    S = cp.Variable((n, d))
    rules.append(S == cp.multiply(root @ np.ones((1, d)), score - case.labels))
    loss = 0.5 * cp.sum_squares(S) + case.beta * cost
    if case.divergence:
        loss = loss + case.divergence * (linear + trace)
    problem = cp.Problem(cp.Minimize(loss), rules)
    return problem.value if solved(problem, (1e-10, 1e-9, 1e-8)) else None


# ------------------------------------------------------------------------------- optimality conditions


def measure(case, residual, u, pre, on_kink=1.0):
    """h of unit neurons, from their pre-activations (n, K)."""
    gradient = case.value(pre).T @ residual
    if case.divergence:
        counts = case.weights @ case.slope(pre, on_kink)
        gradient = gradient + case.divergence * counts[:, None] * u
    return size_of(case, gradient, u)


def size_of(case, gradient, u):
    """What of a neuron's gradient must not exceed beta."""
    if not case.conservative:
        return np.linalg.norm(gradient, axis=1)
    along = np.einsum("kd,kd->k", gradient, u)
    return along if case.log_concave else np.abs(along)


def residual_of(case, network):
    """Rows m_i (s(x_i) - l_i)."""
    return case.weights[:, None] * (network(case.points) - case.labels)


def brute_supremum(case, residual, n_angles=1440, n_offsets=41):
    """Largest h over a fine grid of (angle, offset), lines through the points included, both ties."""
    x = case.points
    angle = 2.0 * np.pi * np.arange(n_angles) / n_angles
    u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    along = x @ u.T  # (n, A)
    worst = 0.0
    reach = np.abs(x - x.mean(axis=0)).max() * 1.5
    for offset in np.linspace(-reach, reach, n_offsets):
        pre = along - u @ x.mean(axis=0) + offset
        worst = max(worst, measure(case, residual, u, pre).max())
    for pivot in range(len(x)):  # lines through a point: counted or not
        pre = along - along[pivot]
        same = (x == x[pivot]).all(axis=1)
        pre[same] = 0.0
        for on in (0.0, 1.0):
            worst = max(worst, measure(case, residual, u, pre, on).max())
    # lines through two points, with all four conventions
    u, _, values, counts = pair_lines(case)
    gradient = values.T @ residual + case.divergence * counts[:, None] * u
    return max(worst, size_of(case, gradient, u).max())


# ------------------------------------------------------------------------------- non-convex training


def best_of_lbfgs(case, *, n_neurons, n_starts, seed, max_iter=2000):
    """Best objective of non-convex training with weight decay, by L-BFGS with analytic gradients.

    Ridge potentials are trained as s_j u_j sigma(u_j.x + b_j) with fixed signs, whose weight decay is
    |u_j|^2; log-concave ones with all signs -1 and V = -A A'.
    """
    rng = np.random.default_rng(seed)
    x, m = case.points, n_neurons
    d = x.shape[1]
    mass, delta, beta = case.weights, case.divergence, case.beta
    total = mass.sum()
    sizes = {"u": m * d, "w": 0 if case.conservative else m * d, "b": m, "c": d}
    sizes["A"] = d * d if case.skip else 0
    ends = np.cumsum(list(sizes.values()))

    def loss(p, sign):
        u, w, b, c, A = np.split(p, ends[:-1])
        u, w, A = u.reshape(m, d), w.reshape(-1, d), A.reshape(-1, d)
        if case.conservative:
            w = sign[:, None] * u
        V = np.zeros((d, d))
        if case.skip:
            V = A if not case.conservative else -A @ A.T if case.log_concave else 0.5 * (A + A.T)
        pre = x @ u.T + b
        on = case.slope(pre, 0.0)
        act = pre * on
        miss = act @ w + x @ V.T + c - case.labels
        r = mass[:, None] * miss
        counts = delta * (mass @ on)
        value = 0.5 * np.sum(r * miss) + counts @ np.sum(u * w, axis=1)
        value += delta * total * np.trace(V) + 0.5 * beta * (np.sum(u * u) + np.sum(w * w))
        back = on * (r @ w.T)  # (n, m)
        grad_w = act.T @ r + counts[:, None] * u + beta * w
        grad_u = back.T @ x + counts[:, None] * w + beta * u
        if case.conservative:
            grad_u, grad_w = grad_u + sign[:, None] * grad_w, np.zeros((0, d))
        grad_V = r.T @ x + delta * total * np.eye(d)
        if case.skip and case.conservative:
            grad_V = 0.5 * (grad_V + grad_V.T)
        if case.skip and case.log_concave:
            grad_V = -2.0 * grad_V @ A
        parts = [grad_u, grad_w, back.sum(axis=0), r.sum(axis=0), grad_V if case.skip else []]
        return value, np.concatenate([np.ravel(part) for part in parts])

    best = np.inf
    for _ in range(n_starts):
        sign = -np.ones(m) if case.log_concave else rng.choice([-1.0, 1.0], size=m)
        start = 0.7 * rng.normal(size=int(ends[-1]))
        options = {"maxiter": max_iter, "maxfun": 2 * max_iter}
        run = minimize(loss, start, args=(sign,), jac=True, method="L-BFGS-B", options=options)
        best = min(best, run.fun)
    return best
