r"""A ladder of fitted scores as a denoiser: the posterior mean in the units of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.models.door import as_rows, row_levels
from convexscore.schedules.levels import Level, by_row, check_noise
from convexscore.scores import ScoreLadder

# Less signal than this share of the noise changes no digit of the posterior mean.
_NO_SIGNAL = 1e-100


@dataclass(frozen=True, eq=False)
class LadderDenoiser:
    r"""E[X | scale X + sigma G = z] where a ladder knows that of Z and :math:`X = \mu + r Z`.

    .. math:: E[X \mid z] = \mu + r\, m\!\Big(\frac{z - \lambda\mu}{\lambda r};
              \frac{\sigma}{\lambda r}\Big), \qquad z = \lambda X + \sigma G,

    with m(y; s) the denoiser of Z + s G.  A `convexscore.denoisers.Denoiser`; it never iterates.

    Parameters
    ----------
    ladder : ScoreLadder
        Of Z.
    centre : (d,) the point :math:`\mu`, in units of X.
    unit : float
        r > 0, units of X per unit of Z.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import fit_convex_diffusion
    >>> from convexscore.scores import vp_score
    >>> x = 5.0 + 2.0 * np.random.default_rng(0).normal(size=400)
    >>> model = fit_convex_diffusion(x, n_levels=6, beta="rule", random_state=0)
    >>> m = model.denoiser(np.array([5.0, 9.0]), 1.0, 2.0)    # half signal, half noise
    >>> bool(np.abs(m - [5.0, 7.0]).max() < 0.3)
    True
    >>> score = vp_score(model.denoiser)        # of exp(-t) X + sqrt(1 - exp(-2 t)) G
    >>> score(np.array([0.0, 1.0]), 9.0).round(1).tolist()
    [0.0, -1.0]
    """

    ladder: ScoreLadder
    centre: Floats
    unit: float

    @property
    def dim(self) -> int:
        return int(self.centre.size)

    @property
    def report(self) -> None:
        """Nothing iterates."""

    def __call__(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        rows, shape = as_rows(z, self.dim, model="this denoiser", name="z")
        scale, sigma = check_noise(scale, sigma, noiseless=True)
        scale = row_levels(scale, shape, self.dim)
        sigma = row_levels(sigma, shape, self.dim)
        # at all noise the mean of Z is left, at a ratio that floats can hold
        signal = np.maximum(scale * self.unit, _NO_SIGNAL * sigma)
        y = (rows - by_row(scale, rows) * self.centre) / by_row(signal, rows)
        mean = self.centre + self.unit * self.ladder.denoise(y, sigma / signal)
        return mean.reshape(shape)
