"""The certified fits of a ladder of noise levels: one job per level, for whatever backend runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel
from joblib.parallel import get_active_backend
from numpy.typing import NDArray

from convexscore._tools.progress import progress_bar
from convexscore._tools.recorded_warnings import recorded_warnings
from convexscore._tools.threads import threads_for
from convexscore.models.space_fit import build_problem, fit_problem
from convexscore.objectives.options import ProblemOptions
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.line import problem as line_problem
from convexscore.solvers.line import solve as univariate

Floats = NDArray[np.float64]


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
    piecewise : PiecewiseLinearScore or None
        One column: the same score, faster to evaluate.
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
    piecewise: PiecewiseLinearScore | None
    certificate: Certificate | None
    seconds: float
    error: str = ""
    messages: tuple[str, ...] = ()

    def __call__(self, x: Floats) -> Floats:
        """The VE score at this level, (n, d) to (n, d)."""
        if self.piecewise is not None:
            return self.piecewise(x[:, 0])[:, None]
        assert self.network is not None
        return self.network(x)


def fit_level(
    x: Floats,
    sample_weight: Floats | None,
    options: ProblemOptions,
    beta: float,
    *,
    tol: float,
    n_starts: int,
    seed: np.random.SeedSequence,
) -> LevelFit:
    """Fit one level; an exception becomes the ``error`` of the result, warnings its ``messages``.

    Parameters
    ----------
    x : (n, d) points.
    options : a denoising problem with its noise level.
    tol : relative gap; one column is solved to rounding whatever it is.
    seed : of the noise and the local searches.
    """
    started = perf_counter()
    assert options.noise is not None
    network = piecewise = certificate = None
    error = ""
    with recorded_warnings() as messages, threads_for(x.size):
        try:
            noise_seed, search_seed = (np.random.default_rng(child) for child in seed.spawn(2))
            if x.shape[1] == 1:
                problem = line_problem.prepare(options.build(x, sample_weight, noise_seed))
                line = univariate.solve(problem, options.case, beta)
                network, piecewise, certificate = line.network, line.score, line.certificate
            else:
                built = build_problem(x, options, sample_weight, noise_seed)
                fit = fit_problem(built, beta, tol=tol, n_starts=n_starts, rng=search_seed)
                network, certificate = fit.network, fit.certificate
        except Exception as failure:  # the other levels must not be lost
            error = f"{type(failure).__name__}: {failure}"
    return LevelFit(
        level=options.noise,
        beta=beta,
        network=network,
        piecewise=piecewise,
        certificate=certificate,
        seconds=perf_counter() - started,
        error=error,
        messages=tuple(messages),
    )


def at_level(options: ProblemOptions, level: float) -> ProblemOptions:
    """The same problem at another noise level."""
    return replace(options, noise=float(level))


def run_jobs(
    jobs: Iterable[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]],
    *,
    n_jobs: int | None,
    total: int,
    progress: bool,
    description: str,
) -> list[Any]:
    """Results of joblib jobs in order, with the backend that is active (loky unless chosen).

    The bar moves with every result where the backend hands them out one by one.
    """
    backend, _ = get_active_backend()
    if getattr(backend, "supports_return_generator", False):
        results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    else:
        results = Parallel(n_jobs=n_jobs)(jobs)
    collected = []
    with progress_bar(total, show=progress, description=description) as advance:
        for result in results:
            collected.append(result)
            advance(1)
    return collected


@dataclass(frozen=True, eq=False, repr=False)
class LevelTable(Sequence[LevelFit]):
    """The fits of all levels as a table: rows by position, columns by name, readable when printed.

    Columns: ``level``, ``beta``, ``neurons``, ``gap`` (relative), ``violation``, ``exact``,
    ``seconds``, ``status``.  Failed levels have NaN or 0 in them and a status that says why.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import fit_convex_diffusion
    >>> model = fit_convex_diffusion(np.linspace(-1, 1, 30), n_levels=4, beta=5.0, random_state=0)
    >>> table = model.certificates_
    >>> len(table), bool((table["gap"] < 1e-8).all()), table[0].certificate.status
    (4, True, 'optimal')
    """

    COLUMNS = ("level", "beta", "neurons", "gap", "violation", "exact", "seconds", "status")

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
        """Whether every level was fitted and certified."""
        return all(fit.certificate is not None and fit.certificate.optimal for fit in self.fits)

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns as lists: ``pandas.DataFrame(table.to_dict())``."""
        return {name: self._column(name).tolist() for name in self.COLUMNS}

    def __repr__(self) -> str:
        from convexscore._tools.tables import aligned

        rows = [list(self.COLUMNS)]
        for fit in self.fits:
            rows.append([_shown(_cell(fit, name)) for name in self.COLUMNS])
        return "\n".join(aligned(rows, numbers=True))


def _cell(fit: LevelFit, name: str) -> Any:
    if name in ("level", "beta", "seconds"):
        return getattr(fit, name)
    certificate = fit.certificate
    if certificate is None:
        empty = {"neurons": 0, "exact": False, "status": f"failed: {fit.error}"}
        return empty.get(name, np.nan)
    return {
        "neurons": certificate.n_neurons,
        "gap": certificate.relative_gap,
        "violation": certificate.max_violation,
        "exact": certificate.exact,
        "status": certificate.status,
    }[name]


def _shown(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
