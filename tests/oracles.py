"""Slow, obvious reference implementations that share nothing with the package's solvers."""

from __future__ import annotations

import warnings

import cvxpy as cp
import numpy as np

# One of each kind: b = a, a = 0, b < a, b > a.
ACTIVATIONS = ["relu", "abs", "leaky_relu(0.3)", "leaky_relu(-0.6)"]


def negative_slope(activation):
    """sigma'(0-) of "relu", "abs", "leaky_relu(slope)" or an Activation; sigma'(0+) is 1."""
    name = str(activation)
    return (
        {"relu": 0.0, "leaky_relu": 0.01, "abs": -1.0}[name]
        if "(" not in name
        else float(name[11:-1])
    )


def sigma(activation, z):
    return np.where(z > 0, z, negative_slope(activation) * z)


def slope(activation, z, on_kink=0.0):
    """Derivative; ``on_kink`` (broadcast) whether exact zeros count as active."""
    on = np.where(z == 0.0, on_kink, z > 0.0)
    return on + negative_slope(activation) * (1.0 - on)


def dense_columns(x, activation, divergence):
    """Values, divergence counts and outer slopes of every neuron with its kink at a data point."""
    d = x[:, None] - x[None, :]
    ends = np.array([-1.0, 1.0])
    values, counts, outer = [], [], []
    for facing in (1.0, -1.0) if str(activation) != "abs" else (1.0,):
        for on_kink in (1.0, 0.0) if divergence else (1.0,):
            values.append(sigma(activation, facing * d))
            counts.append(facing * slope(activation, facing * d, on_kink).sum(0))
            outer.append(np.repeat(facing * slope(activation, facing * ends)[:, None], len(x), 1))
    left, right = np.hstack(outer)
    return np.hstack(values), np.concatenate(counts) * float(divergence), left, right


def conic_optimum(x, labels, beta, *, activation, skip, divergence, constraint=None, margin=0.0):
    """Optimal value of the convex program by Clarabel, on standardised data; None if it fails."""
    n = len(x)
    sd = x.std()
    z, target = (x - x.mean()) / sd, labels * sd
    values, counts, left, right = dense_columns(z, activation, divergence)
    y, offset, score = cp.Variable(values.shape[1]), cp.Variable(), cp.Variable(n)
    line = cp.Variable() if skip else 0.0
    loss = 0.5 * cp.sum_squares(score - target) + counts @ y + beta * cp.norm1(y)
    if skip:
        loss = loss + n * divergence * line
    rules = [score == values @ y + offset + (line * z if skip else 0.0)]
    if constraint:
        steepest = -margin * sd**2
        rules += [left @ y + line <= steepest, right @ y + line <= steepest]
    if constraint == "log-concave":
        order = np.argsort(z)
        rules.append(cp.diff(score[order]) <= -margin * sd**2 * np.diff(z[order]))
    problem = cp.Problem(cp.Minimize(loss), rules)
    return problem.value / sd**2 if solved(problem, (1e-11, 1e-9, 1e-8)) else None


def solved(problem, tolerances):
    """Whether Clarabel reaches one of the tolerances, tried in order.

    The tightest is out of reach on some data, which depends on rounding: where one processor gets there
    another one stops at 'optimal_inaccurate'.
    """
    for tol in tolerances:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
            try:
                problem.solve(solver="CLARABEL", tol_gap_rel=tol, tol_gap_abs=tol, tol_feas=tol)
            except cp.error.SolverError:
                continue
        if problem.status == "optimal":
            return True
    return False


def network_objective(network, x, labels, beta, divergence):
    """The objective by its definition: sums over the data of the network's own outputs."""
    score = network(x)
    value = 0.5 * np.sum((score - labels) ** 2) + beta * np.sum(np.abs(network.u * network.w))
    return value + divergence * np.sum(network.divergence(x))


def random_network(rng, dim, activation="relu", skip=True, n_neurons=7, conservative=False):
    """Normal weights; ``conservative``: outer weights along the inner ones, V symmetric."""
    from convexscore import TwoLayerNetwork

    u, w = rng.normal(size=(2, n_neurons, dim))
    b, V = rng.normal(size=n_neurons), rng.normal(size=(dim, dim)) if skip else None
    if conservative:
        w, V = w[:, :1] * u, V + V.T if skip else None
    return TwoLayerNetwork(u, w, b, skip=V, offset=rng.normal(size=dim), activation=activation)


def softmax_labels(x, at, noise, weights=None):
    """The score of the rows x blurred by the noise, at other rows, from the matrix of all pairs."""
    gaps = (x[None] - at[:, None]) / noise
    logs = -0.5 * (gaps**2).sum(-1)
    kernel = np.exp(logs - logs.max(1, keepdims=True)) * (1.0 if weights is None else weights)
    return np.einsum("ij,ijk->ik", kernel, gaps) / kernel.sum(1, keepdims=True) / noise


def slopes(function, at, step=1e-5):
    """Central differences of a function of rows, (n, d)."""
    moves = step * np.eye(at.shape[1])
    return np.stack([function(at + m) - function(at - m) for m in moves], axis=1) / (2 * step)


def fine_slopes(function, at, step=1e-4):
    """The same in fourth order, for rows (n, d) or numbers (n,)."""
    moves = step * np.eye(at[0].size).reshape(-1, *at.shape[1:])
    ahead = {k: np.array([function(at + k * move) for move in moves]) for k in (-2, -1, 1, 2)}
    found = 8 * (ahead[1] - ahead[-1]) - (ahead[2] - ahead[-2])
    return (found / (12 * step)).T.reshape(at.shape)


def slope_at(function, array, index, step=1e-6):
    """Central difference of ``function()`` as one entry of the array moves."""
    kept, values = float(array[index]), []
    for move in (step, -step):
        array[index] = kept + move
        values.append(function())
    array[index] = kept
    return (values[0] - values[1]) / (2 * step)


def fit_with_data(x, objective, *, noise=None, **options):
    """A fit, the points that it saw and their labels (0 for score matching)."""
    from convexscore import fit_convex_score

    noise = noise if objective == "denoising" else None
    fit = fit_convex_score(x, objective=objective, noise=noise, **options)
    if noise is None:
        return fit, x, np.zeros(len(x))
    return fit, fit.noisy_points_, fit.noise_labels_
