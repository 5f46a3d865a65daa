"""The random streams of a fit, by name: a path, a certificate and a fit of one seed agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Streams:
    """Independent streams of one seed.

    Attributes
    ----------
    noise : displacements of denoising; the parent itself, so that
        ``denoising(X, random_state=seed)`` draws the same.
    folds : of cross-validation.
    searches : starts of local searches.
    held_out : displacements of held-out rows.
    """

    noise: np.random.Generator
    folds: np.random.Generator
    searches: np.random.Generator
    held_out: np.random.Generator

    @classmethod
    def of(cls, rng: np.random.Generator) -> Streams:
        """The streams of a generator; children are the same whatever is drawn from the parent."""
        return cls(rng, *rng.spawn(3))
