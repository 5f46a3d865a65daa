"""The certified fits of a ladder of noise levels: one job per level, for whatever backend runs it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import ConvergenceWarning, DataWarning
from convexscore._tools.recorded_warnings import recorded_warnings
from convexscore._tools.tables import aligned
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore.objectives.options import Problem
from convexscore.scores.base import Score, SpaceScore
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.training_problem import problem_on


@dataclass(frozen=True, eq=False)
class LevelFit:
    """The score of the data at one noise level, or why there is none.

    Attributes
    ----------
    level : float
        Noise level epsilon of :math:`X + \\varepsilon G`.
    beta : float
        The penalty used.
    network : TwoLayerNetwork or None
        Score at this level; None if the fit failed.
    score : Score or None
        The same on rows (n, d); of one column exact and faster to evaluate.
    certificate : Certificate or None
    seconds : float
    error : str
        Type and message of what failed; empty if nothing did.
    messages : tuple of str
        Warnings of the solver.
    """

    level: float
    beta: float
    network: TwoLayerNetwork | None
    score: Score | None
    certificate: Certificate | None
    seconds: float
    error: str = ""
    messages: tuple[str, ...] = ()


def fit_level(
    X: Floats,
    sample_weight: Floats | None,
    problem: Problem,
    beta: float,
    *,
    tol: float | None,
    n_starts: int | None,
    seed: np.random.SeedSequence,
) -> LevelFit:
    """Fit one level; an exception becomes the ``error`` of the result, warnings its ``messages``.

    Parameters
    ----------
    X : (n, d) points.
    problem : a denoising problem with its noise level.
    tol : relative gap; None: the solver's own.
    seed : of the noise and the local searches.
    """
    started = perf_counter()
    assert problem.noise is not None
    fit = None
    error = ""
    with recorded_warnings() as messages, threads_for(X.size):
        try:
            noise, searches = (np.random.default_rng(child) for child in seed.spawn(2))
            training = problem_on(
                X,
                problem,
                sample_weight=sample_weight,
                rng=noise,
                searches=searches,
                n_starts=n_starts,
            )
            fit = training.fit(beta, tol=tol)
        except Exception as failure:  # the other levels must not be lost
            error = f"{type(failure).__name__}: {failure}"
    return LevelFit(
        level=problem.noise,
        beta=beta,
        network=None if fit is None else fit.network,
        score=None if fit is None else _without_rows(fit.score),
        certificate=None if fit is None else fit.certificate,
        seconds=perf_counter() - started,
        error=error,
        messages=tuple(messages),
    )


def _without_rows(score: Score) -> Score:
    """No chain of a level starts at the data: a model need not carry them, once per level."""
    return replace(score, rows=score.rows[:0].copy()) if isinstance(score, SpaceScore) else score


@dataclass(frozen=True, eq=False, repr=False)
class LevelTable(Sequence[LevelFit]):
    """The fits of all levels as a table: rows by position, columns by name, readable when printed.

    Columns: ``level``, ``beta``, ``neurons``, ``gap`` (relative), ``violation``, ``exact``,
    ``seconds``, ``outcome``.  Failed levels have NaN or 0 in them and an outcome that says why.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import fit_convex_diffusion
    >>> model = fit_convex_diffusion(np.linspace(-1, 1, 30), n_levels=4, beta=5.0, random_state=0)
    >>> table = model.certificates_
    >>> len(table), bool((table["gap"] < 1e-8).all()), table[0].certificate.optimal
    (4, True, True)
    """

    COLUMNS = ("level", "beta", "neurons", "gap", "violation", "exact", "seconds", "outcome")

    fits: tuple[LevelFit, ...]

    def __len__(self) -> int:
        return len(self.fits)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._column(key)
        return self.fits[key]

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self.COLUMNS:
            raise KeyError(f"no column {name!r}; choose from {', '.join(self.COLUMNS)}")
        return np.array([_cell(fit, name) for fit in self.fits])

    @property
    def optimal(self) -> bool:
        """Whether every level was fitted and proven optimal."""
        return all(fit.certificate is not None and fit.certificate.optimal for fit in self.fits)

    @property
    def converged(self) -> bool:
        """Whether every level was fitted and nothing that was looked at speaks against its optimality."""
        return all(fit.certificate is not None and fit.certificate.converged for fit in self.fits)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns as lists: ``pandas.DataFrame(table.to_dict())``."""
        return {name: self._column(name).tolist() for name in self.COLUMNS}

    def __repr__(self) -> str:
        rows = [list(self.COLUMNS)]
        for fit in self.fits:
            rows.append([_shown(_cell(fit, name)) for name in self.COLUMNS])
        return "\n".join(aligned(rows, numbers=True))


def _cell(fit: LevelFit, name: str) -> Any:
    if name in ("level", "beta", "seconds"):
        return getattr(fit, name)
    certificate = fit.certificate
    if certificate is None:
        empty = {"neurons": 0, "exact": False, "outcome": f"failed: {fit.error}"}
        return empty.get(name, np.nan)
    return {
        "neurons": certificate.n_neurons,
        "gap": certificate.relative_gap,
        "violation": certificate.max_violation,
        "exact": certificate.exact,
        "outcome": str(certificate.outcome),
    }[name]


def _shown(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def warn_of_levels(table: LevelTable) -> None:
    """One warning for all failed levels, one for all that are not certified, one for the rest."""
    failed = [fit for fit in table if fit.error]
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(table)} noise levels failed and are left out (levels "
            f"{_listed([fit.level for fit in failed])}): {failed[0].error}. The model interpolates "
            "over them; see certificates_.",
            ConvergenceWarning,
            stacklevel=3,
        )
    loose = [fit for fit in table if fit.certificate and not fit.certificate.converged]
    if loose:
        worst = max(fit.certificate.relative_gap for fit in loose if fit.certificate)
        warnings.warn(
            f"{len(loose)} of {len(table)} noise levels did not converge to the tolerance (levels "
            f"{_listed([fit.level for fit in loose])}; largest relative gap {worst:.2g}); see "
            "certificates_, or use a larger tol or beta.",
            ConvergenceWarning,
            stacklevel=3,
        )
    said = {m for fit in table for m in fit.messages if not m.startswith("column generation")}
    if said:
        warnings.warn(" ".join(sorted(said)), DataWarning, stacklevel=3)


def _listed(levels: Sequence[float]) -> str:
    shown = ", ".join(f"{level:.3g}" for level in levels[:5])
    return shown + (", ..." if len(levels) > 5 else "")
