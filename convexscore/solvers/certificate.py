"""What every solver returns next to the network: one frozen certificate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    r"""Proof of (near) optimality of one network for one convex problem.

    Attributes
    ----------
    objective : float
        Primal value P of the network, in the units of the data (sums over samples).
    dual_objective : float
        Value D of a dual feasible point: no network of any width has an objective below D.
    gap : float
        ``objective - dual_objective``; the network is within ``gap`` of the global optimum.
    relative_gap : float
        ``gap / |objective|`` (where the objective all but vanishes: relative to ``1e-6`` times the
        total weight over the variance of the points, the natural unit of the objective).
    max_violation : float
        :math:`\|G\|/\beta - 1`, the largest over *all* neurons, kinks between data points
        included; at most rounding at an optimum, positive if adding a neuron would help.
    exact : bool
        Whether the maximum was taken over all neurons exactly (always true in one dimension).
    n_neurons, n_iter : int
        Active neurons and rounds of column generation (0 for a network from elsewhere).
    seconds : float
        Time of the solve and the certificate.
    beta : float
        The penalty the certificate is for.
    status : str
        ``"optimal"`` or what is left to do, in words.
    n_tried : int
        What ``max_violation`` was taken over where not ``exact``: local searches started.
    """

    objective: float
    dual_objective: float
    gap: float
    relative_gap: float
    max_violation: float
    exact: bool
    n_neurons: int
    n_iter: int
    seconds: float
    beta: float
    status: str
    n_tried: int = 0

    @property
    def optimal(self) -> bool:
        """Whether the status is ``"optimal"``."""
        return self.status.startswith("optimal")

    def __str__(self) -> str:
        return (
            f"objective {self.objective:.10g}, dual {self.dual_objective:.10g}, "
            f"gap {self.gap:.2g} (relative {self.relative_gap:.2g}), "
            f"violation {self.max_violation:.2g} over all neurons"
            f"{'' if self.exact else ' tried'}, {self.n_neurons} neurons, beta {self.beta:g}: "
            f"{self.status}"
        )
