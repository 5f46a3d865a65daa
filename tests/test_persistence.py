"""Saved fits come back equal to the last bit; anything else is refused by name."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from convexscore import ConvexScore, fit_convex_score, load, save
from convexscore.persistence import SCHEMA_VERSION

DATA = Path(__file__).parent / "data"


def bimodal(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(-2.0, 1.0, n - n // 3), rng.normal(2.0, 0.5, n // 3)])


CASES = {
    "cross-validated": {"random_state": 5, "n_betas": 6, "cv": 3},
    "one standard error": {
        "random_state": 5, "n_betas": 6, "cv": 3, "one_standard_error": True,
    },
    "no kinks": {"beta": 60.0},
    "one kink": {"objective": "denoising", "noise": 0.4, "beta": 40.0, "random_state": 1},
    "abs, no skip": {"activation": "abs", "skip": False, "beta": 2.3},
    "denoising": {
        "objective": "denoising", "noise": 0.5, "n_draws": 2, "labels": "smoothed", "skip": False,
        "beta": 3.0, "random_state": 0,
    },
    "integrable": {"tails": "integrable", "activation": "abs", "beta": 6.0},
    "log-concave": {"shape": "log-concave", "beta": 4.0},
}  # fmt: skip


SEVERAL = {
    "score matching": {"beta": 9.0, "random_state": 2},
    "no neurons": {"beta": 60.0},
    "abs, no skip": {"activation": "abs", "skip": False, "beta": 20.0},
    "cross-validated, whitened": {
        "objective": "denoising", "noise": 0.5, "n_draws": 2, "labels": "smoothed", "n_betas": 5,
        "cv": 2, "standardize": "whitening", "random_state": 0,
    },
    "conservative, scaled columns": {
        "conservative": True, "objective": "denoising", "noise": 0.5, "beta": 2.0,
        "standardize": "columns", "random_state": 1, "n_starts": 20,
    },
    "log-concave": {"conservative": True, "shape": "log-concave", "beta": 8.0, "tol": 1e-3},
}  # fmt: skip


def planar(n=50, seed=0):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, 2)) @ [[0.9, 0.3], [0.0, 0.5]]
    half[: n // 2] += 2.5
    return half


def assert_same_fit(a, b):
    assert a.get_params() == b.get_params()
    for name in ("u", "w", "b", "offset", "skip"):
        left, right = getattr(a.network_, name), getattr(b.network_, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.shape == right.shape and np.array_equal(left, right)
    assert a.network_.activation == b.network_.activation
    assert a.n_features_in_ == b.n_features_in_ and type(b.n_features_in_) is int
    if a.n_features_in_ == 1:
        for name in ("knots", "values", "left_slope", "right_slope"):
            assert np.array_equal(getattr(a.piecewise_, name), getattr(b.piecewise_, name))
    else:
        for name in ("centre", "matrix", "inverse", "name"):
            left, right = (getattr(fit.standardization_, name) for fit in (a, b))
            assert np.array_equal(left, right)
        assert np.array_equal(a.start_points_, b.start_points_)
    assert dataclasses.asdict(a.certificate_) == dataclasses.asdict(b.certificate_)
    assert a.beta_ == b.beta_ and type(b.beta_) is float
    assert a.blur_ == b.blur_ and type(b.blur_) is float
    # nothing fitted was forgotten
    assert {name for name in vars(a) if name.endswith("_")} == {
        name for name in vars(b) if name.endswith("_")
    }
    for name in ("noisy_points_", "noise_labels_"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None)
        assert left is None or np.array_equal(left, right)
    left, right = a.beta_selection_, b.beta_selection_
    assert (left is None) == (right is None)
    if left is not None:
        assert (left.beta, left.beta_min) == (right.beta, right.beta_min)
        for name in ("betas", "loss", "standard_error"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (1e-8, 0.0), (1e8, -3e8), (1e-3, 1e6)])
def test_round_trip_is_exact(tmp_path, options, scale, shift):
    options = dict(options)
    if "noise" in options:
        options["noise"] *= scale
        options["beta"] /= scale  # denoising: the loss has the units of 1/x^2, the penalty 1/x^2
    fit = fit_convex_score(bimodal() * scale + shift, **options)
    path = tmp_path / "fit.npz"
    assert save(fit, path) == path
    again = load(path)
    assert_same_fit(fit, again)
    grid = shift + scale * np.linspace(-9.0, 9.0, 301)
    assert np.array_equal(fit.score_function(grid), again.score_function(grid))
    if fit.piecewise_.is_integrable:
        assert np.array_equal(fit.log_density(grid), again.log_density(grid))
        assert np.array_equal(fit.sample(5, random_state=0), again.sample(5, random_state=0))
    # a second trip writes the same contents
    assert_same_fit(fit, load(save(again, tmp_path / "twice.npz")))


@pytest.mark.parametrize("options", SEVERAL.values(), ids=SEVERAL)
def test_round_trip_of_several_columns_is_exact(tmp_path, options):
    shift = np.array([0.0, 1e3])
    x = planar() + shift
    fit = fit_convex_score(x, **options)
    assert (fit.network_.n_neurons == 0) == (options.get("beta") == 60.0)
    again = load(save(fit, tmp_path / "fit.npz"))
    assert_same_fit(fit, again)
    grid = np.random.default_rng(1).uniform(-4.0, 6.0, (301, 2)) + shift
    for name in ("score_function", "divergence", "jacobian_asymmetry"):
        assert np.array_equal(getattr(fit, name)(grid), getattr(again, name)(grid))
    assert fit.score(x) == again.score(x)
    how = {"random_state": 0, "n_steps": 30}
    assert np.array_equal(fit.sample(5, **how), again.sample(5, **how))
    if fit.conservative:
        assert np.array_equal(fit.log_density(grid), again.log_density(grid))
        assert np.array_equal(
            fit.sample(5, method="mala", **how), again.sample(5, method="mala", **how)
        )
    assert_same_fit(fit, load(save(again, tmp_path / "twice.npz")))


def test_round_trip_in_five_dimensions_and_the_number_of_searches(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 5))
    fit = fit_convex_score(
        x, objective="denoising", noise=0.5, beta=6.0, random_state=0, n_starts=8
    )
    assert fit.certificate_.n_tried > 0 and not fit.certificate_.exact
    again = load(save(fit, tmp_path / "fit.npz"))
    assert_same_fit(fit, again)
    assert np.array_equal(fit.score_function(x), again.score_function(x))


def test_names_of_columns_are_kept(tmp_path):
    fit = fit_convex_score(planar(), beta=12.0)
    assert not hasattr(load(save(fit, tmp_path / "fit.npz")), "feature_names_in_")
    fit.feature_names_in_ = np.array(["height", "Breite ü, cm"], dtype=object)
    again = load(save(fit, tmp_path / "fit.npz"))
    assert again.feature_names_in_.tolist() == ["height", "Breite ü, cm"]
    assert again.feature_names_in_.dtype == object


def test_a_file_of_version_0_1_0_loads():
    """Written by that version, with the parameters and fields there were."""
    path = DATA / "fit-schema-1.npz"
    with np.load(path) as archive:
        header = json.loads(archive["header"].item())
    assert header["schema_version"] == 1 and "conservative" not in header["params"]
    assert "n_tried" not in header["certificate"] and "n_features" not in header
    fit = load(path)
    expected = [0.07295357888017828, 2.6744399655190114, 0.2336646273502847]  # as that version said
    assert fit.score_function([-2.5, 0.0, 2.0]) == pytest.approx(expected, rel=1e-12)
    samples = [2.5004730772563284, 1.617432701482909]
    assert fit.sample(2, random_state=0) == pytest.approx(samples, rel=1e-12)
    assert fit.certificate_.optimal and fit.certificate_.n_tried == 0
    assert fit.get_params() == {**ConvexScore().get_params(), **header["params"]}
    assert fit.conservative is False and fit.standardize is None and fit.n_features_in_ == 1
    x = np.concatenate([np.linspace(-3.0, -2.0, 12), np.linspace(1.0, 3.0, 18)])
    again = fit_convex_score(x, **header["params"])
    # the stored parameters are all that a fit needs; its noise comes from another stream today
    assert again.certificate_.optimal and again.get_params() == fit.get_params()


def test_a_file_of_schema_2_loads():
    """Several columns, written before there were diffusion models."""
    path = DATA / "fit-schema-2.npz"
    with np.load(path) as archive:
        header = json.loads(archive["header"].item())
    assert header["schema_version"] == 2 and "model" not in header
    fit = load(path)
    assert isinstance(fit, ConvexScore) and fit.get_params() == header["params"]
    expected = [
        [0.19503836413414855, 0.11827969690280238],
        [0.6644741582014393, -1.0321732201034617],
        [6.018564510104949, -2.5969813279394867],
    ]
    scores = fit.score_function([[0.0, 0.0], [2.0, 3.0], [-5.0, 1.0]])
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    samples = [
        [1.9826846382538441, -0.6854218692329126],
        [0.4446542866495432, -0.11269133154193742],
    ]
    np.testing.assert_allclose(fit.sample(2, n_steps=5, random_state=0), samples, rtol=1e-10)
    assert fit.beta_ == 1.1942594684603536 and fit.certificate_.n_neurons == 29
    assert fit.feature_names_in_.tolist() == ["a", "b, c"]
    assert len(fit.noisy_points_) == 80 and fit.beta_selection_.betas.size == 4


def test_a_loaded_fit_can_be_fitted_again_with_the_same_result(tmp_path):
    x = bimodal()
    fit = fit_convex_score(x, random_state=0, n_betas=6, cv=3)
    again = load(save(fit, tmp_path / "fit.npz")).fit(x)
    assert again.beta_ == fit.beta_
    assert np.array_equal(again.score_function(x), fit.score_function(x))


def test_file_is_self_describing_and_needs_no_pickle(tmp_path):
    fit = fit_convex_score(bimodal(), beta=5.0)
    with np.load(save(fit, tmp_path / "fit.npz"), allow_pickle=False) as archive:
        header = json.loads(archive["header"].item())
        assert np.array_equal(archive["network_w"], fit.network_.w)
    assert header["format"] == "convexscore fit"
    assert header["schema_version"] == SCHEMA_VERSION
    assert header["convexscore_version"].count(".") == 2
    assert header["beta"] == 5.0
    assert header["params"] == fit.get_params()
    assert header["certificate"]["objective"] == fit.certificate_.objective
    assert header["notes"] == []


def test_numpy_scalars_are_stored_as_numbers(tmp_path):
    options = {"beta": np.float64(0.1) * 50, "n_draws": np.int64(2), "skip": np.bool_(True)}
    fit = fit_convex_score(bimodal(), random_state=np.int64(4), **options)
    again = load(save(fit, tmp_path / "fit.npz"))
    assert again.get_params() == fit.get_params()
    assert again.skip is True and type(again.random_state) is int


@pytest.mark.parametrize("state", [np.random.default_rng(0), np.random.RandomState(0)])
def test_generator_is_replaced_by_none_with_a_note(tmp_path, state):
    fit = fit_convex_score(bimodal(), beta=5.0, random_state=state)
    path = save(fit, tmp_path / "fit.npz")
    assert load(path).random_state is None
    with np.load(path) as archive:
        [note] = json.loads(archive["header"].item())["notes"]
    assert type(state).__name__ in note and "cannot be stored" in note
    assert fit.random_state is state


def test_only_fitted_estimators_are_saved(tmp_path):
    with pytest.raises(
        TypeError, match="fit must be a fitted ConvexScore or ConvexDiffusion; got dict"
    ):
        save({}, tmp_path / "fit.npz")
    with pytest.raises(NotFittedError):
        save(ConvexScore(), tmp_path / "fit.npz")
    assert list(tmp_path.iterdir()) == []


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "fit.npz"
    save(fit_convex_score(bimodal(), beta=5.0), path)
    before = path.read_bytes()

    def fails_half_way(file, **arrays):
        file.write(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fails_half_way)
    with pytest.raises(OSError, match="disk full"):
        save(fit_convex_score(bimodal(), beta=9.0), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ----------------------------------------------------------------------------- what is refused


@pytest.fixture
def stored(tmp_path):
    """Header and arrays of a good file, to be spoiled."""
    fit = fit_convex_score(bimodal(), random_state=5, n_betas=6, cv=3)
    with np.load(save(fit, tmp_path / "good.npz")) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop("header").item()), arrays


def refused(path, match):
    """Loading fails with a ValueError that names the file and what is wrong."""
    with pytest.raises(ValueError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)


def write(path, header, arrays):
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    return path


def test_the_fixture_itself_loads(tmp_path, stored):
    assert load(write(tmp_path / "copy.npz", *stored)).certificate_.optimal


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.npz"):
        load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"\x93NUMPY", b"PK\x03\x04 not really"])
def test_foreign_files(tmp_path, content):
    path = tmp_path / "foreign.npz"
    path.write_bytes(content)
    refused(path, "it is not an .npz file")


def test_foreign_npz_and_zip(tmp_path):
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    refused(tmp_path / "arrays.npz", r"it has no header.*entries: a\)")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("header", "hello")
    refused(tmp_path / "text.zip", "entry 'header' is not an array")
    np.savez(tmp_path / "number.npz", header=np.array(1.0))
    refused(tmp_path / "number.npz", "its header is not text")
    np.savez(tmp_path / "text.npz", header=np.array("hello"))
    refused(tmp_path / "text.npz", "its header is not valid JSON")
    np.savez(tmp_path / "other.npz", header=np.array('{"format": "something else"}'))
    refused(tmp_path / "other.npz", "its header says format 'something else'")
    np.savez(tmp_path / "list.npz", header=np.array("[1]"))
    refused(tmp_path / "list.npz", "its header says format 'list'")


def test_pickled_contents_are_never_unpickled(tmp_path, stored):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    header, arrays = stored
    arrays["network_w"] = np.array([Bomb()], dtype=object)
    refused(write(tmp_path / "bomb.npz", header, arrays), "damaged or not a plain array")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_files(tmp_path, share):
    path = save(fit_convex_score(bimodal(), beta=5.0), tmp_path / "fit.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "its end is missing")


def test_one_flipped_bit_anywhere_is_refused_or_harmless(tmp_path):
    fit = fit_convex_score(bimodal(), beta=5.0)
    path = save(fit, tmp_path / "fit.npz")
    content = bytearray(path.read_bytes())
    n_refused = 0
    for position in range(0, len(content), 7):
        content[position] ^= 4
        path.write_bytes(content)
        content[position] ^= 4
        try:
            again = load(path)
        except ValueError as error:
            assert str(path) in str(error)
            n_refused += 1
        else:
            # the time stamps of the archive and the like: nothing that is read
            assert_same_fit(fit, again)
    assert n_refused > 0.6 * len(content) / 7


CHANGES = []


def spoils(change):
    """Registers a change of (header, arrays) that returns what the error must say."""
    CHANGES.append(pytest.param(change, id=change.__name__.replace("_", " ")))
    return change


@spoils
def newer_schema(h, a):
    h["schema_version"] = SCHEMA_VERSION + 1
    return f"schema version {SCHEMA_VERSION + 1}.*reads versions 1 to {SCHEMA_VERSION}. Upgrade"


@spoils
def no_schema(h, a):
    del h["schema_version"]
    return "schema version None"


@spoils
def no_model(h, a):
    del h["model"]
    return "header says model None; expected one of ConvexScore, ConvexDiffusion"


@spoils
def another_model(h, a):
    h["model"] = "ConvexDiffusion"
    return "header lacks 'levels'"


@spoils
def no_parameters(h, a):
    del h["params"]
    return "header lacks 'params'"


@spoils
def unknown_parameter(h, a):
    h["params"]["colour"] = "blue"
    return "unexpected keyword argument 'colour'"


@spoils
def impossible_parameter(h, a):
    h["params"]["activation"] = "tanh"
    return "activation must be one of 'relu', 'abs'.*; got 'tanh'"


@spoils
def no_certificate_field(h, a):
    del h["certificate"]["gap"]
    return "'gap' is missing"


@spoils
def certificate_field_of_wrong_type(h, a):
    h["certificate"]["exact"] = "yes"
    return "certificate field 'exact' is 'yes'"


@spoils
def certificate_of_another_beta(h, a):
    h["beta"] *= 2
    return "its certificate is for beta"


@spoils
def certificate_of_another_network(h, a):
    h["certificate"]["n_neurons"] += 1
    return "its certificate is for beta .* neurons, the network for"


@spoils
def missing_array(h, a):
    del a["piecewise_knots"]
    return r"missing \['piecewise_knots'\]"


@spoils
def missing_array_and_entry(h, a):
    del a["piecewise_knots"], h["arrays"]["piecewise_knots"]
    return "entry 'piecewise_knots' is missing"


@spoils
def unexpected_array(h, a):
    a["extra"] = np.zeros(1)
    return r"unexpected \['extra'\]"


@spoils
def half_a_selection(h, a):
    del a["selection_loss"], h["arrays"]["selection_loss"]
    return "selection_betas, .* belong together"


@spoils
def wrong_shape(h, a):
    a["network_b"] = a["network_b"][:-1]
    return "entry 'network_b' is float64 with shape"


@spoils
def wrong_shape_in_header_too(h, a):
    a["network_b"] = a["network_b"][:-1]
    h["arrays"]["network_b"] = list(a["network_b"].shape)
    return "b must have shape"


@spoils
def wrong_dtype(h, a):
    a["network_w"] = a["network_w"].astype(np.float32)
    return "entry 'network_w' is float32"


@spoils
def not_a_number(h, a):
    a["piecewise_values"][0] = np.nan
    return "entry 'piecewise_values' holds NaN"


@spoils
def knots_out_of_order(h, a):
    a["piecewise_knots"] = a["piecewise_knots"][::-1].copy()
    return "knots must be strictly increasing"


@spoils
def altered_weight(h, a):
    a["network_w"][0] *= 1 + 1e-6
    return "network and its piecewise-linear score differ by"


@spoils
def altered_tail(h, a):
    a["piecewise_outer_slopes"][1] -= 0.001
    return "network and its piecewise-linear score differ by"


@spoils
def no_searches_in_a_new_file(h, a):
    del h["certificate"]["n_tried"]
    return "'n_tried' is missing"


@spoils
def no_number_of_columns(h, a):
    del h["n_features"]
    return "header lacks 'n_features'"


@spoils
def another_number_of_columns(h, a):
    h["n_features"] = 2
    return "entry 'standardization_centre' is missing"


@pytest.mark.parametrize("change", CHANGES)
def test_altered_contents(tmp_path, stored, change):
    header, arrays = stored
    match = change(header, arrays)
    refused(write(tmp_path / "altered.npz", header, arrays), match)


@pytest.fixture(scope="module")
def stored_plane(tmp_path_factory):
    options = SEVERAL["conservative, scaled columns"]
    path = save(fit_convex_score(planar(), **options), tmp_path_factory.mktemp("plane") / "f.npz")
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


PLANE_CHANGES = []


def spoils_plane(change):
    PLANE_CHANGES.append(pytest.param(change, id=change.__name__.replace("_", " ")))
    return change


@spoils_plane
def nothing(h, a):
    return None


@spoils_plane
def one_column_only(h, a):
    h["n_features"] = 1
    return "entry 'piecewise_knots' is missing"


@spoils_plane
def three_columns(h, a):
    h["n_features"] = 3
    return "the standardisation is not one of 3 columns"


@spoils_plane
def both_kinds(h, a):
    a["piecewise_knots"] = np.zeros(1)
    h["arrays"]["piecewise_knots"] = [1]
    return "entry 'piecewise_knots' does not belong to a fit with n_features = 2"


@spoils_plane
def another_standardisation(h, a):
    h["standardization"] = "whitening"
    return "standardization 'whitening' with standardize='columns'"


@spoils_plane
def altered_inverse(h, a):
    a["standardization_inverse"][0, 0] *= 1 + 1e-6
    return "standardisation times its inverse is off by 1e-06"


@spoils_plane
def start_points_of_another_dimension(h, a):
    a["start_points"] = a["start_points"][:, :1].copy()
    h["arrays"]["start_points"][1] = 1
    return "start_points must have rows of 2 numbers"


@spoils_plane
def no_start_points(h, a):
    a["start_points"] = a["start_points"][:0]
    h["arrays"]["start_points"][0] = 0
    return "start_points must have rows of 2 numbers"


@spoils_plane
def altered_outer_weight(h, a):
    a["network_w"][-1, 0] *= 1 + 1e-6
    return "its network and its stored scores differ by .* altered since"


@spoils_plane
def altered_bias(h, a):
    a["network_b"][0] += 1e-6
    return "its network and its stored scores differ by"


@spoils_plane
def altered_skip(h, a):
    a["network_skip"][1, 1] += 1e-6
    return "its network and its stored scores differ by"


@spoils_plane
def too_few_names(h, a):
    h["feature_names"] = ["a"]
    return "feature_names must be 2 names"


@spoils_plane
def certificate_of_a_larger_network(h, a):
    h["certificate"]["n_neurons"] += 1
    return "its certificate is for beta"


@pytest.mark.parametrize("change", PLANE_CHANGES)
def test_altered_contents_of_several_columns(tmp_path, stored_plane, change):
    arrays = {name: array.copy() for name, array in stored_plane.items()}
    header = json.loads(arrays.pop("header").item())
    assert header["n_features"] == 2 and len(arrays["network_u"]) > 1
    match = change(header, arrays)
    path = write(tmp_path / "altered.npz", header, arrays)
    if match is None:
        assert load(path).certificate_.optimal
    else:
        refused(path, match)


def test_every_neuron_is_watched(tmp_path, stored_plane):
    for neuron in range(len(stored_plane["network_u"])):
        arrays = {name: array.copy() for name, array in stored_plane.items()}
        header = json.loads(arrays.pop("header").item())
        arrays["network_w"][neuron] *= 1 + 1e-5
        refused(write(tmp_path / "altered.npz", header, arrays), "differ by")
