"""The certified fits of a ladder of noise levels: one job per level, for whatever backend runs it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from convexscore._tools.exceptions import ConvergenceWarning, DataWarning
from convexscore._tools.recorded_warnings import recorded_warnings
from convexscore._tools.tables import aligned
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore.objectives.options import Problem
from convexscore.scores import Score, SpaceScore, TwoLayerNetwork
from convexscore.solvers import Certificate, problem_on


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
    network: TwoLayerNetwork | None = None
    score: Score | None = None
    certificate: Certificate | None = None
    seconds: float = 0.0
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
    seed: int,
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
    found: dict[str, Any] = {}
    with recorded_warnings() as messages, threads_for(X.size):
        try:
            children = np.random.SeedSequence(seed).spawn(2)
            noise, searches = (np.random.default_rng(child) for child in children)
            training = problem_on(
                X, problem, sample_weight, rng=noise, searches=searches, n_starts=n_starts
            )
            fit = training.fit(beta, tol=tol)
            score = fit.score
            if isinstance(score, SpaceScore):
                # no chain of a level starts at the data: a model need not carry them, once per level
                score = replace(score, rows=score.rows[:0].copy())
            found = {"network": fit.network, "score": score, "certificate": fit.certificate}
        except Exception as failure:  # the other levels must not be lost
            found = {"error": f"{type(failure).__name__}: {failure}"}
    seconds = perf_counter() - started
    return LevelFit(problem.noise, beta, seconds=seconds, messages=tuple(messages), **found)


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
        if not isinstance(key, str):
            return self.fits[key]
        if key not in self.COLUMNS:
            raise KeyError(f"no column {key!r}; choose from {', '.join(self.COLUMNS)}")
        return np.array([_cells(fit)[key] for fit in self.fits])

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
        return {name: self[name].tolist() for name in self.COLUMNS}

    def __repr__(self) -> str:
        rows = [[_shown(cell) for cell in _cells(fit).values()] for fit in self.fits]
        return "\n".join(aligned([self.COLUMNS, *rows], numbers=True))


def _cells(fit: LevelFit) -> dict[str, Any]:
    """One row of the table, by `LevelTable.COLUMNS`."""
    proof = fit.certificate
    cells = [0, np.nan, np.nan, False, fit.seconds, f"failed: {fit.error}"]
    if proof is not None:
        cells = [proof.n_neurons, proof.relative_gap, proof.max_violation, proof.exact]
        cells += [fit.seconds, str(proof.outcome)]
    return dict(zip(LevelTable.COLUMNS, [fit.level, fit.beta, *cells], strict=True))


def _shown(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def warn_of_levels(table: LevelTable) -> None:
    """One warning for all failed levels, one for all that are not certified, one for the rest."""
    failed = [fit for fit in table if fit.error]
    loose = [fit for fit in table if fit.certificate and not fit.certificate.converged]
    said = {m for fit in table for m in fit.messages if not m.startswith("column generation")}
    texts = []
    if failed:
        texts.append(
            f"{len(failed)} of {len(table)} noise levels failed and are left out (levels "
            f"{_listed(failed)}): {failed[0].error}. The model interpolates over them; see "
            "certificates_."
        )
    if loose:
        worst = max(fit.certificate.relative_gap for fit in loose if fit.certificate)
        texts.append(
            f"{len(loose)} of {len(table)} noise levels did not converge to the tolerance (levels "
            f"{_listed(loose)}; largest relative gap {worst:.2g}); see certificates_, or use a larger "
            "tol or beta."
        )
    for text in texts:
        warnings.warn(text, ConvergenceWarning, stacklevel=3)
    if said:
        warnings.warn(" ".join(sorted(said)), DataWarning, stacklevel=3)


def _listed(fits: Sequence[LevelFit]) -> str:
    shown = ", ".join(f"{fit.level:.3g}" for fit in fits[:5])
    return shown + (", ..." if len(fits) > 5 else "")
