"""Speed, memory and accuracy of convexscore, each number next to what it is compared with.

``python -m benchmarks`` runs everything, ``python -m benchmarks NAME ... --quick`` a small version
of some.  Every benchmark is one file with ``FULL`` and ``QUICK`` settings, ``run(settings, seed)``
returning a :class:`~benchmarks.harness.Report`, and ``draw(report)`` for the figure.  Rooms:
``paper`` the figures of the paper, ``problems`` what is solved, ``peers`` whom we are compared with.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# In the order they are run: the cheap ones first.
NAMES = (
    "import_time",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "small_beta",
    "univariate_scaling",
    "univariate_vs_conic",
    "dsm_vs_lasso",
    "planar_vs_conic",
    "planar_scaling",
    "multitask_peers",
    "spiral_overfit",
    "high_dim_vs_adam",
    "sampler_speed",
    "diffusion_beta",
    "diffusion_ladder",
    "langevin_vs_ddpm",
    "ising_score",
    "noise_draws",
    "convex_vs_sgd",
    "score_accuracy",
    "speed",  # last: gathers what the others wrote
)


def load(name: str) -> ModuleType:
    """The module of one benchmark."""
    if name not in NAMES:
        raise ValueError(f"no benchmark named {name!r}; choose from {', '.join(NAMES)}.")
    room = "paper." * name.startswith("figure")
    return import_module(f"{__name__}.{room}{name}")
