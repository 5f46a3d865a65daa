"""The methods of ``score_accuracy``: from a sample to a score."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.peers import torch_networks
from benchmarks.peers.kernel_family import kernel_family_score
from benchmarks.peers.scores import (
    Floats,
    ScoreFunction,
    cross_validated_bandwidth,
    em_mixture_score,
    gaussian_score,
    kernel_score,
    silverman_bandwidth,
    whitened,
)
from benchmarks.peers.silu_network import SiluNet, train_silu_score
from convexscore import ConvexScore, fit_convex_score
from convexscore.objectives.options import make_problem
from convexscore.selection.gradient_noise import gradient_noise
from convexscore.selection.ladder_betas import RULE_FACTOR
from convexscore.solvers.space.training import bandwidth
from convexscore.training import Adam, train_score_network

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
# Noisy points, at least, and copies of each point: two are a pair of opposite displacements.
_LINE_POINTS, _VECTOR_POINTS, _LEAST_DRAWS = 8000, 2000, 2
# In more than three columns cross-validation of thousands of points takes many minutes: beta is chosen on
# this many and multiplied by the root of n over it, as what it has to keep out grows like that.
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
    silu_seconds: float = 30.0
    components: int = 12
    n_init: int = 2

    def notes(self) -> list[str]:
        deep = "torch" if torch_networks.installed() else "numpy, as torch is not installed"
        return [
            "Convex SM: the default fit, beta by 5-fold cross-validation (several columns: "
            f"tol {_TOL:g}; more than {_RULE_DIMENSIONS}: on at most {_CV_POINTS} points, times the root "
            "of n over them).",
            f"Convex DSM: noise {NOISE:g} times the smallest default level of ConvexDiffusion, smoothed "
            f"labels, at least {_VECTOR_POINTS} noisy points ({_LINE_POINTS} in one column) and "
            f"{_LEAST_DRAWS} copies of each point; CV as above, or beta = {RULE_FACTOR:g} times the "
            f"gradient noise, the rule of ConvexDiffusion (at most {_RULE_DIMENSIONS} columns: in more "
            "the kernels hold single points and it underestimates the noise).",
            f"Adam ReLU: {self.width} neurons, the same objective, noise and beta as the convex fit "
            f"beside it, {self.epochs} full-batch epochs at each of {len(self.rates)} learning rates, "
            f"{self.restarts} starts; the run with the smallest objective.",
            f"Adam SiLU³ ({deep}): three layers, {self.silu_seconds:g} s of processor time, the noise "
            "level of the convex fit, fresh noise, early stopping.",
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
        names = METHODS
        object.__setattr__(
            self, "_streams", dict(zip(names, self.seeds.spawn(len(names)), strict=True))
        )

    def rng(self, name: str) -> np.random.Generator:
        """The same stream at every call."""
        return np.random.default_rng(self._streams[name])

    @property
    def columns(self) -> Floats:
        return self.x.reshape(len(self.x), -1)

    @cached_property
    def denoising(self) -> dict[str, Any]:
        """The options of the denoising problem."""
        n, d = self.columns.shape
        wanted = _LINE_POINTS if d == 1 else _VECTOR_POINTS
        return {
            "objective": "denoising", "noise": NOISE * bandwidth(self.columns, n),
            "n_draws": max(_LEAST_DRAWS, wanted // n), "labels": "smoothed",
        }  # fmt: skip

    @cached_property
    def matched(self) -> ConvexScore:
        return self._cross_validated(SM, {})

    @cached_property
    def denoised(self) -> ConvexScore:
        return self._cross_validated(DSM, self.denoising)

    def _cross_validated(self, name: str, task: dict[str, Any]) -> ConvexScore:
        n, d = self.columns.shape
        if d <= _RULE_DIMENSIONS or n <= _CV_POINTS:
            return fit_convex_score(self.x, random_state=self.rng(name), **self.tolerance, **task)
        few = {**task, "n_draws": _LEAST_DRAWS} if task else task
        chosen = fit_convex_score(
            self.x[:_CV_POINTS], random_state=self.rng(name), **self.tolerance, **few
        )
        beta = chosen.beta_ * float(np.sqrt(n / _CV_POINTS))
        beta *= task.get("n_draws", 1) / few.get("n_draws", 1)
        return fit_convex_score(
            self.x, beta=beta, random_state=self.rng(name), **self.tolerance, **task
        )

    @property
    def tolerance(self) -> dict[str, float]:
        """One column is solved to rounding anyway."""
        return {} if self.x.ndim == 1 else {"tol": _TOL}


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
        task = sample.denoising
        beta = RULE_FACTOR * gradient_noise(sample.columns, make_problem(**task), rng=rng)
        fitted = fit_convex_score(x, beta=beta, random_state=rng, **task, **sample.tolerance)
        return fitted.score_function
    if method == ADAM_SM:
        return _trained(sample, sample.matched.beta_, {}, rng)
    if method == ADAM_DSM:
        return _trained(sample, sample.denoised.beta_, sample.denoising, rng)
    if method == SILU:
        net: Any = SiluNet
        if torch_networks.installed():
            net = torch_networks.SiluNet
        with torch_networks.one_thread() if torch_networks.installed() else nullcontext():
            return train_silu_score(
                x, noise=sample.denoising["noise"], seconds=effort.silu_seconds, rng=rng, net=net
            ).score
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
