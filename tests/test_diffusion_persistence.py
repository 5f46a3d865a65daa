"""Saved diffusion models come back equal to the last bit, also by pickle; others are refused."""

import copy
import dataclasses
import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import convexscore.models.diffusion
from convexscore import ConvergenceWarning, ConvexDiffusion, ConvexScore, load, save
from convexscore.persistence import SCHEMA_VERSION
from convexscore.persistence.stored_diffusion import digest_of


def line(n=80):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-2.0, 0.7, n - n // 3), rng.normal(2.0, 0.4, n // 3)])


def plane(n=60):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(n, 2)) @ [[0.9, 0.3], [0.0, 0.5]]
    points[: n // 2] += 2.5
    return points


WEIGHTS = 1.0 + np.arange(80) % 3
# What is fitted: data, weights, options.
CASES = {
    "column, cv": (line(), None, {"n_levels": 5, "cv": 2, "n_draws": 5}),
    "column, ve, abs, no skip": (
        line(), WEIGHTS,
        {"n_levels": 4, "schedule": "ve", "activation": "abs", "skip": False, "beta": "rule"},
    ),
    "column, 1e8 + 1e-2 x": (1e8 + 1e-2 * line(), None, {"n_levels": 4, "beta": "rule"}),
    "column, 1e-8 x": (1e-8 * line(), None, {"n_levels": 4, "beta": "rule"}),
    "column, levels and betas": (
        line(), None,
        {"levels": np.array([5.0, 1.0, 0.3]), "beta": (0.3, np.float64(2.0), 9), "labels": "noisy"},
    ),
    "column, no neurons": (line(), None, {"n_levels": 3, "beta": 1e6}),
    "plane, conservative": (
        plane(), None, {"n_levels": 4, "n_draws": 3, "conservative": True, "beta": 2.0},
    ),
    "plane, ve, whitening, cv": (
        plane(), WEIGHTS[:60],
        {"n_levels": 3, "n_draws": 2, "cv": 2, "tol": 0.05, "schedule": "ve",
         "standardize": "whitening"},
    ),
    "plane, 1e8 x, no neurons": (
        1e8 * plane() - 3e8, None, {"n_levels": 3, "n_draws": 2, "beta": 1e6},
    ),
    "space, abs": (
        np.random.default_rng(2).normal(size=(40, 3)), None,
        {"n_levels": 3, "n_draws": 2, "beta": 4.0, "activation": "abs", "n_starts": 8},
    ),
}  # fmt: skip
_FITTED = {}


@pytest.fixture(params=CASES, ids=str)
def model(request):
    return fitted(request.param)


def fitted(name):
    if name not in _FITTED:
        data, weights, options = CASES[name]
        model = ConvexDiffusion(random_state=7, **options)
        _FITTED[name] = model.fit(data, sample_weight=weights)
    return _FITTED[name]


def as_lists(params):
    return {
        name: np.asarray(value).tolist() if isinstance(value, np.ndarray | tuple) else value
        for name, value in params.items()
    }


def assert_equal_fields(a, b):
    """Dataclasses of numbers and arrays, equal to the last bit (NaN equals NaN)."""
    assert type(a) is type(b)
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        assert (left is None) == (right is None), field.name
        np.testing.assert_array_equal(left, right, err_msg=field.name)


def assert_same_model(a, b):
    # nothing fitted was forgotten
    assert set(vars(a)) == set(vars(b))
    assert as_lists(a.get_params()) == as_lists(b.get_params())
    for name in ("levels_", "betas_"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert (a.n_draws_, a.n_features_in_) == (b.n_draws_, b.n_features_in_)
    assert type(b.n_draws_) is int and type(b.n_features_in_) is int
    assert_equal_fields(a.standardization_, b.standardization_)
    assert (a.factor_selection_ is None) == (b.factor_selection_ is None)
    if a.factor_selection_ is not None:
        assert_equal_fields(a.factor_selection_, b.factor_selection_)
    assert repr(a.certificates_) == repr(b.certificates_)
    for left, right in zip(a.certificates_, b.certificates_, strict=True):
        for name in ("level", "beta", "seconds", "error", "messages", "certificate"):
            assert getattr(left, name) == getattr(right, name)
        assert (left.network is None) == (right.network is None)
        if left.network is not None:
            assert_equal_fields(left.network, right.network)
        assert (left.piecewise is None) == (right.piecewise is None)
        if left.piecewise is not None:
            assert_equal_fields(left.piecewise, right.piecewise)
    for left, right in zip(a.networks_, b.networks_, strict=True):
        assert_equal_fields(left, right)
    for name in ("levels", "mean", "covariance"):
        assert np.array_equal(getattr(a.ladder_, name), getattr(b.ladder_, name))


def assert_same_behaviour(a, b):
    """Scores above, at, between and below the levels, and samples of both kinds of samplers."""
    how = {"n_steps": 12, "random_state": 3}
    x = a.sample(150, **how)
    assert np.array_equal(x, b.sample(150, **how))
    levels = a.levels_
    for sigma in (2 * levels[0], levels[1], np.sqrt(levels[0] * levels[1]), levels[-1] / 3):
        assert np.array_equal(a.ve_score(x, sigma), b.ve_score(x, sigma))
    for t in (a.end_, 0.4) if a.schedule == "vp" else levels[1:3]:
        assert np.array_equal(a.score_function(x, t), b.score_function(x, t))
        assert np.array_equal(a.denoise(x, t), b.denoise(x, t))
    how["sampler"] = "annealed_langevin"
    assert np.array_equal(a.sample(20, **how), b.sample(20, **how))


# ----------------------------------------------------------------------------------- round trips


def test_round_trip_is_exact(model, tmp_path):
    path = tmp_path / "model.npz"
    assert save(model, path) == path
    again = load(path)
    assert isinstance(again, ConvexDiffusion)
    assert_same_model(model, again)
    assert_same_behaviour(model, again)
    # a second trip writes the same contents
    assert_same_model(model, load(save(again, tmp_path / "twice.npz")))


def test_pickles_and_copies_are_exact(model):
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same_model(model, again)
        assert_same_behaviour(model, again)


def test_cases_are_what_they_are_called():
    assert sum(fit.network.n_neurons for fit in fitted("column, cv").certificates_) > 5
    assert fitted("column, cv").factor_selection_ is not None
    assert fitted("plane, ve, whitening, cv").factor_selection_ is not None
    for name in CASES:
        neurons = fitted(name).certificates_["neurons"]
        assert (neurons.sum() == 0) == name.endswith("no neurons"), name
    assert not fitted("space, abs").certificates_["exact"].any()


def test_a_model_of_another_process_is_the_same(tmp_path):
    """Nothing comes from this process: only the file goes over."""
    model = fitted("plane, conservative")
    path = save(model, tmp_path / "model.npz")
    code = (
        "import sys, numpy as np\n"
        "from convexscore import load\n"
        "model = load(sys.argv[1])\n"
        "assert 'cvxpy' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "np.save(sys.argv[2], model.sample(40, n_steps=15, random_state=5))\n"
    )
    out = tmp_path / "samples.npy"
    subprocess.run([sys.executable, "-c", code, str(path), str(out)], check=True)
    assert np.array_equal(np.load(out), model.sample(40, n_steps=15, random_state=5))


def test_a_loaded_model_can_be_fitted_again_and_cloned(tmp_path):
    data, _, _ = CASES["column, cv"]
    model = fitted("column, cv")
    loaded = load(save(model, tmp_path / "model.npz"))
    again = clone(loaded).fit(data)
    assert np.array_equal(again.betas_, model.betas_)
    assert np.array_equal(again.score_function(data, 0.5), model.score_function(data, 0.5))


def test_names_of_columns_are_kept(tmp_path):
    frame = pd.DataFrame(plane(), columns=["height", "Breite ü, cm"])
    model = ConvexDiffusion(n_levels=2, n_draws=1, beta=1e3, random_state=0).fit(frame)
    again = load(save(model, tmp_path / "model.npz"))
    assert again.feature_names_in_.tolist() == ["height", "Breite ü, cm"]
    assert again.feature_names_in_.dtype == object
    assert not hasattr(pickle.loads(pickle.dumps(fitted("column, cv"))), "feature_names_in_")


def test_failed_levels_stay_in_the_table(tmp_path, monkeypatch):
    honest = convexscore.models.diffusion.fit_level

    def fails_at_the_second(x, weights, options, beta, **how):
        if options.noise == 1.0:
            how["seed"] = None
        return honest(x, weights, options, beta, **how)

    monkeypatch.setattr(convexscore.models.diffusion, "fit_level", fails_at_the_second)
    model = ConvexDiffusion(levels=[4.0, 1.0, 0.3], beta=3.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="1 of 3 noise levels failed"):
        model.fit(line())
    assert len(model.certificates_) == 3 and len(model.networks_) == 2
    again = load(save(model, tmp_path / "model.npz"))
    assert_same_model(model, again)
    assert_same_behaviour(model, again)
    assert again.certificates_[1].error and not again.certificates_.optimal


def test_a_path_that_was_not_followed_stays_nan(tmp_path):
    model = copy.deepcopy(fitted("column, cv"))
    model.factor_selection_.loss[-1] = model.factor_selection_.standard_error[-1] = np.nan
    again = load(save(model, tmp_path / "model.npz"))
    assert np.isnan(again.factor_selection_.loss[-1])
    assert_same_model(model, again)


def test_warnings_of_the_solver_are_kept(tmp_path):
    model = copy.deepcopy(fitted("column, cv"))
    fits = [dataclasses.replace(fit, messages=("one", "two")) for fit in model.certificates_]
    model.certificates_ = type(model.certificates_)(fits)
    again = load(save(model, tmp_path / "model.npz"))
    assert [fit.messages for fit in again.certificates_] == 5 * [("one", "two")]


def test_generator_is_replaced_by_none_with_a_note(tmp_path):
    state = np.random.default_rng(0)
    model = ConvexDiffusion(n_levels=2, beta=3.0, random_state=state).fit(line())
    path = save(model, tmp_path / "model.npz")
    assert load(path).random_state is None and model.random_state is state
    with np.load(path) as archive:
        [note] = json.loads(archive["header"].item())["notes"]
    assert "random_state was a Generator, which cannot be stored" in note


def test_only_fitted_models_are_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(ConvexDiffusion(), tmp_path / "model.npz")
    with pytest.raises(TypeError, match="got ConvexDiffusion"):
        # the class itself is no model
        save(type("ConvexDiffusion", (), {})(), tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_saving_a_fit_does_not_load_the_diffusion():
    """Who fits one score does not wait for the samplers of the other model."""
    code = (
        "import sys, tempfile, pathlib\n"
        "from convexscore import fit_convex_score, load, save\n"
        "fit = fit_convex_score([0.0, 1.0, 3.0, 4.0], beta=3.0)\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    load(save(fit, pathlib.Path(folder) / 'fit.npz'))\n"
        "print('convexscore.models.diffusion' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


# ----------------------------------------------------------------------------- what is refused


def refused(path, match):
    with pytest.raises(ValueError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)


def contents(name, folder):
    with np.load(save(fitted(name), folder / "good.npz"), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return json.loads(arrays.pop("header").item()), arrays


def write(path, header, arrays, *, digest=True):
    """As the library would; without ``digest`` the header keeps the old one."""
    if digest:
        header["digest"] = digest_of(arrays)
        header["arrays"] = {name: list(array.shape) for name, array in arrays.items()}
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    return path


def test_file_is_self_describing(tmp_path):
    header, arrays = contents("plane, conservative", tmp_path)
    assert header["format"] == "convexscore fit" and header["model"] == "ConvexDiffusion"
    assert header["schema_version"] == SCHEMA_VERSION == 3
    model = fitted("plane, conservative")
    assert header["params"] == model.get_params()
    assert np.array_equal(arrays["levels"], model.levels_)
    sizes = [row["n_neurons"] for row in header["levels"]]
    assert sizes == model.certificates_["neurons"].tolist()
    # the training data are not in the file
    rows = {tuple(point) for point in model.standardization_.points(plane())}
    for name, array in arrays.items():
        if array.ndim == 2 and array.shape[1] == 2:
            assert not rows & {tuple(row) for row in array}, name


@pytest.mark.parametrize("name", ["column, cv", "plane, conservative"])
def test_no_number_changes_unseen(tmp_path, name):
    header, arrays = contents(name, tmp_path)
    path = tmp_path / "altered.npz"
    assert load(write(path, header, arrays, digest=False)).certificates_.optimal
    for entry in arrays:
        altered = {key: array.copy() for key, array in arrays.items()}
        flat = altered[entry].reshape(-1)
        flat[-1] = np.nextafter(flat[-1], np.inf) if np.isfinite(flat[-1]) else 1.0
        refused(write(path, header, altered, digest=False), "not those that were saved")


def test_one_flipped_bit_anywhere_is_refused_or_harmless(tmp_path):
    model = fitted("column, levels and betas")
    path = save(model, tmp_path / "model.npz")
    content = bytearray(path.read_bytes())
    n_refused = 0
    for position in range(0, len(content), 11):
        content[position] ^= 4
        path.write_bytes(content)
        content[position] ^= 4
        try:
            again = load(path)
        except ValueError as error:
            assert str(path) in str(error)
            n_refused += 1
        else:
            assert_same_model(model, again)
    assert n_refused > 0.6 * len(content) / 11


@pytest.mark.parametrize("share", [0.1, 0.6, 0.98])
def test_truncated_files(tmp_path, share):
    path = save(fitted("plane, conservative"), tmp_path / "model.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "its end is missing")


def test_pickled_contents_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    header, arrays = contents("column, cv", tmp_path)
    arrays["network_w"] = np.array([Bomb()], dtype=object)
    path = write(tmp_path / "bomb.npz", header, arrays, digest=False)
    refused(path, "damaged or not a plain array")


CHANGES = []


def spoils(name):
    """Registers a change of (header, arrays) of a case that returns what the error must say."""

    def register(change):
        CHANGES.append(pytest.param(name, change, id=change.__name__.replace("_", " ")))
        return change

    return register


COLUMN, PLANE = "column, cv", "plane, conservative"


@spoils(COLUMN)
def newer_schema(h, a):
    h["schema_version"] = SCHEMA_VERSION + 1
    return f"schema version {SCHEMA_VERSION + 1}.*reads versions 1 to {SCHEMA_VERSION}. Upgrade"


@spoils(COLUMN)
def older_schema(h, a):
    h["schema_version"] = 2
    del h["model"]
    return "header lacks 'activation'|header lacks 'certificate'"


@spoils(COLUMN)
def unknown_model(h, a):
    h["model"] = "ConvexFlow"
    return "header says model 'ConvexFlow'; expected one of ConvexScore, ConvexDiffusion"


@spoils(COLUMN)
def no_levels(h, a):
    del h["levels"]
    return "header lacks 'levels'"


@spoils(COLUMN)
def unknown_parameter(h, a):
    h["params"]["colour"] = "blue"
    return "unexpected keyword argument 'colour'"


@spoils(COLUMN)
def impossible_parameter(h, a):
    h["params"]["schedule"] = "cosine"
    return "schedule must be one of 'vp', 've'; got 'cosine'"


@spoils(COLUMN)
def another_activation(h, a):
    h["activation"] = "abs"
    return "activation 'abs' of a model with 'relu'"


@spoils(COLUMN)
def another_standardisation(h, a):
    h["standardization"] = None
    return "standardization None with standardize='auto'"


@spoils(PLANE)
def altered_inverse(h, a):
    a["standardization_inverse"][0, 0] *= 1 + 1e-6
    return "standardisation times its inverse is off by 1e-06"


@spoils(COLUMN)
def missing_array(h, a):
    del a["piecewise_knots"]
    return "entry 'piecewise_knots' is missing"


@spoils(COLUMN)
def half_a_selection(h, a):
    del a["selection_loss"]
    return "selection_factors, .* belong together; some are missing"


@spoils(COLUMN)
def both_kinds(h, a):
    a["probe_points"] = np.zeros((1, 1))
    return "entry 'probe_points' does not belong to a model with n_features = 1"


@spoils(PLANE)
def another_number_of_columns(h, a):
    h["n_features"] = 3
    return "the standardisation is not one of 3 columns"


@spoils(COLUMN)
def not_a_number(h, a):
    a["network_w"][0] = np.nan
    return "entry 'network_w' holds NaN"


@spoils(COLUMN)
def levels_out_of_order(h, a):
    a["levels"] = a["levels"][::-1].copy()
    return "the levels must decrease and be > 0"


@spoils(COLUMN)
def one_level_too_few(h, a):
    a["levels"] = a["levels"][:-1]
    return "levels must hold one number for each of 5 levels"


@spoils(COLUMN)
def one_row_too_few(h, a):
    h["levels"].pop()
    return "levels must hold one number for each of 4 levels"


@spoils(COLUMN)
def one_neuron_too_few(h, a):
    a["network_b"] = a["network_b"][:-1]
    return "network_b has .* rows; the levels have"


@spoils(COLUMN)
def a_neuron_of_another_level(h, a):
    rows = [row for row in h["levels"] if row["n_neurons"]]
    rows[0]["n_neurons"] -= 1
    rows[1]["n_neurons"] += 1
    return "its certificate is for beta .* neurons, the network for"


@spoils(COLUMN)
def negative_size(h, a):
    h["levels"][0]["n_neurons"] = -1
    return "the sizes of the networks are"


@spoils(COLUMN)
def certificate_of_another_beta(h, a):
    a["betas"][2] *= 1.5
    return "its certificate is for beta"


@spoils(PLANE)
def no_certificate(h, a):
    del h["levels"][1]["certificate"]
    return "'certificate' is missing"


@spoils(PLANE)
def no_certificate_field(h, a):
    del h["levels"][1]["certificate"]["gap"]
    return "'gap' is missing"


@spoils(PLANE)
def an_error_and_a_network(h, a):
    h["levels"][1]["error"] = "ValueError: no"
    return "row 1 of the levels has both or neither of a network and an error"


@spoils(PLANE)
def rows_that_are_none(h, a):
    h["levels"][1] = None
    return "its contents do not fit together"


@spoils(COLUMN)
def altered_network(h, a):
    a["network_w"][0] *= 1 + 1e-5
    return "its network and its piecewise-linear score differ by"


@spoils(PLANE)
def altered_network_of_the_plane(h, a):
    a["network_w"][0] *= 1 + 1e-4
    return "its network and its stored scores differ by"


@spoils(PLANE)
def altered_offset(h, a):
    a["network_offset"][2] += 1e-6
    return "its network and its stored scores differ by"


@spoils(PLANE)
def mean_of_another_dimension(h, a):
    a["mean"] = a["mean"][:1]
    return "mean and covariance are not those of 2 columns"


@pytest.mark.parametrize("name, change", CHANGES)
def test_altered_contents(tmp_path, name, change):
    """Even where someone has corrected the digest."""
    header, arrays = contents(name, tmp_path)
    match = change(header, arrays)
    refused(write(tmp_path / "altered.npz", header, arrays), match)


def test_no_level_that_was_fitted(tmp_path):
    header, arrays = contents(COLUMN, tmp_path)
    for row in header["levels"]:
        del row["n_neurons"]
        row["error"] = "ValueError: no"
    refused(write(tmp_path / "altered.npz", header, arrays), "do not fit together")


def test_the_two_models_do_not_take_each_other_s_files(tmp_path):
    header, arrays = contents(COLUMN, tmp_path)
    header["model"] = "ConvexScore"
    refused(write(tmp_path / "altered.npz", header, arrays), "header lacks 'certificate'")
    fit = ConvexScore(beta=9.0).fit(line())
    assert isinstance(load(save(fit, tmp_path / "fit.npz")), ConvexScore)
