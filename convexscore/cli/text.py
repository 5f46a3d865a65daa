"""What `fit` and `diffuse` print: the data, the problem, the choice of beta, the proof, the law."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.cli.data import Table
from convexscore.objectives.objective import Denoising
from convexscore.scores.activations import get_activation
from convexscore.scores.base import SpaceScore
from convexscore.solvers.certificate import Outcome

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion
    from convexscore.models.score import ConvexScore
    from convexscore.selection.cross_validation import BetaSelection
    from convexscore.selection.ladder import FactorSelection

_SHOWN_KINKS = 12
_SHOWN_BETAS = 9
_SHOWN_COLUMNS = 12
# Rows of the data at which the asymmetry is looked at, and that are compared with samples.
_ROWS = 2_000
# Pairs of true samples that say what distance is noise.
_PAIRS = 20


def describe_data(path: str | os.PathLike[str], table: Table) -> str:
    """Where the numbers come from, how many, their range."""
    x, names = table.values, table.names
    distinct = len(np.unique(x, axis=0))
    if x.ndim == 1:
        size = f"n = {x.size}, {distinct} distinct, {x.min():.6g} to {x.max():.6g}"
        lines = [f"{path}, column {names[0]!r}: {size}"]
    else:
        lines = [f"{path}, {len(names)} columns: n = {len(x)}, {distinct} distinct rows"]
        lines += _first_columns(
            f"{name!r}: {column.min():.6g} to {column.max():.6g}, mean {column.mean():.6g}, "
            f"standard deviation {column.std():.6g}"
            for name, column in zip(names, x.T, strict=True)
        )
    if table.n_dropped:
        lines.append(f"{table.n_dropped} rows dropped (missing or not a number)")
    if table.weights is not None:
        lines.append(f"weights sum to {table.weights.sum():.6g}")
    return _entry("data", *lines)


def _entry(label: str, *lines: str) -> str:
    """Lines beside a label."""
    return "\n".join(f"{'' if k else label:<13}{line}" for k, line in enumerate(lines))


def _first_columns(lines: Any) -> list[str]:
    """The lines of the first columns, and how many more there are."""
    shown = list(lines)
    rest = len(shown) - _SHOWN_COLUMNS
    return shown if rest <= 0 else [*shown[:_SHOWN_COLUMNS], f"... ({rest} more)"]


def describe_fit(fit: ConvexScore) -> str:
    """The table under it."""
    rest = [*_kinks_and_tails(fit), _law(fit)] if fit.n_features_in_ == 1 else [_field(fit)]
    return "\n".join([_problem_of(fit), _beta(fit), _certificate(fit), *rest])


def _problem_of(fit: ConvexScore) -> str:
    objective = fit.problem_.objective
    if not isinstance(objective, Denoising):
        return _problem(fit, "score matching")
    detail = f"noise {objective.noise:g}", f"{objective.n_draws} draws a point"
    return _problem(fit, "denoising score matching", *detail, f"{objective.labels} labels")


def _problem(model: ConvexScore | ConvexDiffusion, title: str, *more: str) -> str:
    """The problem in words."""
    name = get_activation(model.activation).name
    words = [
        title,
        {"relu": "ReLU", "abs": "absolute value"}.get(name, name.replace("_relu", " ReLU")),
        "skip connection" if model.skip else "no skip connection",
        *more,
    ]
    if model.constraint is not None:
        words.append(f"constraint {model.constraint}")
    to_z = model.standardization_
    if to_z.name == "scale":
        words.append(f"unit of the levels {to_z.inverse[0, 0]:.6g}")
    elif to_z.name is not None:
        words.append(f"standardised ({to_z.name})")
    return _entry("problem", ", ".join(words))


def _beta(fit: ConvexScore) -> str:
    selection = fit.beta_selection_
    if selection is None:
        return _entry("beta", f"{fit.beta_:.6g} (given)")
    rule = "one standard error" if fit.one_standard_error else "held-out loss"
    grid = selection.betas
    return _entry(
        "beta",
        f"{fit.beta_:.6g} ({selection.n_folds}-fold cross-validation, {rule}; "
        f"grid of {grid.size} from {grid[0]:.4g} to {grid[-1]:.4g})",
        *_curve("beta", grid, selection, [selection.beta, selection.beta_min]),
    )


def _curve(
    name: str, grid: Floats, selection: BetaSelection | FactorSelection, special: Sequence[float]
) -> list[str]:
    """Some held-out losses: the ends, the first special value (the choice) and the others."""
    seen = np.flatnonzero(np.isfinite(selection.loss))
    spread = np.linspace(0, seen.size - 1, min(_SHOWN_BETAS, seen.size)).round().astype(int)
    lines = [f"{name:>10} {'held-out loss':>14} {'std. error':>11}"]
    for k in np.union1d(seen[spread], np.flatnonzero(np.isin(grid, special))):
        lines.append(
            f"{grid[k]:>10.4g} {selection.loss[k]:>14.6g} {selection.standard_error[k]:>11.2g}"
            f"{' <- chosen' if grid[k] == special[0] else ''}"
        )
    return lines


def _certificate(fit: ConvexScore) -> str:
    proof = fit.certificate_
    over = "all neurons" if proof.exact else f"{proof.n_tried} local searches"
    return _entry(
        "certificate",
        str(proof.message),
        f"objective {proof.objective:.10g}, no network is below {proof.dual_objective:.10g} "
        f"(relative gap {proof.relative_gap:.1e})",
        f"largest violation over {over} {proof.max_violation:.1e}; {proof.n_neurons} neurons, "
        f"{proof.n_iter} rounds, {proof.seconds:.2g} s",
    )


def _field(fit: ConvexScore) -> str:
    """Whether the score is a gradient."""
    if fit.constraint is not None:
        known = "known up to a constant (the score is a gradient)"
        return _entry("density", f"{known}; sample with --method mala or langevin")
    assert isinstance(fit.score_, SpaceScore)
    rows = fit.score_.rows
    asymmetry = fit.jacobian_asymmetry(rows[:: -(-len(rows) // _ROWS)])
    return _entry(
        "asymmetry",
        f"of the Jacobian on the data: median {np.median(asymmetry):.3g}, largest "
        f"{asymmetry.max():.3g} (0: a gradient, 2: a rotation); --constraint gradient fits one",
    )


def _kinks_and_tails(fit: ConvexScore) -> list[str]:
    kinks, score = fit.network_.breakpoints(), fit.piecewise_
    shown = ", ".join(f"{kink:.6g}" for kink in kinks[:_SHOWN_KINKS])
    more = f", ... ({kinks.size - _SHOWN_KINKS} more)" if kinks.size > _SHOWN_KINKS else ""
    return [
        _entry("kinks", f"{kinks.size}{': ' if kinks.size else ''}{shown}{more}"),
        _entry("tail slopes", f"{score.left_slope:.6g} left, {score.right_slope:.6g} right"),
    ]


def _law(fit: ConvexScore) -> str:
    score = fit.piecewise_
    report = score.tail_report()
    if report is not None:
        tried = fit.constraint not in (None, "gradient")
        remedy = "another --beta or with --skip" if tried else "--constraint density"
        return _entry("density", f"none: {report}", f"refit with {remedy}")
    return _entry(
        "density",
        f"mean {score.mean():.6g}, standard deviation {score.var() ** 0.5:.6g}, "
        f"entropy {score.entropy():.6g}",
    )


# ----------------------------------------------------------------------------------- diffusion


def describe_diffusion(model: ConvexDiffusion, seconds: float) -> str:
    """The problem, the penalties, the certificates of all levels and the time it took."""
    table = model.certificates_
    labels = f"{model.n_draws_} draws a point", f"{model.labels} labels"
    optimal = np.count_nonzero(table["outcome"] == str(Outcome.OPTIMAL))
    entries = [
        _problem(model, f"diffusion ({model.schedule})", *labels),
        _diffusion_betas(model),
        _entry("levels", *repr(table).splitlines()),
        _entry(
            "certificate",
            f"{optimal} of {len(table)} levels optimal, largest relative gap "
            f"{np.nanmax(table['gap']):.1e}; {table['neurons'].sum()} neurons in all",
        ),
        _entry(
            "time",
            f"{_time(seconds)}; the levels {_time(table['seconds'].sum())}, summed over workers",
        ),
    ]
    return "\n".join(entries)


def _diffusion_betas(model: ConvexDiffusion) -> str:
    selection = model.factor_selection_
    if selection is None:
        return _entry("beta", "by the rule" if model.beta in ("rule", "cv") else "given")
    return _entry(
        "beta",
        f"{selection.factor:.4g} times the gradient noise of each level "
        f"({selection.n_folds}-fold cross-validation on {len(selection.levels)} levels)",
        *_curve("factor", selection.factors, selection, [selection.factor]),
    )


def describe_samples(samples: Any, table: Table, sampler: str, seconds: float) -> str:
    """How far the samples are from the data, next to what two samples of one law differ by."""
    data, drawn = (rows.reshape(len(rows), -1) for rows in (table.values, samples))
    mean = np.average(data, axis=0, weights=table.weights)
    spread = np.sqrt(np.average((data - mean) ** 2, axis=0, weights=table.weights))
    lines = [f"{len(drawn)} ({sampler}) in {_time(seconds)}"]
    lines += _first_columns(
        f"{name!r}: mean {y.mean():.6g} (data {mean[k]:.6g}), standard deviation {y.std():.6g} "
        f"(data {spread[k]:.6g})"
        for k, (name, y) in enumerate(zip(table.names, drawn.T, strict=True))
    )
    if table.weights is None and min(len(data), len(drawn)) >= 4:
        lines.append(_distance(drawn, data))
    return _entry("samples", *lines)


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _distance(drawn: Any, data: Any) -> str:
    from convexscore.metrics import energy_distance, noise_floor

    rng = np.random.default_rng(0)
    a, b = (rng.permutation(rows)[:_ROWS] for rows in (drawn, data))
    floor = noise_floor(
        energy_distance, b, (len(a), len(b)), n_repeats=_PAIRS, random_state=rng.spawn(1)[0]
    )
    return (
        f"energy distance to the data {energy_distance(a, b):.3g}; two samples of the "
        f"law of the data: {floor.mean:.3g} on average, one in twenty above {floor.upper:.3g}"
    )
