"""Laws with known score: what data are drawn from and errors are measured against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, log_ndtr

from benchmarks.harness import Floats
from convexscore import targets

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Law:
    """A law: n samples, (n,) or (n, dim); log-density (n,) and its gradient, the score."""

    name: str
    sample: Callable[[np.random.Generator, int], Floats]
    log_density: Callable[[Floats], Floats]
    score: Callable[[Floats], Floats]
    dim: int = 1
    multimodal: bool = False


def mixture(name: str, weights: list[float], means: list[float], sds: list[float]) -> Law:
    """Gaussian mixture."""
    w, m, s = (np.asarray(v, dtype=np.float64) for v in (weights, means, sds))

    def sample(rng: np.random.Generator, n: int) -> Floats:
        which = rng.choice(len(w), size=n, p=w)
        return rng.normal(m[which], s[which])

    def log_parts(x: Floats) -> Floats:
        return np.log(w / s) - 0.5 * _LOG_2PI - 0.5 * ((x[..., None] - m) / s) ** 2

    def log_density(x: Floats) -> Floats:
        return np.logaddexp.reduce(log_parts(x), axis=-1)

    def score(x: Floats) -> Floats:
        share = np.exp(log_parts(x) - log_density(x)[..., None])
        return (share * (m - x[..., None]) / s**2).sum(axis=-1)

    return Law(name, sample, log_density, score, multimodal=len(w) > 1)


def of_target(name: str, target: targets.Target, *, multimodal: bool = False) -> Law:
    """A target of the package, with more than one column."""

    def sample(rng: np.random.Generator, n: int) -> Floats:
        return target.sample(n, random_state=rng)

    return Law(name, sample, target.log_density, target.score, target.dim, multimodal)


def independent(law: Law, dim: int) -> Law:
    """``dim`` independent copies of a univariate law as columns."""
    return Law(
        f"{law.name}, d = {dim}",
        lambda rng, n: law.sample(rng, n * dim).reshape(n, dim),
        lambda x: law.log_density(x).sum(axis=1),
        law.score,
        dim,
        law.multimodal,
    )


def _correlated_gaussian(dim: int, correlation: float) -> Law:
    """Neighbouring columns have this correlation, distant ones its powers."""
    steps = np.abs(np.subtract.outer(np.arange(dim), np.arange(dim)))
    covariance = float(correlation) ** steps
    return of_target(f"correlated Gaussian, d = {dim}", targets.Gaussian(np.zeros(dim), covariance))


def _three_clusters(dim: int) -> Law:
    """Three round Gaussians, any two of them four standard deviations apart."""
    means = np.zeros((3, dim))
    means[:, :3] = 2.0 * np.sqrt(2.0) * np.eye(3)
    return of_target(
        f"mixture of 3, d = {dim}",
        targets.GaussianMixture([0.3, 0.4, 0.3], means, 1.0),
        multimodal=True,
    )


def _log_gamma_law(k: float) -> Law:
    return Law(
        f"log of gamma({k:g})",
        lambda rng, n: np.log(rng.gamma(k, size=n)),
        lambda x: k * x - np.exp(x) - gammaln(k),
        lambda x: k - np.exp(x),
    )


def _gamma_law(k: float) -> Law:
    return Law(
        f"gamma({k:g})",
        lambda rng, n: rng.gamma(k, size=n),
        lambda x: (k - 1) * np.log(x) - x - gammaln(k),
        lambda x: (k - 1) / x - 1,
    )


def _student_law(nu: float) -> Law:
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    return Law(
        f"Student t({nu:g})",
        lambda rng, n: rng.standard_t(nu, size=n),
        lambda x: constant - (nu + 1) / 2 * np.log1p(x**2 / nu),
        lambda x: -(nu + 1) * x / (nu + x**2),
    )


def _skew_normal_law(a: float) -> Law:
    delta = a / np.sqrt(1 + a * a)

    def sample(rng: np.random.Generator, n: int) -> Floats:
        both = rng.normal(size=(2, n))
        return delta * np.abs(both[0]) + np.sqrt(1 - delta**2) * both[1]

    def score(x: Floats) -> Floats:
        return -x + a * np.exp(-0.5 * (a * x) ** 2 - 0.5 * _LOG_2PI - log_ndtr(a * x))

    return Law(
        f"skew-normal({a:g})",
        sample,
        lambda x: np.log(2) - 0.5 * _LOG_2PI - 0.5 * x**2 + log_ndtr(a * x),
        score,
    )


# The standard data of the timing benchmarks.
TWO_HUMPS = mixture("mixture of 2", [0.4, 0.6], [-2.0, 1.5], [0.7, 1.0])

_LAPLACE = Law(
    "Laplace",
    lambda rng, n: rng.laplace(size=n),
    lambda x: -np.abs(x) - np.log(2.0),
    lambda x: -np.sign(x),
)

LAWS = (
    mixture("Gaussian", [1.0], [0.0], [1.0]),
    TWO_HUMPS,
    mixture("mixture of 3", [0.3, 0.4, 0.3], [-4.0, 0.0, 3.0], [0.8, 0.6, 1.0]),
    _LAPLACE,
    _student_law(5.0),
    _gamma_law(4.0),
    _log_gamma_law(4.0),
    _skew_normal_law(4.0),
)

# Shapes of the plane; the curves are drawn with a round pen, so that they have a density.
PLANAR = (
    _correlated_gaussian(2, 0.8),
    of_target("ring of 8", targets.ring_of_gaussians(8, spread=0.35), multimodal=True),
    of_target("two moons", targets.two_moons(thickness=0.15), multimodal=True),
    of_target("banana", targets.banana()),
    of_target("spiral", targets.spiral(thickness=0.8), multimodal=True),
)

TEN = (
    _correlated_gaussian(10, 0.6),
    _three_clusters(10),
    independent(_LAPLACE, 10),
    independent(_student_law(5.0), 10),
)

ALL = LAWS + PLANAR + TEN
