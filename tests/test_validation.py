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


# ------------------------------------------------------------------------------ data and options

# message: data, options of the fit
REFUSED = {
    r"^X must have shape \(n,\) or \(n, d\), one point per row; got shape \(40, 1, 1\)\. Pass a "
    r"table, for example X\.reshape\(len\(X\), -1\)": (X.reshape(40, 1, 1), {}),
    r"^X must hold at least 2 points; got 1 \(n_samples = 1, shape \(1, 40\), one point per row"
    r"\)\. .*If these are 40 values of one variable, pass X\.ravel\(\)": (X.reshape(1, 40), {}),
    r"^X must have shape .* got shape \(\)": (3.0, {}),
    r"^X must be numeric .* got list that cannot be converted": (["1.5", "many"], {}),
    r"^X must be real. Complex data not supported": (X + 1j, {}),
    r"^X is constant \(3, 10 times\): a score needs at least 2 distinct values": ([3.0] * 10, {}),
    r"^X must hold at least 2 values; got 0 .*Provide more data": (X[:0], {}),
    r"^X must hold at least 2 values; got 1 .*Provide more data": (X[:1], {}),
    r"^X spans .* which overflows; rescale": ([-1.7e308, 0.0, 1.7e308], {}),
    r"^beta='cv' with cv = 5 needs at least 10 samples; got 9\. Give a number for beta .* or a "
    "smaller cv": (X[:9], {"beta": "cv"}),
    "^labels must be one of 'noisy', 'smoothed'; got 'clean'": (X, {"labels": "clean", **DENOISING}),
    "^beta must be a number > 0 or 'cv'; got 'aic'": (X, {"beta": "aic"}),
    r"^noise must be given with objective='denoising'; got None\..*noise=0\.3 \* X\.std\(\)": (
        X, {"objective": "denoising"},
    ),
    "^noise = 0.5 has no effect with objective='score_matching'; it needs objective='denoising'": (
        X, {"noise": 0.5},
    ),
    r"^random_state must be None, an int >= 0.*got -1\.": (X, {"random_state": -1}),
    r"^sample_weight must have shape \(40,\), one weight per sample; got \(3,\)": (
        X, {"sample_weight": np.ones(3)},
    ),
    "sample_weight": (X, {"sample_weight": np.r_[1.0, np.zeros(39)]}),
}  # fmt: skip


@pytest.mark.parametrize("match", REFUSED)
def test_data_and_options_that_are_refused(match):
    data, options = REFUSED[match]
    refused(match, data, **options)


@pytest.mark.parametrize("bad, n", [([np.nan], 1), ([np.inf, -np.inf], 2)])
def test_missing_and_infinite_values(bad, n):
    match = (
        rf"^X must be finite; {n} of {40 + n} values are NaN or infinity\. Remove them, .*isfinite"
    )
    refused(match, np.r_[X, bad])
    for call in (gaussian_regime, smallest_beta, regularization_path):
        with pytest.raises(ValueError, match=match):
            call(np.r_[X, bad])


def test_remedies_for_few_points_work():
    assert fit_convex_score(X[:9], beta=3.0).beta_ == 3.0
    assert fit_convex_score(X[:9], cv=3, n_betas=4, random_state=0).beta_ > 1.0


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


def test_numpy_booleans_are_booleans():
    assert fit_convex_score(X, beta=9.0, skip=np.bool_(False)).network_.skip is None


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_numbers_out_of_range(value):
    got = rf"finite and > 0; got {value:g}\. "
    refused(rf"^beta must be {got}Or use beta='cv'", beta=value)
    refused(
        rf"^noise must be {got}It is in the units of the data", objective="denoising", noise=value
    )
    refused(rf"^tol must be {got}", tol=value)


@pytest.mark.parametrize("beta", [None, True, [3.0]])
def test_beta_of_wrong_type(beta):
    refused("^beta must be a number > 0; got .*Or use beta='cv'", beta=beta)


@pytest.mark.parametrize("value", [0, -3, 1.5, "2", True])
def test_counts(value):
    refused(rf"^n_draws must be an integer >= 1; got {value!r}", n_draws=value, **DENOISING)
    refused(rf"^cv must be an integer >= 2; got {value!r}", cv=value, beta="cv")
    refused(rf"^n_betas must be an integer >= 2; got {value!r}", n_betas=value, beta="cv")


def test_random_state_of_wrong_type():
    refused(r"^random_state must be .*got str\. Pass an int", random_state="0", error=TypeError)


@pytest.mark.parametrize(
    "weight, match",
    [
        (-np.ones(40), "must be finite and >= 0; 40 of 40 are not, the first is -1"),
        (np.r_[np.nan, np.ones(39)], "must be finite and >= 0; 1 of 40 are not, the first is nan"),
        (np.zeros(40), "is zero everywhere; at least two samples need weight > 0"),
        (["a"] * 40, "must be numeric"),
    ],
)
def test_bad_weights(weight, match):
    refused(f"^sample_weight {match}", sample_weight=weight)


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


# ------------------------------------------------------------------------------ other functions

NET = TwoLayerNetwork([1.0], [0.5], [0.0], offset=0.0)
SKIPPING = TwoLayerNetwork([1.0], [0.5], [0.0], offset=0.0, skip=-1.0)
FIT = fit_convex_score(X, beta=9.0)
CALLS = {
    r"^X must be numeric; got str": lambda: FIT.score_function("zero"),
    r"^q must hold probabilities in \[0, 1\]; got 1\.5": lambda: FIT.ppf([0.5, 1.5]),
    r"^n must be an integer >= 1; got 0": lambda: FIT.sample(0),
    r"^method .* 'exact', 'langevin', 'mala'; got 'gibbs'": lambda: FIT.sample(3, method="gibbs"),
    r"^step must be finite and > 0": lambda: FIT.sample(3, method="langevin", step=-1.0),
    r"^X must be finite": lambda: FIT.score([np.nan, 1.0]),
    r"^network must be a TwoLayerNetwork": lambda: certify(lambda x: -x, X, beta=9.0),
    r"^beta must be finite and > 0; got 0": lambda: certify(NET, X, beta=0.0),
    r"^labels must be given": lambda: certify(NET, X, beta=9.0, objective="denoising"),
    r"^labels must be finite with the shape of X": lambda: certify(
        NET, X, beta=9.0, objective="denoising", labels=[1.0]
    ),
    r"^labels = .* no effect with objective='score_m": lambda: certify(NET, X, beta=9.0, labels=X),
    r"^reference .* 'solve', 'residual'": lambda: certify(NET, X, beta=9.0, reference="guess"),
    r"^skip=False but the network has": lambda: certify(SKIPPING, X, beta=9.0, skip=False),
    r"^X_held_out must be finite": lambda: regularization_path(X, n_betas=2, X_held_out=[np.nan]),
    r"^n_betas = 3 has no effect": lambda: regularization_path(X, n_betas=3, betas=[9.0]),
}


@pytest.mark.parametrize("match", CALLS)
def test_arguments_that_are_refused(match):
    with pytest.raises(ValueError, match=match):
        CALLS[match]()


def test_missing_values_of_an_evaluation_stay_missing():
    assert np.isnan(FIT.score_function([np.nan, 1.0])).tolist() == [True, False]


@pytest.mark.parametrize("betas", [[0.0], [-1.0, 3.0], [np.nan], [], [3.0, np.inf]])
def test_betas_of_a_path_that_are_refused(betas):
    with pytest.raises(ValueError, match=r"^betas must be positive finite numbers; got"):
        regularization_path(X, betas=betas)


def test_function_and_estimator_say_the_same():
    for options in ({"beta": -1.0}, {"activation": "tanh"}, {"beta": 0.5}):
        with pytest.raises(ValueError) as of_function:
            fit_convex_score(X, **options)
        with pytest.raises(ValueError) as of_estimator:
            ConvexScore(**options).fit(X)
        assert str(of_function.value) == str(of_estimator.value)
        assert type(of_function.value) is type(of_estimator.value)


# ---------------------------------------------------------------------------- many dimensions


TABLE = np.random.default_rng(1).normal(size=(12, 3))


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


BROKEN, WIDE, FEW = TABLE.copy(), TABLE.copy(), np.repeat(TABLE[:2], 4, axis=0)
BROKEN[4, 1], BROKEN[4, 2], BROKEN[7, 0] = np.nan, np.inf, -np.inf
WIDE[0, 2], WIDE[1, 2] = -1.7e308, 1.7e308
TABLES = {
    r"^X must be finite; 3 of 36 values are NaN or infinity, in 2 of 12 rows, the first is row 4\. "
    r"Remove those rows, for example X\[np\.isfinite\(X\)\.all\(axis=1\)\]": BROKEN,
    r"^X must have at least one column; got 0 feature\(s\) \(shape=\(4, 0\)\)": np.empty((4, 0)),
    r"^X must have shape \(n,\) or \(n, d\).*got shape \(12, 3, 1\).*\.reshape\(": TABLE[..., None],
    r"^X must have shape .*got shape \(\)": 3.0,
    r"^X must be real\. Complex data not supported": TABLE + 1j,
    "^X must be numeric .*got list that cannot": [["a", "b"], ["c", "d"]],
    "^X must be numeric .*got list that .*inhomogeneous": [[1.0, 2.0], [3.0]],
    r"^X must be a dense array; got sparse csr_matrix\. Pass X\.toarray\(\)": csr_matrix(TABLE),
    r"^X must hold at least 2 points; got 1 \(n_samples = 1, .*pass X\.ravel\(\)": X[None],
    r"^X must hold at least 2 points; got 0": TABLE[:0],
    r"^X is constant: all rows are equal \(5 times": np.repeat(TABLE[:1], 5, axis=0),
    r"^column 2 of X spans -1\.7e\+308 to 1\.7e\+308, which overflows; rescale": WIDE,
}


@pytest.mark.parametrize("match", TABLES)
def test_tables_that_are_refused(match):
    with pytest.raises(ValueError, match=match):
        check_points(TABLES[match])


def test_tables_with_few_points_and_wide_spans():
    assert check_points(FEW, min_distinct=2).shape == (8, 3)
    assert check_points(TABLE[:1], min_distinct=1).shape == (1, 3)
    assert check_points(TABLE[:0], min_distinct=0).shape == (0, 3)
    assert check_points(1e299 * TABLE / np.abs(TABLE).max()).shape == (12, 3)
