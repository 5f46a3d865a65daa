"""Slow, obvious reference implementations that share nothing with the package's solvers."""

from __future__ import annotations

import warnings

import cvxpy as cp
import numpy as np
from scipy.optimize import minimize


def dense_columns(x, activation, divergence):
    """Values, divergence counts and outer slopes of every neuron with its kink at a data point."""
    d = x[:, None] - x[None, :]
    n = len(x)
    if activation == "relu":
        values = np.hstack([np.maximum(d, 0)] * 2 + [np.maximum(-d, 0)] * 2)
        counts = np.concatenate(
            [(d >= 0).sum(0), (d > 0).sum(0), -(d <= 0).sum(0), -(d < 0).sum(0)]
        )
        left = np.r_[np.zeros(2 * n), -np.ones(2 * n)]
        right = np.r_[np.ones(2 * n), np.zeros(2 * n)]
    else:
        values = np.hstack([np.abs(d)] * 2)
        counts = np.concatenate([np.where(d >= 0, 1, -1).sum(0), np.where(d > 0, 1, -1).sum(0)])
        left, right = -np.ones(2 * n), np.ones(2 * n)
    return values, counts * float(divergence), left, right


def conic_optimum(x, labels, beta, *, activation, skip, divergence, constraint=None, margin=0.0):
    """Optimal value of the convex program by Clarabel, on standardised data; None if it fails."""
    n = len(x)
    sd = x.std()
    z, target = (x - x.mean()) / sd, labels * sd
    values, counts, left, right = dense_columns(z, activation, divergence)
    y, offset, score = cp.Variable(values.shape[1]), cp.Variable(), cp.Variable(n)
    slope = cp.Variable() if skip else 0.0
    loss = 0.5 * cp.sum_squares(score - target) + counts @ y + beta * cp.norm1(y)
    if skip:
        loss = loss + n * divergence * slope
    rules = [score == values @ y + offset + (slope * z if skip else 0.0)]
    if constraint:
        steepest = -margin * sd**2
        rules += [left @ y + slope <= steepest, right @ y + slope <= steepest]
    if constraint == "log-concave":
        order = np.argsort(z)
        rules.append(cp.diff(score[order]) <= -margin * sd**2 * np.diff(z[order]))
    problem = cp.Problem(cp.Minimize(loss), rules)
    for tol in (1e-11, 1e-9, 1e-8):  # the tightest is out of reach on some data
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
            try:
                problem.solve(solver="CLARABEL", tol_gap_rel=tol, tol_gap_abs=tol, tol_feas=tol)
            except cp.error.SolverError:
                continue
        if problem.status == "optimal":
            return problem.value / sd**2
    return None


def network_objective(network, x, labels, beta, divergence):
    """The objective by its definition: sums over the data of the network's own outputs."""
    score = network(x)
    value = 0.5 * np.sum((score - labels) ** 2) + beta * np.sum(np.abs(network.u * network.w))
    return value + divergence * np.sum(network.divergence(x))


def best_of_lbfgs(x, labels, beta, *, activation, skip, divergence, n_neurons, n_starts, seed):
    """Best objective of non-convex training, evaluated one-sidedly where kinks sit on points."""
    rng = np.random.default_rng(seed)
    n, m = len(x), n_neurons

    def unpack(p):
        u, w, b = p[:m], p[m : 2 * m], p[2 * m : 3 * m]
        return u, w, b, p[3 * m], p[3 * m + 1] if skip else 0.0

    def loss(p):
        u, w, b, c, v = unpack(p)
        pre = np.outer(x, u) + b
        on = (pre > 0).astype(float) if activation == "relu" else np.sign(pre)
        act = pre * on
        r = act @ w + v * x + c - labels
        value = 0.5 * r @ r + 0.5 * beta * (u @ u + w @ w)
        value += divergence * (n * v + np.sum(on @ (u * w)))
        counts = divergence * on.sum(0)
        grad = [
            w * (x @ (on * r[:, None])) + beta * u + counts * w,
            act.T @ r + beta * w + counts * u,
            w * (on.T @ r),
            [r.sum()],
            [x @ r + divergence * n] if skip else [],
        ]
        return value, np.concatenate([np.asarray(g, dtype=float) for g in grad])

    best = np.inf
    for _ in range(n_starts):
        start = rng.normal(size=3 * m + 1 + int(skip))
        best = min(best, minimize(loss, start, jac=True, method="L-BFGS-B").fun)
    return best
