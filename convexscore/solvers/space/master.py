r"""The master: the group lasso of the chosen neurons, by primal-dual Newton steps.

.. math:: \min_W\ \tfrac12\|R_0 + F W\|^2 + \langle B, W\rangle + \mathrm{pen}(W)

Hundreds of columns may be active and nearly collinear.  Newton steps on the central path (penalties.py)
drop all superfluous ones at once; first-order steps, or Newton steps on the active groups alone, need
thousands of iterations there.

The Newton matrix is H x I_g + blockdiag(alpha_k (I - tau_k e_k e_k')), H the K x K Gram matrix.  It is a
Kronecker product minus one rank-one term per group, so it is solved with two K x K Cholesky factors,
whatever the number of outputs g: O(K^3 + K^2 g) time per step, O(K^2) memory.  The loss is known along
every step by H; the rows are asked, O(n K g), when mu shrinks and at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import Residual
from convexscore.solvers.space.design import Design
from convexscore.solvers.space.penalties import Curvature, Penalty

_ARMIJO = 1e-4
_SHORTEST = 1e-12
# mu shrinks by this factor whenever the Newton decrement says that its centre is near.
_SHRINK = 0.1
_NEAR_CENTRE = 1.0
_CENTRED = 0.1


@dataclass(frozen=True, eq=False)
class MasterState:
    """Weights, multipliers and the residual that the weights give."""

    weights: Floats
    dual: Floats
    residual: Residual
    mu: float
    n_steps: int = 0


@dataclass(frozen=True, eq=False)
class _Factors:
    """Factors of one Newton matrix: inverse of H + diag(alpha), and the Schur complement of the rest."""

    gram: Floats
    curvature: Curvature
    inverse: Floats
    schur: Floats | None
    turned: NDArray[np.intp]
    root: Floats

    def solve(self, rhs: Floats) -> Floats:
        """Conjugate gradients preconditioned by the factors: one step unless they lost digits."""
        x = np.zeros_like(rhs)
        r = rhs.copy()
        wanted = 1e-8 * float(np.abs(rhs).max(initial=0.0))
        z = self._apply_inverse(r)
        p, rz = z, float(np.vdot(r, z))
        for _ in range(30):
            q = self._multiply(p)
            curvature = float(np.vdot(p, q))
            if curvature <= 0.0:
                break
            x += (rz / curvature) * p
            r -= (rz / curvature) * q
            if float(np.abs(r).max(initial=0.0)) <= wanted:
                break
            z = self._apply_inverse(r)
            rz, before = float(np.vdot(r, z)), rz
            p = z + (rz / before) * p
        return x

    def _multiply(self, x: Floats) -> Floats:
        c = self.curvature
        along = np.einsum("kg,kg->k", c.direction, x)
        inner = self.gram @ x + c.alpha[:, None] * x
        return inner - (c.alpha * c.tau * along)[:, None] * c.direction

    def _apply_inverse(self, r: Floats) -> Floats:
        z = self.inverse @ r
        if self.schur is None:
            return z
        direction = self.curvature.direction[self.turned]
        along = self.root * np.einsum("kg,kg->k", direction, z[self.turned])
        share = lapack.dpotrs(self.schur, along, lower=1)[0]
        return z + self.inverse[:, self.turned] @ ((self.root * share)[:, None] * direction)


def _factorise(gram: Floats, curvature: Curvature) -> _Factors:
    matrix = gram.copy()
    diagonal = np.einsum("ii->i", matrix)
    scalar = curvature.direction.shape[1] == 1
    diagonal += curvature.alpha * (1.0 - curvature.tau) if scalar else curvature.alpha
    inverse = _inverse(matrix)
    turned = np.flatnonzero(curvature.tau > 1e-12)
    if scalar or not len(turned):
        return _Factors(gram, curvature, inverse, None, turned, np.zeros(0))
    root = np.sqrt(curvature.alpha[turned] * curvature.tau[turned])
    direction = curvature.direction[turned]
    schur = inverse[np.ix_(turned, turned)] * (direction @ direction.T)
    schur *= -root[:, None]
    schur *= root
    np.einsum("ii->i", schur)[:] += 1.0
    return _Factors(gram, curvature, inverse, _cholesky(schur), turned, root)


def _cholesky(matrix: Floats) -> Floats:
    """Lower factor; a growing ridge where rounding made the matrix indefinite."""
    ridge = 0.0
    while True:
        factor, info = lapack.dpotrf(matrix, lower=1, clean=1)
        if info == 0:
            return factor
        more = max(10.0 * ridge, 1e-14 * float(np.einsum("ii->i", matrix).max()), 1e-15)
        np.einsum("ii->i", matrix)[:] += more - ridge
        ridge = more


def _inverse(matrix: Floats) -> Floats:
    lower = np.tril(lapack.dpotri(_cholesky(matrix), lower=1)[0])
    out: Floats = lower + lower.T
    np.einsum("ii->i", out)[:] *= 0.5
    return out


def minimise(
    design: Design,
    penalty: Penalty,
    state: MasterState,
    *,
    mu_end: float,
    floor: float = -np.inf,
    max_steps: int = 200,
) -> MasterState:
    """Follow the central path from ``state`` down to ``mu_end``; the state is not changed.

    At the end the objective is within about K * mu_end of the optimum of the restricted problem.  An
    objective below ``floor`` ends it early: the problem is then unbounded.
    """
    weights, dual, residual, mu = state.weights, state.dual, state.residual, state.mu
    groups = max(1, len(design))
    n_steps, moved, loss = 0, np.zeros_like(weights), _Loss.at(design, residual)
    while len(design) and n_steps < max_steps:
        curvature = penalty.curvature(weights, dual, mu)
        gradient = loss.gradient + curvature.gradient
        step = _factorise(design.gram, curvature).solve(-gradient)
        decrement = -float(np.vdot(gradient, step))
        change = design.gram @ step
        size = _line_search(loss, penalty, weights, step, change, decrement, mu)
        loss = loss.after(design, size * step, size * change)
        dual = penalty.dual_step(weights, dual, step, mu)
        weights, moved = weights + size * step, moved + size * step
        n_steps += 1
        linear = float(np.vdot(design.linear, weights))
        if not 0.5 * loss.square + linear + penalty.value(weights) > floor:
            break
        centred = decrement <= _CENTRED * mu * groups
        if centred and mu <= mu_end:
            break
        if centred or (size == 1.0 and decrement <= _NEAR_CENTRE * mu * groups):
            mu = max(mu_end, _SHRINK * mu)
            residual, moved = design.move(residual, moved), np.zeros_like(weights)
            loss = _Loss.at(design, residual)
    if moved.any():
        residual = design.move(residual, moved)
    return MasterState(weights, dual, residual, mu, state.n_steps + n_steps)


@dataclass(frozen=True, eq=False)
class _Loss:
    """The loss to the master: its gradient (K, g), linear cost included, and ||residual||^2."""

    gradient: Floats
    square: float

    @classmethod
    def at(cls, design: Design, residual: Residual) -> _Loss:
        return cls(design.gradient(residual), design.rows.inner(residual, residual))

    def after(self, design: Design, step: Floats, change: Floats) -> _Loss:
        """Moved by a step, whose product with the Gram matrix is ``change``."""
        first = float(np.vdot(self.gradient - design.linear, step))
        square = self.square + 2.0 * first + float(np.vdot(step, change))
        return _Loss(self.gradient + change, square)


def _line_search(
    loss: _Loss,
    penalty: Penalty,
    weights: Floats,
    step: Floats,
    change: Floats,
    decrement: float,
    mu: float,
) -> float:
    """Backtracking on the smoothed objective, whose quadratic part is known along the line."""
    first = float(np.vdot(loss.gradient, step))
    second = 0.5 * float(np.vdot(step, change))
    base = penalty.smoothed(weights, mu)
    noise = 1e-14 * (abs(base) + abs(first) + loss.square)
    size = penalty.longest_step(weights, step)
    while size > _SHORTEST:
        rise = size * first + size**2 * second + penalty.smoothed(weights + size * step, mu) - base
        if rise <= -_ARMIJO * size * decrement + noise:
            break
        size *= 0.5
    return size
