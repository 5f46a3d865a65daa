"""The bimodal law of ``langevin_vs_ddpm``: samplers on its exact score, exact laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Floats
from convexscore.samplers import annealed_langevin, ddpm, langevin, mala
from convexscore.schedules import exponential_grid, geometric_levels
from convexscore.scores import ve_score, vp_score
from convexscore.targets import GaussianMixture

LARGE, SMALL, SHARE = -4.0, 4.0, 0.2  # where the modes are, and the weight of the small one
LAW = GaussianMixture([1.0 - SHARE, SHARE], [LARGE, SMALL], 1.0)

STEP = 0.2  # of Langevin, in squared units of x: variance of a mode 5 % too large
MALA_STEP = 1.0
# Noise levels: from three times the distance of a mode from the middle to a fifth of its width.
LEVELS = geometric_levels(12.0, 0.2, 10)
LEVEL_STEP = 0.3 * float(LEVELS[-1]) ** 2
HORIZON, END = 5.0, 1e-3
CLOSE = 0.02  # error of the weight, a tenth of it
GRID = np.linspace(-12.0, 12.0, 601)  # of the exact law of Langevin


def weight_of(x: Floats) -> float:
    """Share of the samples in the small mode."""
    return float(np.mean(x > 0.0))


# ---------------------------------------------------------------------- samplers
class CallCounter:
    """Counts the calls of a score; all chains together are one call."""

    def __init__(self) -> None:
        self.n = 0

    def watch(self, score: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.n += 1
            return score(*arguments)

        return counted


def starts(n: int, seed: int) -> dict[str, Floats]:
    """Chains in the large mode, in both with half of them each, and in their right shares."""
    noise = np.random.default_rng([seed, 1]).normal(size=n)
    return {
        "from the large mode": LARGE + noise,
        "from half and half": np.where(np.arange(n) % 2, SMALL, LARGE) + noise,
        "from true samples": LAW.sample(n, random_state=np.random.default_rng([seed, 2])),
    }


def exact_samplers(n: int, seed: int) -> dict[str, Callable[[int, CallCounter], Floats]]:
    """``sampler(budget, counter)`` returns samples after about ``budget`` calls of the exact score."""
    x0 = starts(n, seed)
    wrong = ("from the large mode", "from half and half")
    return {
        **{f"Langevin {where}": partial(by_langevin, x0=x0[where], seed=seed) for where in x0},
        **{f"MALA {where}": partial(by_mala, x0=x0[where], seed=seed) for where in wrong},
        "annealed Langevin": partial(by_annealing, n=n, seed=seed),
        "DDPM": partial(by_ddpm, n=n, seed=seed),
    }


def by_langevin(budget: int, counter: CallCounter, *, x0: Floats, seed: int) -> Floats:
    score = counter.watch(LAW.score)
    return langevin(score, x0, step=STEP, n_steps=budget, random_state=seed).samples


def by_mala(budget: int, counter: CallCounter, *, x0: Floats, seed: int) -> Floats:
    score = counter.watch(LAW.score)
    return mala(
        score, LAW.log_density, x0, step=MALA_STEP, n_steps=budget, random_state=seed
    ).samples


def by_annealing(budget: int, counter: CallCounter, *, n: int, seed: int) -> Floats:
    """The budget spread evenly over the levels."""
    return annealed_langevin(
        counter.watch(ve_score(LAW)), None, LEVELS, step=LEVEL_STEP,
        n_steps=max(1, budget // len(LEVELS)), n_samples=n, random_state=seed, batch_size=n,
    ).samples  # fmt: skip


def by_ddpm(budget: int, counter: CallCounter, *, n: int, seed: int) -> Floats:
    grid = exponential_grid(HORIZON, budget, end=END)
    score = counter.watch(vp_score(LAW))
    return ddpm(score, None, grid, n_samples=n, random_state=seed, batch_size=n).samples


# ---------------------------------------------------------------------- the exact law of Langevin
@dataclass(frozen=True)
class LangevinLaw:
    """Powers 1, 2, 4, ... of the transition matrix of a Langevin step on ``GRID``."""

    powers: list[Floats]

    @classmethod
    def on_grid(cls, law: GaussianMixture, step: float, n_powers: int = 20) -> LangevinLaw:
        """The grid is much finer than the noise of a step, so sums are integrals to rounding."""
        mean = GRID + 0.5 * step * law.score(GRID)
        kernel = np.exp(-0.5 * (GRID - mean[:, None]) ** 2 / step)
        powers = [kernel / kernel.sum(axis=1, keepdims=True)]
        while len(powers) < n_powers:
            powers.append(powers[-1] @ powers[-1])
        return cls(powers)

    def weights(self, where: str, at: list[int]) -> list[float]:
        """Weight of the small mode after each number of steps."""
        right = np.where(GRID > 0, 1.0, np.where(GRID == 0, 0.5, 0.0))
        found = []
        for steps in at:
            law = start_law(where)
            for k, power in enumerate(self.powers):
                if steps >> k & 1:
                    law = law @ power
            found.append(float(law @ right))
        return found

    def steps_to_balance(self) -> int:
        """Steps from the large mode until the weight is right to ``CLOSE``, to 0.1 %."""

        def reached(steps: int) -> bool:
            return self.weights("from the large mode", [steps])[0] >= SHARE - CLOSE

        high = 1
        while not reached(high):
            high *= 2
        low = high // 2
        while high - low > max(1, high // 1000):
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high


def start_law(where: str) -> Floats:
    share = {"from the large mode": 0.0, "from half and half": 0.5}[where]
    bells = [np.exp(-0.5 * (GRID - mode) ** 2) for mode in (LARGE, SMALL)]
    start: Floats = (1 - share) * bells[0] + share * bells[1]
    return start / start.sum()
