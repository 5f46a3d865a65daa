"""The convex programs of one column: every data point is the kink of some neurons, a lasso."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore._tools.validation import check_column, check_positive
from convexscore.programs import solver as conic
from convexscore.programs.solver import ConvexProgram, FloatArray, SolverChoice
from convexscore.programs.standardised import LineOptions, check_mass
from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.network import TwoLayerNetwork

# Clarabel's own defaults stop at 1e-8, which leaves some idle neurons at visible size.
_TOLERANCE = 1e-10
# Close data points and a small beta give weights of 1e5 ... 1e10, where interior-point solvers
# stall.  Stating the problem in larger units of y cures that; tried only when the first unit fails.
_UNITS = (1.0, 1e4, 1e8)
_PRUNE_BELOW = 1e-9


class LineLasso(NamedTuple):
    """The arrays of a program on the line and the neuron sigma(u (x - kink)) of every column."""

    A: FloatArray
    target: FloatArray
    linear: FloatArray
    u: FloatArray
    kinks: FloatArray


def univariate_matrices(
    x: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    **options: Unpack[LineOptions],
) -> LineLasso:
    r"""Return the arrays of :math:`\min_y \tfrac12\|Ay - t\|^2 + b^\top y + \beta\|y\|_1`.

    **Denoising** has :math:`b = 0` and, with :math:`J = I - 11^\top/n`,

    .. math:: A = J[\sigma(x_i - x_j), \sigma(x_j - x_i)], \qquad t = J l:

    :math:`\sigma(z) = z_+` for ReLU; for the absolute value both halves are equal and one of them
    is left out.  **Score matching** has :math:`t = 0` and every column twice, because a kink at a
    data point counts from both sides: for ReLU, with :math:`[A_1]_{ij} = (x_i - x_j)_+` and
    :math:`[A_2]_{ij} = (x_j - x_i)_+`,

    .. math::
        A = J[A_1, A_1, A_2, A_2] \in \mathbb{R}^{n\times 4n}, \quad
        b = [1^\top C_1, 1^\top C_2, -1^\top C_3, -1^\top C_4],

    :math:`C_1 = 1\{x_i \ge x_j\}`, :math:`C_2 = 1\{x_i > x_j\}`,
    :math:`C_3 = 1\{x_i \le x_j\}`, :math:`C_4 = 1\{x_i < x_j\}`; for the absolute value
    :math:`A = J[|x_i-x_j|, |x_i-x_j|] \in \mathbb{R}^{n\times 2n}`,
    :math:`b = [\sum_i \mathrm{sgn}(x_i-x_j), -\sum_i \mathrm{sgn}(x_j-x_i)]` with
    :math:`\mathrm{sgn}(0) = 1`.  In general ``b`` sums :math:`u\,\sigma'(u(x_i - x_j))`.

    **With skip connection**, for :math:`\bar x = x - \mu`,
    :math:`A \leftarrow (I - \bar x\bar x^\top/\|\bar x\|^2)A`, likewise t, and for score matching
    :math:`b \leftarrow b - n A^\top\bar x/\|\bar x\|^2` (with the old ``A``).

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
        Data, at least two distinct values.
    labels, activation, skip, sample_weight
        See :mod:`convexscore.programs`.  With weights sums are weighted sums and row i is
        multiplied by :math:`\sqrt{m_i}`.

    Returns
    -------
    LineLasso
        ``A`` (n, k) in the unit of x, ``target`` (n,), ``linear`` (k,) is b, without unit; ``u``
        and ``kinks`` (k,) are the neurons: for score matching a kink lies one rounding beside its
        data point, so that the derivative there is the one that the column counts.

    Raises
    ------
    ValueError
        If an argument is not as described.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching and univariate denoising
    score matching (ReLU and absolute value, with and without skip connection).

    Examples
    --------
    >>> lasso = univariate_matrices([0.0, 1.0])
    >>> lasso.A.shape, lasso.linear.tolist()
    ((2, 8), [2.0, 1.0, 1.0, 0.0, -1.0, -2.0, 0.0, -1.0])
    >>> lasso = univariate_matrices([0.0, 1.0, 3.0], labels=[1.0, 0.0, -1.0], activation="abs")
    >>> lasso.A.shape, lasso.target.tolist(), lasso.kinks.tolist()
    ((3, 3), [1.0, 0.0, -1.0], [0.0, 1.0, 3.0])
    """
    points, target, mass, sigma, skip = _checked(x, labels, **options)
    difference = points[:, np.newaxis] - points[np.newaxis, :]
    values, counts, u, kinks = [], [], [], []
    for sign in (1.0, -1.0) if sigma.odd else (1.0,):
        for active in (None,) if labels is not None else (True, False):
            values.append(sigma.value(sign * difference))
            counts.append(sign * mass @ sigma.derivative(sign * difference, left=not active))
            u.append(np.full(len(points), sign))
            kinks.append(points if active is None else _beside(points, sign, active))
    root, line = np.sqrt(mass)[:, np.newaxis], np.sqrt(mass) * _centred(points, mass)
    A, t = (root * (c - mass @ c / mass.sum()) for c in (np.hstack(values), target[:, np.newaxis]))
    linear = np.concatenate(counts) if labels is None else np.zeros(A.shape[1])
    if skip:
        if labels is None:
            linear = linear - mass.sum() / (line @ line) * (line @ A)
        A, t = (c - np.outer(line, (line @ c) / (line @ line)) for c in (A, t))
    return LineLasso(A, t[:, 0], linear, np.concatenate(u), np.concatenate(kinks))


def univariate_program(
    x: ArrayLike,
    *,
    beta: float,
    labels: ArrayLike | None = None,
    solver: SolverChoice | str = conic.CLARABEL,
    **options: Unpack[LineOptions],
) -> ConvexProgram:
    r"""Score matching (or, with labels, denoising) on one column, the exact convex program.

    .. math:: \min_y\ \tfrac12\|Ay - t\|^2 + b^\top y + \beta\|y\|_1

    with the arrays of :func:`univariate_matrices` has the optimal value of the training problem
    :math:`\min_s \sum_i \tfrac12 s(x_i)^2 + s'(x_i) + \tfrac\beta2 \sum_j (u_j^2 + w_j^2)` for score
    matching and :math:`\min_s \sum_i \tfrac12 (s(\tilde x_i) - l_i)^2 + \tfrac\beta2 \sum_j
    (u_j^2 + w_j^2)` for denoising.  With skip connection score matching has the constant
    :math:`-n^2/(2\|\bar x\|^2)` besides, the value of the best line alone.

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
        Data or noisy points :math:`\tilde x_i = x_i + \varepsilon\delta_i`, two distinct values or
        more.
    beta : float
        For score matching at least :func:`smallest_beta`; denoising takes every beta >= 0.
    labels, activation, skip, sample_weight, solver
        See :mod:`convexscore.programs`.  Clarabel runs at tolerance 1e-10 here.

    Returns
    -------
    ConvexProgram

    Raises
    ------
    UnboundedObjectiveError
        If ``beta`` is below the limit; the message names it.
    SolverError, ValueError, and a ConvergenceWarning
        See :mod:`convexscore.programs`.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching and univariate denoising
    score matching: ReLU and absolute value, with and without skip connection, one theorem each.

    Examples
    --------
    Between a data-dependent threshold and n the optimal value is -(n - beta)^2 / (2 n var(x)).

    >>> program = univariate_program([-1.0, 0.0, 1.0], beta=2.0)
    >>> program.status, round(program.value, 6)
    ('optimal', -0.25)

    With skip connection and a large beta the score is the Gaussian one, -(x - mean) / var.

    >>> program = univariate_program([-1.0, 0.0, 1.0], beta=10.0, activation="abs", skip=True)
    >>> round(program.value, 6), float(program.network(0.5).round(6))
    (-2.25, -0.75)
    >>> program = univariate_program([-1.0, 0.0, 1.0], beta=0.5, labels=[1.0, 0.0, -1.0])
    >>> program.status, round(program.value, 6)
    ('optimal', 0.4375)
    """
    points, target, mass, sigma, skip = _checked(x, labels, **options)
    penalty = check_positive(beta, name="beta", strict=False)
    if labels is None and penalty < (limit := smallest_beta(x, **options)):
        raise UnboundedObjectiveError(
            f"score matching is unbounded below at beta={penalty:g}: on these data beta must be "
            f"at least {limit:g}. The limit grows with repeated values; raise beta, or use "
            "denoising, which is bounded for every beta."
        )
    lasso = univariate_matrices(x, labels=labels, **options)

    # Points in units of sd and labels in units of their own spread r: with A = sd A', t = r t',
    # y = (r / sd) y' the program is r^2 times the one in primes with beta' = beta / (r sd).
    # Scores have the unit of 1 / x, so r = 1 / sd for score matching.
    total, centred = float(mass.sum()), _centred(points, mass)
    line = np.sqrt(mass) * centred
    sd = float(np.sqrt(line @ line / total))
    rate = 1.0 / sd
    if labels is not None:
        rate = float(np.sqrt(lasso.target @ lasso.target / total)) or 1.0
    primed = lasso._replace(A=lasso.A / sd, target=lasso.target / rate)
    program = _solve_lasso(primed, penalty / (rate * sd), solver)
    y = conic.value_of(program.variables["y"]) * program.scale * (rate / sd)
    u, w, b = _neurons(lasso, y, rate / sd)
    hidden = sigma.value(points[:, np.newaxis] * u[:, 0] + b) @ w[:, 0]
    # The offset makes the weighted residual average to zero; the skip makes its product with x sum
    # to zero, for score matching to minus the total weight.
    wanted, moments = target - hidden, mass * centred
    pull = 0.0 if labels is not None else total
    slope = float(moments @ wanted - pull) / float(moments @ centred) if skip else 0.0
    offset = float(mass @ (wanted - slope * points) / total)
    constant = -total / 2 * rate**2 if skip and labels is None else 0.0
    return replace(
        program,
        value=program.value * rate**2 + constant,
        weights=y,
        fitted=(hidden + slope * points + offset)[:, np.newaxis],
        network=TwoLayerNetwork(
            u, w, b, skip=[[slope]] if skip else None, offset=[offset], activation=sigma
        ),
        scale=program.scale * rate**2,
        constant=constant,
    )


def smallest_beta(x: ArrayLike, **options: Unpack[LineOptions]) -> float:
    r"""Return :math:`\beta_0`: score matching of one column is bounded below exactly for
    :math:`\beta \ge \beta_0`.

    Let :math:`m_{end}` be the larger multiplicity (total weight) of the two extreme data values
    and :math:`m_{int}` the largest one strictly between them.

    - ReLU, with or without skip: :math:`\max(m_{end}, m_{int}/2)`
    - absolute value, no skip: :math:`\max(m_{end}, m_{int})`
    - absolute value with skip: :math:`\max(2 m_{end}, m_{int})`
    - :math:`\sigma(z) = az + b|z|`, with skip or for :math:`a \ge b`:
      :math:`b\max(2 m_{end}, m_{int})`, otherwise
      :math:`\max(m_{end}, b\,m_{int}, 2a\,m_{end} + (b - a)\,m_{int})`

    Equal to the largest :math:`-b^\top y` over :math:`Ay = 0`, :math:`\|y\|_1 \le 1`: functions
    that vanish on the data while their derivatives there do not.

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
    activation, skip, sample_weight
        See :mod:`convexscore.programs`.

    Notes
    -----
    For :math:`\sigma(z) = az + b|z|` such a function is a sum of pieces that are lines on the data with
    additional derivative at one value.  For a unit of weight there are a kink outside the data (slopes
    up to :math:`\pm 1`, nothing more), a kink at an extreme value (slope :math:`a - b` or
    :math:`-1`, and :math:`2b\,m_{end}` more), and a pair of kinks on both sides of an inner value
    (slopes up to :math:`\pm a`, and :math:`b\,m_{int}` more).  With skip slopes are free and the
    best piece counts; without, the best mixture of slope zero.

    Examples
    --------
    >>> smallest_beta([0.0, 1.0, 2.0])
    1.0
    >>> smallest_beta([0.0, 1.0, 1.0, 1.0, 2.0], activation="abs", skip=True)
    3.0
    """
    points, _, mass, sigma, skip = _checked(x, None, **options)
    multiplicity = np.bincount(np.unique(points, return_inverse=True)[1], weights=mass)
    end = float(max(multiplicity[0], multiplicity[-1]))
    inner = float(np.max(multiplicity[1:-1], initial=0.0))
    a, b = sigma.odd, sigma.even
    if skip or a >= b:
        return b * max(2 * end, inner)
    return max(end, b * inner, 2 * a * end + (b - a) * inner)


def _checked(
    x: ArrayLike,
    labels: ArrayLike | None,
    *,
    activation: str | Activation = "relu",
    skip: bool = False,
    sample_weight: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray, Activation, bool]:
    """Points, labels (zeros for score matching) and weights, all (n,), activation and skip."""
    points = check_column(x)
    target = np.zeros_like(points)
    if labels is not None:
        target = check_column(labels, name="labels", min_distinct=1)
    if target.shape != points.shape:
        raise ValueError(
            f"labels must have shape {points.shape}, one for every noisy point; got {target.shape}."
        )
    return points, target, check_mass(sample_weight, len(points)), get_activation(activation), skip


def _centred(values: FloatArray, mass: FloatArray) -> FloatArray:
    """Subtract the weighted mean, after a shift that keeps the digits of clustered values."""
    shifted = values - values[0]
    return np.asarray(shifted - mass @ shifted / mass.sum())


def _beside(x: FloatArray, sign: float, active: bool) -> FloatArray:
    """Kinks one rounding beside their points, which are then active or not.

    If another data point already sits there the kink stays on its own point: the convention
    sigma'(0) = "active" then does the same.
    """
    moved = np.nextafter(x, (-sign if active else sign) * np.inf)
    return np.where(np.isin(moved, x), x, moved) if active else moved


def _solve_lasso(lasso: LineLasso, beta: float, solver: SolverChoice | str) -> ConvexProgram:
    cp = conic.import_cvxpy()

    def statement(unit: float) -> Any:
        # With y = unit * y' the objective divided by unit keeps b and beta.
        y = cp.Variable(lasso.A.shape[1], name="y")
        fit = cp.sum_squares((np.sqrt(unit) * lasso.A) @ y - lasso.target / np.sqrt(unit))
        return cp.Problem(cp.Minimize(0.5 * fit + lasso.linear @ y + beta * cp.norm1(y)))

    choice = SolverChoice(solver) if isinstance(solver, str) else solver
    return conic.solve(statement, choice, _TOLERANCE, units=_UNITS)


def _neurons(
    lasso: LineLasso, y: FloatArray, unit: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The neurons u, w (m, 1) and b (m,) of the columns that are used, equal ones merged."""
    columns = np.column_stack([lasso.u, lasso.kinks])
    neurons, which = np.unique(columns, axis=0, return_inverse=True)
    w = np.bincount(which.ravel(), y).astype(np.float64)
    keep = np.abs(w) > _PRUNE_BELOW * np.max(np.abs(w), initial=unit)
    u, kinks = neurons[keep, :1], neurons[keep, 1]
    return u, w[keep, np.newaxis], -u[:, 0] * kinks
