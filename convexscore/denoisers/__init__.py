r"""Denoisers: posterior means :math:`E[X | \lambda X + \sigma G = z]`, exact or approximate.

A denoiser is called as ``denoiser(z, scale, sigma)``, returns an array of the shape of ``z`` and
says in ``report`` whether its iterations converged. `convexscore.scores.vp_score` and ``ve_score``
turn it into the family of scores that a sampler takes, ``targets.Noised(law, scale, sigma,
denoiser=...)`` into a law with its score. Denoisers stand above the laws: they may ask a law of
`convexscore.targets` for its parameters, no law knows a denoiser; laws and scores take any callable
of this form.
"""

from convexscore.denoisers.base import Convergence, Denoiser, Exact

__all__ = ["Convergence", "Denoiser", "Exact"]
