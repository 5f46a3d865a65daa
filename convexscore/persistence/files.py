"""Save a fit or a diffusion model as one `.npz` file and read it back, verified; never a pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from convexscore.models.score import ConvexScore
from convexscore.persistence.archive import (
    SCHEMA_VERSION,
    BadFile,
    read_archive,
    to_json,
    write_archive,
)
from convexscore.persistence.restored_fit import fit_from
from convexscore.persistence.stored_parts import (
    certificate_to_json,
    feature_names_of,
    params_of,
    standardization_parts,
)
from convexscore.persistence.stored_score import difference_from_piecewise, probes_of

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion

__all__ = ["SCHEMA_VERSION", "load", "save"]

Floats = NDArray[np.float64]


def save(fit: ConvexScore | ConvexDiffusion, path: str | os.PathLike[str]) -> Path:
    """Write a fitted estimator to one `.npz` file.

    Arrays are stored in float64, everything else in a JSON header (entry ``header``) with format
    name, schema version, package version, parameters, certificates and penalties.  The file is
    written beside its destination and moved there when complete, so a crash leaves no half file.

    Parameters
    ----------
    fit : ConvexScore or ConvexDiffusion
    path : path-like
        Used as it is (no suffix is added); an existing file is replaced.

    Returns
    -------
    pathlib.Path
        Where the fit was written.

    Raises
    ------
    TypeError
        If ``fit`` is neither of the two.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    OSError
        If the file cannot be written.

    Notes
    -----
    A ``random_state`` that is a generator has a position that cannot be given back: None is
    stored, with a note in the header; arrays among the parameters come back as lists.  The training
    data are not stored, except what the fit keeps of them: the noisy points and labels of denoising
    and, with several columns, the rows (at most 5000) at which chains start.  A ConvexDiffusion
    keeps none of them, only their mean and covariance.

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
    header, arrays = _contents(fit)
    path = Path(path)
    write_archive(path, header, arrays)
    return path


def _contents(fit: object) -> tuple[dict[str, Any], dict[str, Floats]]:
    if isinstance(fit, ConvexScore):
        check_is_fitted(fit)
        return _header_of(fit), _arrays_of(fit)
    # whoever has a model has imported it already; nobody else waits for it
    from convexscore.models.diffusion import ConvexDiffusion
    from convexscore.persistence.stored_diffusion import contents_of

    if isinstance(fit, ConvexDiffusion):
        check_is_fitted(fit)
        return contents_of(fit)
    raise TypeError(
        f"fit must be a fitted ConvexScore or ConvexDiffusion; got {type(fit).__name__}. "
        "Save what fit_convex_score or fit_convex_diffusion returned."
    )


def load(path: str | os.PathLike[str]) -> Any:
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
        If it is damaged, not a saved fit, or written by a newer version; the message names the
        file and what is wrong.
    """
    path = Path(path)
    try:
        header, arrays = read_archive(path)
        if header["model"] == "ConvexScore":
            return fit_from(header, arrays)
        from convexscore.persistence.restored_diffusion import diffusion_from

        return diffusion_from(header, arrays)
    except BadFile as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error.__cause__


# ---------------------------------------------------------------------------------- writing


def _arrays_of(fit: ConvexScore) -> dict[str, Floats]:
    network = fit.network_
    arrays = {
        "network_u": network.u,
        "network_w": network.w,
        "network_b": network.b,
        "network_offset": network.offset,
    }
    if network.skip is not None:
        arrays["network_skip"] = network.skip
    arrays |= _arrays_of_one(fit) if fit.n_features_in_ == 1 else _arrays_of_several(fit)
    if fit.noisy_points_ is not None and fit.noise_labels_ is not None:
        arrays["noisy_points"] = fit.noisy_points_
        arrays["noise_labels"] = fit.noise_labels_
    selection = fit.beta_selection_
    if selection is not None:
        arrays["selection_betas"] = selection.betas
        arrays["selection_loss"] = selection.loss
        arrays["selection_standard_error"] = selection.standard_error
    return arrays


def _arrays_of_one(fit: ConvexScore) -> dict[str, Floats]:
    score = fit.piecewise_
    return {
        "piecewise_knots": score.knots,
        "piecewise_values": score.values,
        "piecewise_outer_slopes": np.array([score.left_slope, score.right_slope]),
    }


def _arrays_of_several(fit: ConvexScore) -> dict[str, Floats]:
    probes = probes_of(fit.network_, fit.start_points_)
    return standardization_parts(fit.standardization_)[1] | {
        "start_points": fit.start_points_,
        "probe_points": probes.points,
        "probe_scores": probes.scores,
    }


def _header_of(fit: ConvexScore) -> dict[str, Any]:
    params, notes = params_of(fit)
    selection = fit.beta_selection_
    header: dict[str, Any] = {
        "model": "ConvexScore",
        "params": params,
        "n_features": int(fit.n_features_in_),
        "activation": fit.network_.activation,
        "beta": to_json(float(fit.beta_)),
        "blur": to_json(float(fit.blur_)),
        "certificate": certificate_to_json(fit.certificate_),
        "beta_selection": None
        if selection is None
        else {"beta": float(selection.beta), "beta_min": float(selection.beta_min)},
        "notes": notes,
    }
    if fit.n_features_in_ == 1:
        header["network_minus_piecewise"] = difference_from_piecewise(fit.network_, fit.piecewise_)
    else:
        header |= standardization_parts(fit.standardization_)[0]
    return header | feature_names_of(fit)
