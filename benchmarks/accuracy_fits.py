"""The methods of ``score_accuracy``: from a sample to a score."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.kernel_family import kernel_family_score
from benchmarks.score_peers import (
    Floats,
    ScoreFunction,
    cross_validated_bandwidth,
    em_mixture_score,
    gaussian_score,
    kernel_score,
    silverman_bandwidth,
    whitened,
)
from benchmarks.silu_network import train_silu_score
from convexscore import ConvexScore, fit_convex_score
from convexscore.penalty_rule import gradient_noise
from convexscore.penalty_selection import RULE_FACTOR
from convexscore.problem_options import ProblemOptions
from convexscore.training import Adam, train_score_network
from convexscore.vector_selection import bandwidth

SM, DSM, RULE = "convex SM, CV", "convex DSM, CV", "convex DSM, rule"
KDE, SILVERMAN = "KDE, CV", "KDE, Silverman"
KERNEL, GAUSSIAN, EM = "kernel family, CV", "fitted Gaussian", "EM mixture, BIC"
ADAM_SM, ADAM_DSM, SILU = "Adam ReLU, SM", "Adam ReLU, DSM", "Adam SiLU³, DSM"
OURS = (SM, DSM, RULE)
METHODS = (
    *OURS, ADAM_SM, ADAM_DSM, SILU, KERNEL, KDE, SILVERMAN, EM, GAUSSIAN,
)  # fmt: skip

# Noise of the denoising fits in units of 0.45 rule-of-thumb bandwidths, the smallest level of
# ConvexDiffusion: the bias of the noised law grows with its fourth power.
NOISE = 1.4
# Noisy points, at least: smoothed labels have no label noise, more copies cost only time.
_LINE_POINTS, _VECTOR_POINTS = 8000, 2000
# With several columns beta is chosen on this many points and multiplied by the root of n over it.
_CV_POINTS = 500
_TOL = 1e-2
_RULE_DIMENSIONS = 3


@dataclass(frozen=True)
class Effort:
    """What the costly peers may spend."""

    epochs: int = 1000
    rates: tuple[float, ...] = (1e-2, 1e-3)
    restarts: int = 2
    width: int = 100
    silu_seconds: float = 10.0
    components: int = 12
    n_init: int = 2

    def notes(self) -> list[str]:
        return [
            "Convex SM: the default fit, beta by 5-fold cross-validation (several columns: on at most "
            f"{_CV_POINTS} points, times the root of n over them; tol {_TOL:g}).",
            f"Convex DSM: noise {NOISE:g} times the smallest default level of ConvexDiffusion, smoothed "
            f"labels; CV as above (several columns: 3 folds, 8 values), or beta = {RULE_FACTOR:g} times "
            f"the gradient noise, the rule of ConvexDiffusion (at most {_RULE_DIMENSIONS} columns: in "
            "more the kernels hold single points and it underestimates the noise).",
            f"Adam ReLU: {self.width} neurons, the same objective, noise and beta as the convex fit "
            f"beside it, {self.epochs} full-batch epochs at each of {len(self.rates)} learning rates, "
            f"{self.restarts} starts; the run with the smallest objective.",
            f"Adam SiLU³: three layers, {self.silu_seconds:g} s of processor time, the noise level of "
            "the convex fit, fresh noise, early stopping; first seed and largest n only.",
            "Kernel family: score matching of a kernel exponential family with 300 centres, bandwidth "
            "and penalty by 3-fold cross-validation (Sutherland et al. 2018).",
            f"EM: full covariances, up to {self.components} components, {self.n_init} starts each. KDE "
            "(several columns: whitened): leave-one-out likelihood, or Silverman's rule.",
        ]


@dataclass(frozen=True)
class Sample:
    """One sample with its streams; the convex fits are made once and shared with their Adam twins."""

    x: Floats
    seeds: np.random.SeedSequence
    effort: Effort
    _streams: dict[str, np.random.SeedSequence] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = (*METHODS, "noise")
        object.__setattr__(self, "_streams", dict(zip(names, self.seeds.spawn(12), strict=True)))

    def rng(self, name: str) -> np.random.Generator:
        """The same stream at every call."""
        return np.random.default_rng(self._streams[name])

    @property
    def columns(self) -> Floats:
        return self.x.reshape(len(self.x), -1)

    @cached_property
    def options(self) -> ProblemOptions:
        """The denoising problem."""
        n, d = self.columns.shape
        wanted = _LINE_POINTS if d == 1 else _VECTOR_POINTS
        noise = NOISE * bandwidth(self.columns, n)
        draws = max(1, wanted // n)
        return ProblemOptions("denoising", noise=noise, n_draws=draws, labels="smoothed")

    @cached_property
    def denoising(self) -> dict[str, Any]:
        options = self.options
        return {
            "objective": "denoising", "noise": options.noise, "n_draws": options.n_draws,
            "labels": options.labels,
        }  # fmt: skip

    @cached_property
    def matched(self) -> ConvexScore:
        return self._cross_validated(SM, {})

    @cached_property
    def denoised(self) -> ConvexScore:
        few = {} if self.x.ndim == 1 else {"cv": 3, "n_betas": 8}
        return self._cross_validated(DSM, self.denoising, **few)

    def _cross_validated(self, name: str, task: dict[str, Any], **folds: int) -> ConvexScore:
        rng = self.rng(name)
        if self.x.ndim == 1:
            return fit_convex_score(self.x, random_state=rng, **task, **folds)
        few = self.x[:_CV_POINTS]
        once = {**task, "n_draws": 1} if task else {}
        chosen = fit_convex_score(few, random_state=rng, tol=_TOL, **once, **folds)
        # what beta keeps out grows like sqrt(n), and with the noisy copies of each point
        beta = chosen.beta_ * task.get("n_draws", 1) * np.sqrt(len(self.x) / len(few))
        return fit_convex_score(self.x, beta=beta, random_state=self.rng("noise"), tol=_TOL, **task)


def planned(dim: int, *, silu: bool) -> tuple[str, ...]:
    """Methods in the order of the tables; the deep network only where it is asked for.

    The rule is left out in many dimensions: there a kernel of the noise's width holds a single point,
    the smoothed labels do not fluctuate, and the simulated noise is far below the true one.
    """
    left_out = {SILU} if not silu else set()
    if dim > _RULE_DIMENSIONS:
        left_out.add(RULE)
    return tuple(method for method in METHODS if method not in left_out)


def fit(method: str, sample: Sample) -> ScoreFunction:
    """The score that a method learns."""
    x, effort, rng = sample.x, sample.effort, sample.rng(method)
    if method == SM:
        return sample.matched.score_function
    if method == DSM:
        return sample.denoised.score_function
    if method == RULE:
        beta = RULE_FACTOR * gradient_noise(sample.columns, sample.options, rng=rng)
        task = sample.denoising
        tol = {} if x.ndim == 1 else {"tol": _TOL}
        return fit_convex_score(x, beta=beta, random_state=rng, **task, **tol).score_function
    if method == ADAM_SM:
        return _trained(sample, sample.matched.beta_, {}, rng)
    if method == ADAM_DSM:
        return _trained(sample, sample.denoised.beta_, sample.denoising, rng)
    if method == SILU:
        noise = sample.options.noise
        assert noise is not None
        return train_silu_score(x, noise=noise, seconds=effort.silu_seconds, rng=rng).score
    if method == KERNEL:
        return kernel_family_score(x, rng=rng)[0]
    if method == KDE:
        return whitened(x, lambda z: kernel_score(z, cross_validated_bandwidth(z)))
    if method == SILVERMAN:
        return whitened(x, lambda z: kernel_score(z, silverman_bandwidth(z)))
    if method == GAUSSIAN:
        return gaussian_score(x)
    seed = int(rng.integers(2**31))
    most = effort.components
    return em_mixture_score(x, max_components=most, n_init=effort.n_init, seed=seed)[0]


def _trained(sample: Sample, beta: float, task: dict[str, Any], rng: Any) -> ScoreFunction:
    """The Adam run of smallest objective."""
    effort = sample.effort
    runs = train_score_network(
        sample.x,
        beta=beta,
        optimizer=Adam(lr=list(effort.rates), schedule="cosine"),
        n_restarts=effort.restarts,
        n_epochs=effort.epochs,
        width=effort.width,
        record=10,
        random_state=rng,
        **task,
    )
    network = runs.best
    return lambda at: network(at)
