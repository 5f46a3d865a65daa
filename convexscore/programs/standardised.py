"""Problems in several dimensions: checked, standardised, solved with V x + c, mapped back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_points, check_positive, check_weights
from convexscore.programs import solver as conic
from convexscore.programs.solver import ConvexProgram, FloatArray, SolverChoice
from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.network import TwoLayerNetwork

# Second-order cones lose a digit more to rounding than linear ones, semidefinite ones two.
_CONIC_TOLERANCE = 1e-9


class LineOptions(TypedDict, total=False):
    """What all programs share, explained at :mod:`convexscore.programs`."""

    activation: str | Activation
    skip: bool
    sample_weight: ArrayLike | None


class ProgramOptions(LineOptions, total=False):
    """What all programs in several dimensions share."""

    offset: bool
    solver: SolverChoice | str


@dataclass(frozen=True, eq=False)
class Standardised:
    r"""A problem in units in which its numbers are of order one.

    With :math:`x = \mu + a x'`, :math:`l = \bar l + r l'` and :math:`s = \bar l + r s'` the
    objective is :math:`r^2` times the same objective of the primed quantities with
    :math:`\beta' = \beta/(ra)`.  Score matching has :math:`r = 1/a`, so beta stays.

    Attributes
    ----------
    raw : (n, d) points as given.
    points : (n, d) points x'.
    labels : (n, k) labels l', zeros for score matching.
    mass : (n,) sample weights.
    divergence : 1.0 for score matching, 0.0 for denoising.
    beta : the penalty beta'.
    mean : (d,) mu, zero when the program has no offset that could take it up.
    length : a
    rate : r
    label_mean : (k,)
    activation : sigma
    skip, offset : whether V and c are there.
    solver : the conic solver.
    """

    raw: FloatArray
    points: FloatArray
    labels: FloatArray
    mass: FloatArray
    divergence: float
    beta: float
    mean: FloatArray
    length: float
    rate: float
    label_mean: FloatArray
    activation: Activation
    skip: bool
    offset: bool
    solver: SolverChoice

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)"""
        return self.points.shape[0], self.points.shape[1]

    @property
    def slope(self) -> float:
        """Unit of an outer weight or of a skip matrix: r / a."""
        return self.rate / self.length

    def minimise(
        self,
        values: Any,
        weights: Any,
        counts: FloatArray,
        penalty: Any,
        *,
        constraints: Sequence[Any] = (),
        tolerance: float = _CONIC_TOLERANCE,
        refuse: Callable[[str], None] = lambda status: None,
    ) -> ConvexProgram:
        """Add V x + c, solve, and report in the unit of the data, without weights and network.

        ``counts`` are the coefficients of the divergence in the ``weights``.
        """
        cp = conic.import_cvxpy()
        (n, d), width = self.shape, self.labels.shape[1]
        divergence = cp.sum(cp.multiply(counts, weights)) if self.divergence else 0.0
        if self.skip:
            V = cp.Variable((width, d), name="skip")
            values = values + self.points @ V.T
            if self.divergence:
                divergence = divergence + self.mass.sum() * cp.trace(V)
        if self.offset:
            values = values + np.ones((n, 1)) @ cp.Variable((1, width), name="offset")
        root = np.sqrt(self.mass)[:, np.newaxis]
        fit = 0.5 * cp.sum_squares(cp.multiply(root, values - self.labels))
        objective = cp.Minimize(fit + self.beta * penalty + divergence)
        problem = cp.Problem(objective, list(constraints))
        program = conic.solve(lambda _: problem, self.solver, tolerance, refuse=refuse)
        return replace(
            program,
            value=program.value * self.rate**2,
            fitted=self.label_mean + self.rate * conic.value_of(values),
            scale=self.rate**2,
        )

    def network(
        self,
        program: ConvexProgram,
        u: FloatArray,
        w: FloatArray,
        b: FloatArray,
        shift: FloatArray | float = 0.0,
    ) -> TwoLayerNetwork:
        """Network with neurons in the unit of the data, V and c (plus a shift) as they were solved.

        Outputs that have no label are zero.
        """
        missing = self.shape[1] - w.shape[1]
        offset = program.variables["offset"].value[0] if self.offset else 0.0
        constant = self.label_mean + self.rate * (offset + shift)
        skip = None
        if self.skip:
            matrix = self.slope * program.variables["skip"].value
            constant = constant - matrix @ self.mean
            skip = np.pad(matrix, [(0, missing), (0, 0)])
        w, constant = np.pad(w, [(0, 0), (0, missing)]), np.pad(constant, (0, missing))
        return TwoLayerNetwork(u, w, b, skip=skip, offset=constant, activation=self.activation)


def check_mass(sample_weight: ArrayLike | None, n: int) -> FloatArray:
    """Positive weights (n,), ones when none are given."""
    mass = check_weights(sample_weight, n)
    if mass is None:
        return np.ones(n)
    if np.any(mass == 0):
        raise ValueError("sample_weight must be positive; got 0. Leave out samples of weight zero.")
    return mass


def standardise(
    X: ArrayLike,
    labels: ArrayLike | None,
    beta: float,
    *,
    activation: str | Activation = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: SolverChoice | str = conic.CLARABEL,
    bias: bool = True,
) -> Standardised:
    """Check a problem and put it into natural units; without labels it is score matching.

    ``bias`` and ``offset`` together can take up the means.
    """
    data = check_points(X)
    n, d = data.shape
    mass = check_mass(sample_weight, n)
    penalty = check_positive(beta, name="beta", strict=False)
    centre = bias and offset
    # After a shift that keeps the digits of points far from the origin.
    shifted = data - data[0]
    mean = data[0] + mass @ shifted / mass.sum() if centre else np.zeros(d)
    moved = data - mean
    length = float(np.sqrt(mass @ np.sum(moved**2, axis=1) / (mass.sum() * d)))
    target, label_mean, rate = np.zeros((n, d)), np.zeros(d), 1.0 / length
    if labels is not None:
        given = check_points(labels, name="labels", min_distinct=1)
        k = given.shape[1]
        if len(given) != n or k > d:
            raise ValueError(
                f"labels must have shape ({n}, k), k <= {d}, one row per point; got "
                f"{np.shape(labels)}."
            )
        label_mean = mass @ given / mass.sum() if centre else np.zeros(k)
        target = given - label_mean
        rate = float(np.sqrt(mass @ np.sum(target**2, axis=1) / (mass.sum() * k))) or rate
        target = target / rate
    return Standardised(
        raw=data,
        points=moved / length,
        labels=target,
        mass=mass,
        divergence=1.0 if labels is None else 0.0,
        beta=penalty / (rate * length),
        mean=mean,
        length=length,
        rate=rate,
        label_mean=label_mean,
        activation=get_activation(activation),
        skip=skip,
        offset=offset,
        solver=SolverChoice(solver) if isinstance(solver, str) else solver,
    )
