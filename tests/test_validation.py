"""What is refused, and that each message names the argument, what came and what to do."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from convexscore import (
    ConvexScore,
    TwoLayerNetwork,
    UnboundedObjectiveError,
    certify,
    fit_convex_score,
    regularization_path,
    smallest_beta,
)
from convexscore._tools.exceptions import DataWarning
from convexscore._tools.validation import check_column, check_points
from convexscore.models import gaussian_regime

X = np.random.default_rng(0).normal(size=40)
DENOISING = {"objective": "denoising", "noise": 0.5}


def refused(match, x=X, error=ValueError, **options):
    """The fit fails with this message."""
    options = {"beta": 9.0, **options}
    with pytest.raises(error, match=match):
        fit_convex_score(x, **options)


# ------------------------------------------------------------------------------------- the data


@pytest.mark.parametrize("bad, n", [([np.nan], 1), ([np.inf, -np.inf], 2)])
def test_missing_and_infinite_values(bad, n):
    match = (
        rf"^X must be finite; {n} of {40 + n} values are NaN or infinity\. Remove them, .*isfinite"
    )
    refused(match, np.r_[X, bad])
    for call in (gaussian_regime, smallest_beta, regularization_path):
        with pytest.raises(ValueError, match=match):
            call(np.r_[X, bad])


def test_wrong_shapes():
    refused(
        r"^X must have shape \(n,\) or \(n, d\), one point per row; got shape \(40, 1, 1\)\. Pass a "
        r"table, for example X\.reshape\(len\(X\), -1\)",
        X.reshape(40, 1, 1),
    )
    refused(
        r"^X must hold at least 2 points; got 1 \(n_samples = 1, shape \(1, 40\), one point per row"
        r"\)\. .*If these are 40 values of one variable, pass X\.ravel\(\)",
        X.reshape(1, 40),
    )


def test_scalar():
    refused(r"^X must have shape .* got shape \(\)", 3.0)


def test_text():
    refused(r"^X must be numeric .* got list that cannot be converted", ["1.5", "many"])


def test_complex_numbers_are_not_cut():
    refused("^X must be real. Complex data not supported", X + 1j)


def test_constant():
    refused(r"^X is constant \(3, 10 times\): a score needs at least 2 distinct values", [3.0] * 10)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_points(n):
    refused(rf"^X must hold at least 2 values; got {n} .*Provide more data", X[:n])


def test_too_few_points_for_cross_validation():
    refused(
        r"^beta='cv' with cv = 5 needs at least 10 samples; got 9\. Give a number for beta .* or a "
        "smaller cv",
        X[:9],
        beta="cv",
    )
    # the remedies work
    assert fit_convex_score(X[:9], beta=3.0).beta_ == 3.0
    assert fit_convex_score(X[:9], cv=3, n_betas=4, random_state=0).beta_ > 1.0


def test_overflowing_range():
    refused(r"^X spans .* which overflows; rescale", [-1.7e308, 0.0, 1.7e308])


# ------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("objective", "sliced", "'score_matching', 'denoising'"),
        ("objective", None, "'score_matching', 'denoising'"),
        ("activation", "tanh", "'relu', 'abs', 'leaky_relu'"),
        ("skip", "yes", "True, False"),
        ("skip", 1, "True, False"),
        ("constraint", "convex", "None, 'density', 'gradient', 'log-concave'"),
    ],
)
def test_unknown_options(name, value, allowed):
    refused(f"^{name} must be one of {allowed}.*; got {value!r}", **{name: value})
    with pytest.raises(ValueError, match=f"^{name} must be one of"):
        regularization_path(X, **{name: value})


def test_unknown_labels():
    wrong = {"objective": "denoising", "noise": 0.3, "labels": "clean"}
    refused("^labels must be one of 'noisy', 'smoothed'; got 'clean'", **wrong)


def test_numpy_booleans_are_booleans():
    fit = fit_convex_score(X, beta=9.0, skip=np.bool_(False))
    assert fit.network_.skip is None


@pytest.mark.parametrize("beta", [0, -1.0, np.nan, np.inf])
def test_beta_out_of_range(beta):
    refused(rf"^beta must be finite and > 0; got {beta:g}\. Or use beta='cv'", beta=beta)


@pytest.mark.parametrize("beta", [None, True, [3.0]])
def test_beta_of_wrong_type(beta):
    refused("^beta must be a number > 0; got .*Or use beta='cv'", beta=beta)


def test_beta_of_unknown_rule():
    refused("^beta must be a number > 0 or 'cv'; got 'aic'", beta="aic")


@pytest.mark.parametrize("noise", [0.0, -0.5, np.nan, np.inf])
def test_noise_out_of_range(noise):
    refused(
        rf"^noise must be finite and > 0; got {noise:g}\. It is in the units of the data",
        objective="denoising",
        noise=noise,
    )


def test_noise_missing_or_without_effect():
    refused(
        r"^noise must be given with objective='denoising'; got None\..*noise=0\.3 \* X\.std\(\)",
        objective="denoising",
    )
    refused(
        "^noise = 0.5 has no effect with objective='score_matching'; it needs objective='denoising'",
        noise=0.5,
    )


@pytest.mark.parametrize("value", [0, -3, 1.5, "2", True])
def test_counts(value):
    refused(rf"^n_draws must be an integer >= 1; got {value!r}", n_draws=value, **DENOISING)
    refused(rf"^cv must be an integer >= 2; got {value!r}", cv=value, beta="cv")
    refused(rf"^n_betas must be an integer >= 2; got {value!r}", n_betas=value, beta="cv")


@pytest.mark.parametrize("tol", [0.0, -1e-8, np.nan])
def test_tol(tol):
    refused("^tol must be finite and > 0; got", tol=tol)


def test_random_state():
    refused(r"^random_state must be None, an int >= 0.*got -1\.", random_state=-1)
    refused(r"^random_state must be .*got str\. Pass an int", random_state="0", error=TypeError)


# ------------------------------------------------------------------------------------- weights


def test_weights_of_wrong_shape():
    refused(
        r"^sample_weight must have shape \(40,\), one weight per sample; got \(3,\)",
        sample_weight=np.ones(3),
    )


@pytest.mark.parametrize(
    "weight, match",
    [
        (-np.ones(40), "must be finite and >= 0; 40 of 40 are not, the first is -1"),
        (np.r_[np.nan, np.ones(39)], "must be finite and >= 0; 1 of 40 are not, the first is nan"),
        (np.full(40, np.nan), "must be finite and >= 0"),
        (np.zeros(40), "is zero everywhere; at least two samples need weight > 0"),
        (["a"] * 40, "must be numeric"),
    ],
)
def test_bad_weights(weight, match):
    refused(f"^sample_weight {match}", sample_weight=weight)


def test_weights_that_leave_one_point():
    refused("sample_weight", sample_weight=np.r_[1.0, np.zeros(39)])


# --------------------------------------------------------------------------------- boundedness


def limit_data():
    """Ends twice, one inner value five times."""
    return np.r_[np.linspace(-1.0, 1.0, 20), -1.0, 1.0, [0.3] * 5]


@pytest.mark.parametrize(
    "activation, skip, limit",
    [("relu", True, 2.5), ("relu", False, 2.5), ("abs", False, 5.0), ("abs", True, 5.0)],
)
def test_boundedness_limit_is_refused_below_and_warned_just_above(activation, skip, limit):
    x, options = limit_data(), {"activation": activation, "skip": skip}
    assert smallest_beta(x, **options) == limit
    connection = "with" if skip else "without"
    below = (
        rf"^beta = {0.99 * limit:g} is not above the boundedness limit {limit:g}: .*{activation} "
        rf"activation {connection} skip.*Use beta > {limit:g}, beta='cv', or objective='denoising'"
    )
    refused(below, x, beta=0.99 * limit, error=UnboundedObjectiveError, **options)
    with pytest.raises(UnboundedObjectiveError, match=r"^beta = "):
        regularization_path(x, betas=[9.0, 0.99 * limit], **options)
    network = TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0, activation=activation)
    with pytest.raises(UnboundedObjectiveError, match=below):
        certify(network, x, beta=0.99 * limit, skip=skip)
    above = rf"^beta = {1.08 * limit:g} is just above the boundedness limit {limit:g}: .*beta='cv'"
    with pytest.warns(DataWarning, match=above):
        fit = fit_convex_score(x, beta=1.08 * limit, **options)
    assert fit.certificate_.optimal
    # no warning further up, and none of denoising at any beta
    assert fit_convex_score(x, beta=1.2 * limit, **options).certificate_.optimal
    tiny = fit_convex_score(x, beta=0.01, random_state=0, **DENOISING, **options)
    assert tiny.certificate_.optimal


def test_boundedness_limit_counts_weight():
    weight = np.ones(40)
    weight[np.argmax(X)] = 7.0
    assert smallest_beta(X, sample_weight=weight) == 7.0
    refused("not above the boundedness limit 7", beta=6.9, sample_weight=weight)


def test_cross_validation_never_goes_below_the_limit():
    x = np.round(X, 1)
    fit = fit_convex_score(x, random_state=0, cv=4, n_betas=8)
    assert fit.beta_selection_.betas.min() > smallest_beta(x)


# ---------------------------------------------------------------------------- after the fit


def test_evaluation_arguments():
    fit = fit_convex_score(X, beta=9.0)
    with pytest.raises(ValueError, match=r"^X must be numeric; got str"):
        fit.score_function("zero")
    with pytest.raises(ValueError, match=r"^q must hold probabilities in \[0, 1\]; got 1\.5"):
        fit.ppf([0.5, 1.5])
    with pytest.raises(ValueError, match=r"^n must be an integer >= 1; got 0"):
        fit.sample(0)
    with pytest.raises(
        ValueError, match=r"^method must be one of 'exact', 'langevin', 'mala'; got 'gibbs'"
    ):
        fit.sample(3, method="gibbs")
    with pytest.raises(ValueError, match=r"^step must be finite and > 0; got -1"):
        fit.sample(3, method="langevin", step=-1.0)
    with pytest.raises(ValueError, match=r"^X must be finite"):
        fit.score([np.nan, 1.0])
    assert np.isnan(fit.score_function([np.nan, 1.0])).tolist() == [True, False]


def test_certify_arguments():
    network = TwoLayerNetwork([1.0], [0.5], [0.0], offset=0.0)
    with pytest.raises(ValueError, match=r"^network must be a TwoLayerNetwork"):
        certify(lambda x: -x, X, beta=9.0)
    with pytest.raises(ValueError, match=r"^labels must be given with objective='denoising'"):
        certify(network, X, beta=9.0, objective="denoising")
    with pytest.raises(ValueError, match=r"^labels must be finite with the shape of X"):
        certify(network, X, beta=9.0, objective="denoising", labels=[1.0])
    with pytest.raises(
        ValueError, match=r"^labels = .* has no effect with objective='score_matching'"
    ):
        certify(network, X, beta=9.0, labels=X)
    with pytest.raises(ValueError, match=r"^reference must be one of 'solve', 'residual'"):
        certify(network, X, beta=9.0, reference="guess")
    skipping = TwoLayerNetwork([1.0], [0.5], [0.0], offset=0.0, skip=-1.0)
    with pytest.raises(ValueError, match=r"^skip=False but the network has a skip connection"):
        certify(skipping, X, beta=9.0, skip=False)


def test_path_arguments():
    for betas in ([0.0], [-1.0, 3.0], [np.nan], []):
        with pytest.raises(ValueError, match=r"^betas must be positive finite numbers; got"):
            regularization_path(X, betas=betas)
    with pytest.raises(ValueError, match=r"^X_held_out must be finite"):
        regularization_path(X, n_betas=2, X_held_out=[np.nan])


def test_function_and_estimator_say_the_same():
    """The estimator and the function give the same message."""
    for options in ({"beta": -1.0}, {"activation": "tanh"}, {"beta": 0.5}):
        with pytest.raises(ValueError) as of_function:
            fit_convex_score(X, **options)
        with pytest.raises(ValueError) as of_estimator:
            ConvexScore(**options).fit(X)
        assert str(of_function.value) == str(of_estimator.value)
        assert type(of_function.value) is type(of_estimator.value)


# ---------------------------------------------------------------------------- many dimensions


TABLE = np.random.default_rng(1).normal(size=(12, 3))


def refused_table(match, X, **options):
    with pytest.raises(ValueError, match=match):
        check_points(X, **options)


def test_points_come_in_every_shape_and_are_not_copied():
    assert check_points(TABLE) is TABLE
    assert check_points(X).shape == (40, 1) and np.shares_memory(check_points(X), X)
    assert np.shares_memory(check_points(X[:, None]), X)
    for table in (np.asfortranarray(TABLE), TABLE.tolist(), TABLE.astype(np.float32)):
        points = check_points(table)
        assert points.flags.c_contiguous and points.dtype == np.float64
        assert np.allclose(points, TABLE, rtol=1e-6)
    frame = pytest.importorskip("pandas").DataFrame(TABLE, columns=list("abc"))
    frame["a"] = np.arange(12)
    assert np.array_equal(check_points(frame), np.c_[np.arange(12.0), TABLE[:, 1:]])


@pytest.mark.parametrize(
    "bad", [[1.0, np.nan], [], [1.0], [2.0, 2.0], [-1.7e308, 1.7e308], [1j, 2.0]]
)
def test_one_column_is_refused_in_the_words_of_check_column(bad):
    with pytest.raises(ValueError) as of_column:
        check_column(bad, name="X")
    for column in (bad, np.reshape(bad, (-1, 1))):
        with pytest.raises(ValueError) as of_points:
            check_points(column)
        assert str(of_points.value) == str(of_column.value)


def test_tables_that_are_refused():
    broken = TABLE.copy()
    broken[4, 1], broken[4, 2], broken[7, 0] = np.nan, np.inf, -np.inf
    refused_table(
        r"^data must be finite; 3 of 36 values are NaN or infinity, in 2 of 12 rows, the first is "
        r"row 4\. Remove those rows, for example data\[np\.isfinite\(data\)\.all\(axis=1\)\]",
        broken,
        name="data",
    )
    refused_table(
        r"^X must have at least one column; got 0 feature\(s\) \(shape=\(4, 0\)\)", np.empty((4, 0))
    )
    refused_table(
        r"^X must have shape \(n,\) or \(n, d\).*got shape \(12, 3, 1\).*X\.reshape\(len\(X\), -1\)",
        TABLE[..., None],
    )
    refused_table(r"^X must have shape .*got shape \(\)", 3.0)
    refused_table(r"^X must be real\. Complex data not supported", TABLE + 1j)
    refused_table("^X must be numeric .*got list that cannot", [["a", "b"], ["c", "d"]])
    refused_table("^X must be numeric .*got list that cannot", [[1.0, 2.0], [3.0]])
    refused_table(
        r"^X must be a dense array; got sparse csr_matrix\. Pass X\.toarray\(\)", csr_matrix(TABLE)
    )


def test_tables_with_too_few_points():
    refused_table(
        r"^X must hold at least 2 points; got 1 \(n_samples = 1, .*pass X\.ravel\(\)",
        X[None],
    )
    refused_table(r"^X must hold at least 2 points; got 0", TABLE[:0])
    refused_table(r"^X is constant: all rows are equal \(5 times", np.repeat(TABLE[:1], 5, axis=0))
    few = np.repeat(TABLE[:2], 4, axis=0)
    assert check_points(few, min_distinct=2).shape == (8, 3)
    assert check_points(TABLE[:1], min_distinct=1).shape == (1, 3)
    assert check_points(TABLE[:0], min_distinct=0).shape == (0, 3)


def test_tables_with_overflowing_spans():
    wide = TABLE.copy()
    wide[0, 2], wide[1, 2] = -1.7e308, 1.7e308
    refused_table(r"^column 2 of X spans -1\.7e\+308 to 1\.7e\+308, which overflows; rescale", wide)
    assert check_points(1e299 * TABLE / np.abs(TABLE).max()).shape == (12, 3)
