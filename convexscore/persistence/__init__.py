"""Save a fitted model as one `.npz` file and read it back, equal to the last bit; never a pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.utils.validation import check_is_fitted

from convexscore.persistence.archive import BadFile, read_archive, write_archive
from convexscore.persistence.codec import MODELS, is_model, model_from_state, model_to_state

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion
    from convexscore.models.score import ConvexScore

__all__ = ["load", "save"]


def save(fit: ConvexScore | ConvexDiffusion, path: str | os.PathLike[str]) -> Path:
    """Write a fitted estimator to one `.npz` file.

    The file holds the whole state of the estimator: its parameters, ``random_state`` included (a
    generator with its position), and all fitted attributes.  Arrays are entries of their own,
    everything else is in a JSON header (entry ``header``), and one SHA-256 digest covers both.

    Parameters
    ----------
    fit : ConvexScore or ConvexDiffusion
    path : path-like
        Used as it is (no suffix is added).  An existing file is replaced in one step, so that several
        processes may save to it and others read it meanwhile, and a crash leaves the old one.  Its mode
        bits are kept; a symbolic link stays one and its target is replaced.

    Returns
    -------
    pathlib.Path
        Where the fit was written.

    Raises
    ------
    TypeError
        If ``fit`` is neither of the two, or has a parameter or attribute that cannot be stored.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    OSError
        If the file cannot be written; nothing remains of the attempt.

    Notes
    -----
    The training data are not stored, except what the fit keeps of them: the noisy points and labels of
    denoising and, with several columns, the rows (at most 5000) at which chains start.  A
    ConvexDiffusion keeps none of them, only their mean and covariance.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from convexscore import fit_convex_score, load, save
    >>> fit = fit_convex_score(np.linspace(-1.0, 1.0, 9), beta=4.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(save(fit, pathlib.Path(folder) / "fit.npz"))
    >>> bool(again.score_function(0.3) == fit.score_function(0.3))
    True
    """
    if not is_model(fit):
        raise TypeError(
            f"fit must be a fitted {' or '.join(MODELS)}; got {type(fit).__name__}. Save what "
            "fit_convex_score or fit_convex_diffusion returned."
        )
    check_is_fitted(fit)
    path = Path(path)
    write_archive(path, *model_to_state(fit))
    return path


def load(path: str | os.PathLike[str]) -> ConvexScore | ConvexDiffusion:
    """Read what was written by :func:`save` and verify it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ConvexScore or ConvexDiffusion
        What was saved, fitted; scores, densities and samples are equal to the last bit.

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be opened.
    ValueError
        If it is damaged, not a saved fit, or of another version; the message names the file and what
        is wrong.
    """
    try:
        return model_from_state(*read_archive(Path(path)))
    except BadFile as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error.__cause__
