"""What every solver returns next to the network: one frozen certificate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf, isfinite
from time import perf_counter

# Bound and objective are sums of the same terms in another order: a bound above the objective by less
# than this share of it is rounding, and the gap is zero.
_ROUNDING = 1e-8


class Outcome(Enum):
    """What is known about a network; the value says what to do about it."""

    OPTIMAL = "nothing: no network of any width is better by more than the tolerance"
    OPTIMAL_BY_SEARCH = (
        "not all neurons were looked at; certify(network, X, n_starts=...) looks harder"
    )
    NO_BOUND = "no lower bound is known; use a larger beta or objective='denoising' for one"
    NOT_OPTIMAL = "refit with fit_convex_score, a larger beta or a larger tol"
    NOT_CERTIFIED = (
        "rounding hides the gap; remove a large common offset from the data or increase beta"
    )

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Certificate:
    r"""Proof of (near) optimality of one network for one convex problem.

    Attributes
    ----------
    objective : float
        Primal value P of the network, in the units of the data (sums over samples).
    dual_objective : float
        Value D of a dual feasible point: no network of any width has an objective below D (as far as
        neurons were looked at, see ``exact``); ``-inf`` where none is known.
    gap : float
        ``objective - dual_objective``; the network is within ``gap`` of the global optimum.
    relative_gap : float
        ``gap / |objective|`` (where the objective all but vanishes: relative to ``1e-6`` times the
        total weight over the variance of the points, the natural unit of the objective).
    max_violation : float
        :math:`\|G\|/\beta - 1`, the largest over *all* neurons, kinks between data points
        included; at most rounding at an optimum, positive if adding a neuron would help.
    exact : bool
        Whether the maximum was taken over all neurons (always in one dimension).
    n_tried : int
        What ``max_violation`` was taken over where not ``exact``: local searches started.
    tol : float
        Relative gap that counts as optimal.
    outcome : Outcome
        What is known; ``outcome.value`` says what to do about it.
    n_neurons, n_iter : int
        Active neurons and rounds of column generation (0 for a network from elsewhere).
    seconds : float
        Time of the solve and the certificate.
    beta : float
        The penalty the certificate is for.
    """

    objective: float
    dual_objective: float
    gap: float
    relative_gap: float
    max_violation: float
    exact: bool
    n_tried: int
    tol: float
    outcome: Outcome
    n_neurons: int
    n_iter: int
    seconds: float
    beta: float

    @property
    def optimal(self) -> bool:
        """Whether optimality is proven to ``tol``: every neuron was looked at and the gap is closed."""
        return self.outcome is Outcome.OPTIMAL

    @property
    def converged(self) -> bool:
        """Whether nothing that was looked at speaks against optimality; a proof if ``optimal``."""
        if self.outcome is Outcome.NO_BOUND:
            return self.max_violation <= self.tol
        return self.outcome in (Outcome.OPTIMAL, Outcome.OPTIMAL_BY_SEARCH)

    @property
    def message(self) -> str:
        """The outcome with its numbers, and what to do where something is left."""
        if self.outcome is Outcome.OPTIMAL:
            return str(self.outcome)
        found = {
            Outcome.OPTIMAL_BY_SEARCH: f"optimal as far as {self.n_tried} local searches tell",
            Outcome.NO_BOUND: f"{self.outcome}, largest violation {self.max_violation:.2g}",
            Outcome.NOT_OPTIMAL: f"not optimal: relative gap {self.relative_gap:.2g} (wanted "
            f"{self.tol:g}), a neuron violates its bound by {self.max_violation:.2g}",
            Outcome.NOT_CERTIFIED: f"not certified: the relative gap is {self.relative_gap:.2g}",
        }[self.outcome]
        return f"{found}; {self.outcome.value}"

    def __str__(self) -> str:
        return (
            f"objective {self.objective:.10g}, dual {self.dual_objective:.10g}, "
            f"gap {self.gap:.2g} (relative {self.relative_gap:.2g}), "
            f"violation {self.max_violation:.2g} over all neurons"
            f"{'' if self.exact else ' tried'}, {self.n_neurons} neurons, beta {self.beta:g}: "
            f"{self.message}"
        )


def certificate_from_bounds(
    primal: float,
    dual: float,
    *,
    unit: float,
    natural: float,
    violation: float,
    exact: bool,
    n_tried: int = 0,
    tol: float,
    n_neurons: int,
    n_iter: int,
    started: float,
    beta: float,
) -> Certificate:
    """The certificate of an objective and a lower bound: the one place where an outcome is decided.

    Parameters
    ----------
    primal, dual : objective and bound in the solver's units; ``dual`` may be ``-inf``.
    unit : what one solver's unit is in those of the data.
    natural : objectives smaller than this are judged against it, in the solver's units.
    started : value of ``time.perf_counter`` when the work began.
    """
    gap = primal - dual
    relative = gap / max(abs(primal), natural)
    if -_ROUNDING < relative < 0.0:
        gap = relative = 0.0
    return Certificate(
        objective=primal * unit,
        dual_objective=dual * unit,
        gap=gap * unit,
        relative_gap=relative,
        max_violation=violation,
        exact=exact,
        n_tried=0 if exact else n_tried,
        tol=tol,
        outcome=_outcome(relative, exact, tol),
        n_neurons=n_neurons,
        n_iter=n_iter,
        seconds=perf_counter() - started,
        beta=beta,
    )


def _outcome(relative: float, exact: bool, tol: float) -> Outcome:
    if relative == inf:
        return Outcome.NO_BOUND
    if relative < 0.0 or not isfinite(relative):
        return Outcome.NOT_CERTIFIED
    if relative > tol:
        return Outcome.NOT_OPTIMAL
    return Outcome.OPTIMAL if exact else Outcome.OPTIMAL_BY_SEARCH
