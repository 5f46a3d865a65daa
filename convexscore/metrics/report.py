"""All metrics of a generated sample at once, each next to what a true sample would get."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, spawn_generators
from convexscore._tools.tables import aligned
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_points
from convexscore.metrics.floor import Metric, Truth, noise_floor
from convexscore.metrics.histograms import (
    default_bins,
    grid_edges,
    kolmogorov_smirnov,
    total_variation_grid,
)
from convexscore.metrics.kernels import energy_distance, median_distance, mmd
from convexscore.metrics.pairs import check_samples
from convexscore.metrics.scores import Score, kernel_stein_discrepancy
from convexscore.metrics.transport import sliced_w2, wasserstein


@dataclass(frozen=True)
class MetricRow:
    """One metric: its value, its floor and their ratio.

    Attributes
    ----------
    metric : str
        Name of the function.
    value : float
        The metric of the sample against the test sample.
    floor : float
        Mean of the metric between independent true samples of the same sizes.
    upper : float
        Upper quantile of the same.
    ratio : float
        value / floor: about 1 for a perfect sample (1.0 if both are zero).
    n, m : int
        Points of the sample and of the test sample that were used; m = 0 for the Stein
        discrepancy, which needs no test sample.
    """

    metric: str
    value: float
    floor: float
    upper: float
    ratio: float
    n: int
    m: int


@dataclass(frozen=True)
class MetricReport:
    """Rows of metrics; ``report["mmd"]`` is a row, ``print(report)`` the table.

    Attributes
    ----------
    rows : tuple of MetricRow
    floor_from : str
        Where the true samples of the floor came from.
    n_repeats : int
        Pairs of true samples per floor.
    quantile : float
        Level of the column ``upper``.
    """

    rows: tuple[MetricRow, ...]
    floor_from: str
    n_repeats: int
    quantile: float

    def __getitem__(self, metric: str) -> MetricRow:
        for row in self.rows:
            if row.metric == metric:
                return row
        names = ", ".join(row.metric for row in self.rows)
        raise KeyError(f"metric must be one of {names}; got {metric!r}.")

    def to_dict(self) -> dict[str, Any]:
        """The report as plain numbers and strings, ready for JSON."""
        return asdict(self) | {"rows": [asdict(row) for row in self.rows]}

    def __repr__(self) -> str:
        table: list[tuple[str, ...]] = [
            ("metric", "value", "floor", f"{100 * self.quantile:g} %", "ratio", "n", "m")
        ]
        for row in self.rows:
            numbers = (f"{v:.4g}" for v in (row.value, row.floor, row.upper))
            m = str(row.m) if row.m else "-"
            table.append((row.metric, *numbers, f"{row.ratio:.3g}", str(row.n), m))
        foot = f"floor: {self.n_repeats} repeats, {self.floor_from}"
        return "\n".join([*aligned(table, numbers=True), foot])


def report(
    Y: ArrayLike,
    X_test: ArrayLike,
    *,
    truth: Truth | None = None,
    score: Score | None = None,
    max_points: int | None = 2000,
    n_repeats: int = 50,
    random_state: RandomState = None,
) -> MetricReport:
    r"""Compare a generated sample with a true one by several metrics, each with its noise floor.

    One column: `energy_distance`, ``wasserstein_1``, ``wasserstein_2``, `mmd`,
    `kolmogorov_smirnov`, `total_variation_grid`. Several: `energy_distance`, `sliced_w2`, `mmd`,
    and in the plane `total_variation_grid`. With ``score`` also `kernel_stein_discrepancy`.
    All are V-statistics, so that their floors are positive and a ratio means something.

    Parameters
    ----------
    Y : array (n, d) or (n,)
        The generated sample.
    X_test : array (m, d) or (m,), m >= 4
        A sample of the true law that was not used in the fit.
    truth : callable or array (N, d), optional
        Where the floor takes its true samples from, see `noise_floor`: best a sampler
        ``truth(n, random_state=generator)``, such as the ``sample`` method of a target, or a large
        true sample. None: random parts of ``X_test``, corrected for their size.
    score : callable, optional
        The true score.
    max_points : int >= 2 or None
        Metrics over pairs (energy distance in several dimensions, MMD, Stein) use random parts of
        at most this many points; the columns n and m say so. None: no limit.
    n_repeats : int >= 1
        Pairs of true samples per floor; with 50 its mean is known to about a tenth.
    random_state : None, int, Generator or RandomState
        Random parts, projections and true samples.

    Returns
    -------
    MetricReport
        ``rows`` of (metric, value, floor, upper, ratio, n, m), ``to_dict()``, a table as its repr.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, if the dimensions differ, if ``X_test`` has fewer than
        4 points, or if an option is not as described.

    Notes
    -----
    Bandwidth, grid and 64 projections are chosen from ``X_test`` once and shared by value and floor.
    Energy distance, MMD² and KSD² are squares: a ratio of 2 is a factor 1.4 of a distance.
    The mean of the value is that of the floor plus the distance of the laws. A value below the
    floor is luck, or a generator that copies the test sample.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.metrics import report
    >>> rng = np.random.default_rng(0)
    >>> Y, X_test = rng.normal(0.3, 1, size=2000), rng.normal(size=2000)
    >>> table = report(Y, X_test, random_state=0)
    >>> table["energy_distance"].ratio > 5, len(table.rows)
    (True, 6)
    """
    sample, test = check_samples(Y, X_test, ("Y", "X_test"))
    if len(test) < 4:
        raise ValueError(
            f"X_test must hold at least 4 points for a noise floor; got {len(test)}. "
            f"Provide more data."
        )
    limit = None if max_points is None else check_count(max_points, name="max_points", minimum=2)
    n_repeats = check_count(n_repeats, name="n_repeats")
    # A child each for the parts of the samples, the projections and the floors.
    parts, projections, floors = spawn_generators(random_state, 3)
    flat = np.ndim(X_test) == 1 or (np.ndim(Y) == 1 and test.shape[1] == 1)
    source, told = _floor_source(truth, X_test, test, flat)
    small = [_random_part(z, limit, parts) for z in (sample, test)]
    plan = _two_sample_metrics(test, len(sample), int(projections.integers(2**32)))
    seed = int(floors.integers(2**32))  # the same true samples for all metrics, as for the values
    if score is not None:
        plan["kernel_stein_discrepancy"] = (_stein_metric(score, test, flat), 1, True)
    rows = []
    for name, (metric, rate, pairwise) in plan.items():
        used = small if pairwise else [sample, test]
        if name == "kernel_stein_discrepancy":
            used = used[:1]
        sizes = [len(points) for points in used]
        value = float(metric(*used))
        floor = noise_floor(
            metric, source, sizes, n_repeats=n_repeats, rate=rate, random_state=seed
        )
        zero = 1.0 if value == 0 else float("inf")
        ratio = value / floor.mean if floor.mean > 0 else zero
        rows.append(MetricRow(name, value, floor.mean, floor.upper, ratio, *[*sizes, 0][:2]))
    return MetricReport(tuple(rows), told, n_repeats, 0.95)


def _two_sample_metrics(test: Floats, n: int, seed: int) -> dict[str, tuple[Metric, float, bool]]:
    """Name: the metric with its constants fixed, its rate, and whether it runs over pairs."""
    d = test.shape[1]
    plan: dict[str, tuple[Metric, float, bool]] = {"energy_distance": (energy_distance, 1, d > 1)}
    if d == 1:
        plan["wasserstein_1"] = (partial(wasserstein, p=1), 0.5, False)
        plan["wasserstein_2"] = (partial(wasserstein, p=2), 0.5, False)
    else:
        plan["sliced_w2"] = (partial(sliced_w2, n_projections=64, random_state=seed), 0.5, False)
    plan["mmd"] = (partial(mmd, bandwidth=median_distance(test)), 1, True)
    if d == 1:
        plan["kolmogorov_smirnov"] = (kolmogorov_smirnov, 0.5, False)
    if d <= 2:
        edges = grid_edges(test, test, default_bins(min(n, len(test)), d))
        fixed = edges[0] if d == 1 else edges
        plan["total_variation_grid"] = (partial(total_variation_grid, bins=fixed), 0.5, False)
    return plan


def _stein_metric(score: Score, test: Floats, flat: bool) -> Metric:
    """Of one sample; the score is given points in the shape of the user's own."""
    h = median_distance(test)

    def stein(points: ArrayLike) -> float:
        rows = check_points(points, name="truth", min_distinct=1)
        return kernel_stein_discrepancy(score, rows[:, 0] if flat else rows, bandwidth=h)

    return stein


def _floor_source(
    truth: Truth | None, X_test: ArrayLike, test: Floats, flat: bool
) -> tuple[Truth, str]:
    if callable(truth):
        return truth, "fresh samples of the truth"
    name = "X_test" if truth is None else "truth"
    points = test if truth is None else check_samples(truth, X_test, ("truth", "X_test"))[0]
    return (points[:, 0] if flat else points), (
        f"random disjoint parts of {name}, corrected for their size where they are smaller"
    )


def _random_part(points: Floats, limit: int | None, generator: np.random.Generator) -> Floats:
    if limit is None or len(points) <= limit:
        return points
    return points[generator.choice(len(points), limit, replace=False)]
