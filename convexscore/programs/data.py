"""Points and labels in several dimensions: checked, standardised, mapped back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.validation import check_points, check_positive, check_weights
from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]


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

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)"""
        return self.points.shape[0], self.points.shape[1]

    @property
    def slope(self) -> float:
        """Unit of an outer weight or of a skip matrix: r / a."""
        return self.rate / self.length

    def network(
        self,
        u: FloatArray,
        w: FloatArray,
        b: FloatArray,
        variables: Mapping[str, Any],
        shift: FloatArray | float = 0.0,
    ) -> TwoLayerNetwork:
        """Network with neurons in the unit of the data, V and c (plus a shift) as they were solved.

        Outputs that have no label are zero.
        """
        missing = self.shape[1] - w.shape[1]
        offset = variables["offset"].value[0] if self.offset else 0.0
        constant = self.label_mean + self.rate * (offset + shift)
        skip = None
        if self.skip:
            matrix = self.slope * variables["skip"].value
            constant = constant - matrix @ self.mean
            skip = np.pad(matrix, [(0, missing), (0, 0)])
        return TwoLayerNetwork(
            u,
            np.pad(w, [(0, 0), (0, missing)]),
            b,
            skip=skip,
            offset=np.pad(constant, (0, missing)),
            activation=self.activation,
        )

    def biases(self, u: FloatArray, b: FloatArray) -> FloatArray:
        """Biases for the data of neurons u.x' + b: a (u.x' + b) = u.x + (a b - u.mu)."""
        return np.asarray(self.length * b - u @ self.mean)


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
    sample_weight: ArrayLike | None,
    *,
    activation: str | Activation,
    skip: bool,
    offset: bool,
    bias: bool = True,
    outputs: str = "all",
) -> Standardised:
    """Check a problem and put it into natural units; without labels it is score matching.

    ``bias`` and ``offset`` together can take up the means.  Labels have a column for "all" outputs
    of a network, for "some" of them, or for "any" number.
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
    if labels is None:
        target, label_mean, rate = np.zeros((n, d)), np.zeros(d), 1.0 / length
    else:
        given = _check_labels(labels, n, d, outputs)
        width = given.shape[1]
        label_mean = mass @ given / mass.sum() if centre else np.zeros(width)
        target = given - label_mean
        rate = float(np.sqrt(mass @ np.sum(target**2, axis=1) / (mass.sum() * width)))
        rate = rate or 1.0 / length
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
    )


def _check_labels(labels: ArrayLike, n: int, d: int, outputs: str) -> FloatArray:
    target = check_points(labels, name="labels", min_distinct=1)
    k = target.shape[1]
    if len(target) != n or (k > d and outputs != "any") or (k < d and outputs == "all"):
        wanted = {"all": f"({n}, {d})", "some": f"({n}, k), k <= {d}", "any": f"({n}, k)"}[outputs]
        raise ValueError(
            f"labels must have shape {wanted}, one row per point; got {np.shape(labels)}."
        )
    return target
