"""The noise floor of a metric: its value between samples that are all true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, spawn_generators
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_points, check_positive
from convexscore.metrics.histograms import kolmogorov_smirnov, total_variation_grid
from convexscore.metrics.kernels import energy_distance, mmd
from convexscore.metrics.scores import kernel_stein_discrepancy
from convexscore.metrics.transport import sliced_w2

Metric: TypeAlias = Callable[..., float]
Truth: TypeAlias = ArrayLike | Callable[..., ArrayLike]

# Between true samples of sizes n and m a metric is proportional to (1/n + 1/m)^rate: exactly, in
# the mean, for the V-statistics of rate 1 (for a fixed bandwidth); asymptotically, for densities
# with light tails, for those of rate 1/2.
_RATES: dict[Any, float] = {
    energy_distance: 1.0,
    mmd: 1.0,
    kernel_stein_discrepancy: 1.0,
    sliced_w2: 0.5,
    kolmogorov_smirnov: 0.5,
    total_variation_grid: 0.5,
}


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """Values of a metric between independent true samples.

    Attributes
    ----------
    mean : float
        Their mean: what a perfect generator gets on average.
    upper : float
        Their upper quantile: a perfect generator exceeds it with probability 1 - ``quantile``.
    quantile : float
        The level of ``upper``.
    values : ndarray (n_repeats,)
        The values themselves, after the correction.
    sizes : tuple of int
        The sample sizes they stand for.
    sizes_used : tuple of int
        The sizes of the samples they were computed from.
    correction : float
        What they were multiplied with, because the two differ; 1.0 otherwise.
    """

    mean: float
    upper: float
    quantile: float
    values: Floats
    sizes: tuple[int, ...]
    sizes_used: tuple[int, ...]
    correction: float

    def __repr__(self) -> str:
        text = (
            f"NoiseFloor(mean={self.mean:.4g}, {100 * self.quantile:g} % quantile {self.upper:.4g}, "
            f"{len(self.values)} repeats, samples of {_times(self.sizes)}"
        )
        if self.correction == 1.0:
            return text + ")"
        return text + f", from {_times(self.sizes_used)} corrected by {self.correction:.4g})"


def noise_floor(
    metric: Metric,
    truth: Truth,
    n: int | Sequence[int],
    *,
    n_repeats: int = 50,
    quantile: float = 0.95,
    rate: float | None = None,
    random_state: RandomState = None,
) -> NoiseFloor:
    r"""What a metric says about samples that are all drawn from the true law.

    Parameters
    ----------
    metric : callable
        ``metric(a, b) -> float`` of two samples, such as `energy_distance` or a
        ``functools.partial`` of it; with one size in ``n``, ``metric(a)`` of a single sample.
        Give kernels a bandwidth and grids their edges, so that all values share them.
    truth : callable or array (N, d) or (N,)
        ``truth(n, random_state=generator)`` draws n independent true points: every repeat is then
        new, and the floor is exact up to Monte Carlo error. Or one true sample; see Notes.
    n : int, or sequence of one or two int
        Sizes of the samples: an int for two of that size, (n, m) for two different ones, (n,) for
        the metric of one sample.
    n_repeats : int >= 1
        Values; the mean of 50 is known to about a tenth, the upper quantile to a quarter.
    quantile : float in (0, 1)
        Level of the upper quantile.
    rate : float > 0, optional
        Only for a ``truth`` sample that is too small: the floor is proportional to
        :math:`(1/n + 1/m)^{rate}`. Known for the metrics of this package (1 for energy distance,
        MMD² and KSD², 1/2 for sliced W2, KS and total variation), partial or not; it must be given
        for others.
    random_state : None, int, Generator or RandomState
        Repeat k has its own stream: its value does not depend on ``n_repeats``.

    Returns
    -------
    NoiseFloor
        ``mean``, ``upper``, ``values``, ``correction``.

    Raises
    ------
    ValueError
        If an option is not as described, if the true sample is too small to be split, or if it
        needs a correction for a metric of unknown rate.
    TypeError
        If ``metric`` is not callable.

    Notes
    -----
    A true sample of N points is split at random into disjoint parts of the sizes wanted (each
    is a pair of independent true samples; the repeats depend on each other through the points
    they share, so that the quantile is that of a permutation test). If it has too few points,
    it is split into halves, and the values are multiplied by
    :math:`((1/n + 1/m) / (1/h_1 + 1/h_2))^{rate}`. That is exact for the mean of the
    V-statistics, with fixed bandwidth; for sliced W2, KS and total variation it is asymptotic
    (from 100 and 100 to 400 and 200 Gaussian numbers it is 4.5, 1 and 1 % too low), and too low for
    heavy tails (sliced W2) or where halves leave most cells of a grid empty (total variation).
    Where a sampler of the truth exists, pass that.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.metrics import energy_distance, noise_floor
    >>> floor = noise_floor(
    ...     energy_distance, lambda n, random_state: random_state.normal(size=n), (400, 100),
    ...     random_state=0,
    ... )
    >>> bool(abs(floor.mean / ((1 / 400 + 1 / 100) * 2 / np.pi**0.5) - 1) < 0.3)
    True
    """
    if not callable(metric):
        raise TypeError(
            f"metric must be a callable metric(a, b) -> float; got {type(metric).__name__}. "
            f"Pass the function itself, for instance energy_distance."
        )
    sizes = _check_sizes(n)
    n_repeats = check_count(n_repeats, name="n_repeats")
    quantile = check_positive(quantile, name="quantile", hint="0.95 is usual.")
    if quantile >= 1:
        raise ValueError(f"quantile must be between 0 and 1; got {quantile:g}. 0.95 is usual.")
    if rate is not None:
        rate = check_positive(rate, name="rate", hint="Pass the exponent of (1/n + 1/m).")
    if callable(truth):
        used, correction = sizes, 1.0
        draw: Callable[..., list[Any]] = partial(_fresh, truth)
    else:
        flat = np.ndim(truth) == 1
        points = check_points(truth, name="truth", min_distinct=1)
        used = _part_sizes(len(points), sizes)
        correction = _correction(sizes, used, _rate_of(metric) if rate is None else rate)
        draw = partial(_parts, points[:, 0] if flat else points)
    values = np.array(
        [float(metric(*draw(used, child))) for child in spawn_generators(random_state, n_repeats)]
    )
    values *= correction
    upper = float(np.quantile(values, quantile))
    return NoiseFloor(float(values.mean()), upper, float(quantile), values, sizes, used, correction)


def _check_sizes(n: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(n, Integral):
        size = check_count(n, name="n")
        return size, size
    given = list(n) if isinstance(n, Sequence) and not isinstance(n, str) else []
    if len(given) not in (1, 2):
        raise ValueError(
            f"n must be an int, (n, m) or (n,); got {n!r}. Use (n, m) for a metric of two "
            f"samples, (n,) for a metric of one."
        )
    return tuple(check_count(size, name="n") for size in given)


def _fresh(truth: Callable[..., ArrayLike], sizes: tuple[int, ...], child: Any) -> list[ArrayLike]:
    samples = [truth(size, random_state=child) for size in sizes]
    for size, sample in zip(sizes, samples, strict=True):
        if len(np.asarray(sample)) != size:
            raise ValueError(
                f"truth must return n points as rows; got shape {np.shape(sample)} for n={size}. "
                f"Its signature is truth(n, random_state=...)."
            )
    return samples


def _parts(points: Floats, sizes: tuple[int, ...], child: np.random.Generator) -> list[Floats]:
    chosen = child.permutation(len(points))[: sum(sizes)]
    return [points[part] for part in np.split(chosen, np.cumsum(sizes)[:-1])]


def _part_sizes(n_points: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes themselves if the sample has two disjoint parts for them, halves otherwise."""
    if n_points < 2:
        raise ValueError(
            f"truth must hold at least 2 points to be split; got {n_points}. Provide more, or a "
            f"callable truth(n, random_state=...)."
        )
    half = n_points // 2
    if (sum(sizes) <= n_points) if len(sizes) == 2 else (sizes[0] <= half):
        return sizes
    return (n_points - half, half) if len(sizes) == 2 else (half,)


def _correction(sizes: tuple[int, ...], used: tuple[int, ...], rate: float | None) -> float:
    if sizes == used:
        return 1.0
    if rate is None:
        raise ValueError(
            f"truth has too few points for samples of {_times(sizes)}, and how this metric depends "
            f"on the size is not known. Pass a callable truth(n, random_state=...), a larger "
            f"sample, n={min(used)}, or rate=, the exponent of (1/n + 1/m)."
        )
    return float((sum(1 / size for size in sizes) / sum(1 / size for size in used)) ** rate)


def _rate_of(metric: Metric) -> float | None:
    while isinstance(metric, partial):
        metric = metric.func
    try:
        return _RATES.get(metric)
    except TypeError:  # a callable object without hash
        return None


def _times(sizes: tuple[int, ...]) -> str:
    return " and ".join(str(size) for size in sizes) + " points"
