"""Films of trajectories: their frames decoded and measured, their files whole, their errors clear."""

from __future__ import annotations

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import legend
from matplotlib import pyplot as plt
from PIL import Image

from convexscore import samplers, schedules, targets
from convexscore.plotting import animation
from convexscore.plotting.animation import animate_trajectory
from convexscore.scores import ve_score, vp_score


@pytest.fixture(autouse=True)
def no_figure_of_pyplot(no_side_effects):
    yield
    assert plt.get_fignums() == []


LAW = targets.GaussianMixture([0.8, 0.2], [-2.0, 2.0], 0.25)
RING = targets.ring_of_gaussians(8)
SMALL = {"dpi": 50.0, "n_frames": 6}


@pytest.fixture(scope="module")
def run():
    options = {"n_samples": 3000, "keep_trajectory": True, "random_state": 0}
    return samplers.ddpm(vp_score(LAW), None, schedules.exponential_grid(4.0, 40), **options)


@pytest.fixture(scope="module")
def planar():
    options = {"n_samples": 400, "dim": 2, "keep_trajectory": True, "random_state": 0}
    return samplers.ddpm(vp_score(RING), None, schedules.exponential_grid(4.0, 30), **options)


def gif_frames(path):
    """Decoded frames as RGB arrays, with their durations in milliseconds."""
    with Image.open(path) as image:
        frames, durations = [], []
        for k in range(image.n_frames):
            image.seek(k)
            frames.append(np.array(image.convert("RGB")))
            durations.append(image.info["duration"])
        assert image.info["loop"] == 0
    return frames, durations


def html_frames(path):
    text = path.read_text(encoding="utf-8")
    listed = re.search(r"const frames = \[(.*?)\];", text, re.DOTALL).group(1)
    return [
        np.array(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB"))
        for code in re.findall(r'"([^"]+)"', listed)
    ]


def is_orange(frame):
    red, green, blue = (frame[..., k].astype(int) for k in range(3))
    return (red > 190) & (red - blue > 70) & (green > 90) & (green < 215)


def spines(frame):
    """Columns of pixels of the two vertical spines, the only dark lines of that height."""
    dark = (frame < 190).all(axis=2).mean(axis=0)
    found = np.flatnonzero(dark > 0.6)
    return found.min(), found.max()


# ---------------------------------------------------------------------- what is seen
def test_gif_shows_the_chains_move_from_noise_to_two_modes(run, tmp_path):
    film = animate_trajectory(run, tmp_path / "line.gif", limits=(-4.0, 4.0), fps=10, hold=1.0,
                              labels=[""] * len(run.trajectory), **SMALL)  # fmt: skip
    frames, durations = gif_frames(film.path)
    assert film.n_frames == len(frames) == 6
    assert film.states == (0, 8, 16, 25, 33, 41) and len(run.trajectory) == 42
    assert film.n_bytes == film.path.stat().st_size < 40_000
    assert durations == [100] * 5 + [1100]
    assert frames[0].shape == (180, 300, 3)  # 6 x 3.6 inches at 50 pixels
    assert "6 frames" in repr(film) and "line.gif" in repr(film)
    # area of bars on either side of zero = share of the chains there, frame by frame; the legend
    # is above them, and the axes are where the orange of the first frame is symmetric
    for frame, state in zip(frames, film.states, strict=True):
        orange = is_orange(frame)
        orange[: len(orange) // 4] = False
        left_end, right_end = spines(frame)
        left = orange[:, : round((left_end + right_end) / 2)].sum() / orange.sum()
        assert left == pytest.approx((run.trajectory[state] < 0).mean(), abs=0.04)
    assert (run.trajectory[0] < 0).mean() < 0.55 < 0.75 < (run.trajectory[-1] < 0).mean()


def test_chains_that_stand_still_make_equal_frames(tmp_path):
    """The control of the test above: without motion, and without captions, nothing changes."""
    still = np.tile(np.random.default_rng(0).normal(size=200), (5, 1))
    film = animate_trajectory(still, tmp_path / "still.html", labels=[""] * 5, **SMALL)
    frames = html_frames(film.path)
    assert len(frames) == film.n_frames == 5
    assert all(np.array_equal(frame, frames[0]) for frame in frames)
    moving = animate_trajectory(still + np.arange(5)[:, None], tmp_path / "moving.html",
                                labels=[""] * 5, **SMALL)  # fmt: skip
    shown = html_frames(moving.path)
    where = [np.nonzero(is_orange(frame))[1].mean() for frame in shown]
    assert np.all(np.diff(where) > 5)


@pytest.mark.slow
def test_html_is_one_page_that_loads_nothing(run, planar, tmp_path):
    options = {"target": LAW, "schedule": "vp", "title": "a < b & c"} | SMALL
    film = animate_trajectory(run, tmp_path / "line.html", **options)
    text = film.path.read_text(encoding="utf-8")
    assert film.n_bytes == len(text.encode()) < 80_000
    for loader in ("http:", "https:", "<link", "import ", "@import", "url(", "fetch(", "XMLHttp"):
        assert loader not in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<title>a &lt; b &amp; c</title>" in text
    frames = html_frames(film.path)
    assert len(frames) == 6 and not np.array_equal(frames[0], frames[-1])
    assert text.count("<script>") == text.count("</script>") == 1
    assert 'max="5"' in text
    # the same frames as in the GIF, to the pixel
    gif = animate_trajectory(run, tmp_path / "line.gif", **options)
    assert all(np.array_equal(a, b) for a, b in zip(frames, gif_frames(gif.path)[0], strict=True))
    # in a notebook: the picture itself, and the page without its frame
    assert gif._repr_html_().startswith('<img alt="chains" src="data:image/gif;base64,')
    fragment = film._repr_html_()
    assert "<body" not in fragment and "<script>" in fragment and fragment in text
    # several films in one notebook do not share a slider
    other = animate_trajectory(planar, tmp_path / "plane.html", dpi=40, n_frames=2)
    names = [re.search(r'id="(film-\w+)"', t).group(1) for t in (text, other.path.read_text())]
    assert text.count(names[0]) == 2 and names[0] != names[1]


# ---------------------------------------------------------------------- what is drawn, artist by artist
@pytest.fixture
def artists(monkeypatch):
    """The axes of the last film and what they held at each frame."""
    seen = SimpleNamespace(titles=[], curves=[], bars=[], clouds=[], fills=[])

    def record(figure):
        (ax,) = figure.axes
        seen.ax = ax
        seen.titles.append(ax.get_title())
        seen.curves.append([line.get_xydata().copy() for line in ax.lines])
        seen.bars.append([patch.get_data() for patch in ax.patches if hasattr(patch, "get_data")])
        seen.fills.append(len(ax.collections))
        return Image.new("RGB", (4, 4), (len(seen.titles), 0, 0))

    monkeypatch.setattr(animation, "snapshot", record)
    return seen


def test_histogram_and_exact_densities_belong_to_their_noise_levels(run, artists, tmp_path):
    film = animate_trajectory(run, tmp_path / "a.gif", target=LAW, schedule="vp", n_frames=5)
    assert artists.titles == [f"t = {run.times[k]:.3g}" for k in film.states]
    assert artists.titles[0] == "t = 4" and artists.titles[-1] == "t = 0"
    (axis_low, axis_high) = artists.ax.get_xlim()
    for k, state in enumerate(film.states):
        ((x, density),) = (curve.T for curve in artists.curves[k])
        level = schedules.vp(run.times[state])
        law = LAW.noised(*level) if level[1] > 0 else LAW
        assert np.allclose(density, np.exp(law.log_density(x)), rtol=1e-12)
        ((heights, edges, _),) = artists.bars[k]
        assert (edges[0], edges[-1]) == pytest.approx((axis_low, axis_high))
        chains = run.trajectory[state]
        inside = np.mean((chains >= axis_low) & (chains <= axis_high))
        assert inside > 0.98
        assert np.sum(heights * np.diff(edges)) == pytest.approx(inside)
        assert heights == pytest.approx(np.histogram(chains, edges)[0] / 3000 / np.diff(edges))
    assert legend(artists.ax) == ["target", "chains", "exact law at this noise level"]
    assert artists.ax.get_ylim()[1] > np.exp(LAW.log_density([-2.0]))[0]


def test_ve_levels_functions_and_fixed_laws(artists, tmp_path):
    levels = schedules.geometric_levels(6.0, 0.3, 4)
    run = samplers.annealed_langevin(
        ve_score(LAW), None, levels, step=0.01, n_steps=3, n_samples=50,
        keep_trajectory=True, random_state=0,
    )  # fmt: skip
    film = animate_trajectory(run, tmp_path / "a.gif", target=LAW, schedule="ve", n_frames=4)
    assert artists.titles[0] == "σ = 6"
    ((x, density),) = (curve.T for curve in artists.curves[0])
    assert np.allclose(density, np.exp(LAW.noised(1.0, 6.0).log_density(x)))

    def log_density(points, level):
        return LAW.noised(1.0, level).log_density(points) if level else LAW.log_density(points)

    by_law = artists.curves[: film.n_frames]
    del artists.curves[:]
    animate_trajectory(run, tmp_path / "b.gif", target=log_density, schedule="ve", n_frames=4)
    assert all(np.allclose(a[0], b[0]) for a, b in zip(by_law, artists.curves, strict=True))
    # a law without schedule stays as it is: no moving curve
    del artists.curves[:], artists.titles[:]
    animate_trajectory(run, tmp_path / "c.gif", target=LAW, n_frames=4)
    assert all(curve[0].size == 0 for curve in artists.curves)
    assert artists.titles[0] == "noise level = 6"
    assert legend(artists.ax) == ["target", "chains"]


def test_planar_background_moves_or_stays(planar, artists, tmp_path):
    animate_trajectory(planar, tmp_path / "a.gif", target=RING, schedule="vp", n_frames=4)
    moving = artists.fills[-4:]
    assert moving == [1] * 4  # the last one is taken away before the next is drawn
    assert all(len(curve[0]) == 400 for curve in artists.curves)
    assert np.array_equal(artists.curves[-1][0], planar.trajectory[-1])
    animate_trajectory(planar, tmp_path / "b.gif", target=RING, n_frames=4)
    animate_trajectory(planar, tmp_path / "c.gif", n_frames=4)
    assert artists.fills[-8:] == [1] * 4 + [0] * 4
    assert artists.ax.get_xlabel() == "x₁" and artists.ax.get_ylabel() == "x₂"
    assert artists.ax.get_aspect() == 1.0
    # a window the law has no mass in is drawn all the same
    animate_trajectory(planar, tmp_path / "d.gif", target=RING, limits=((500, 501), (0, 1)))


def test_columns_of_wide_chains(artists, tmp_path):
    wide = np.random.default_rng(0).normal(size=(6, 40, 12))
    animate_trajectory(wide, tmp_path / "a.gif", columns=(11, 0))
    assert np.array_equal(artists.curves[-1][0], wide[-1][:, [11, 0]])
    assert (artists.ax.get_xlabel(), artists.ax.get_ylabel()) == ("x₁₂", "x₁")
    animate_trajectory(wide, tmp_path / "b.gif", columns=3, target=targets.Gaussian(0.0, 1.0))
    assert artists.ax.get_xlabel() == "x₄"
    heights, edges, _ = artists.bars[-1][0]
    counts = np.histogram(wide[-1][:, 3], edges)[0]
    assert heights == pytest.approx(counts / 40 / np.diff(edges))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_axes_follow_the_scale_of_the_chains(run, artists, scale, tmp_path):
    animate_trajectory(scale * run.trajectory, tmp_path / "a.gif", n_frames=3)
    low, high = artists.ax.get_xlim()
    assert 4.0 * scale < high - low < 12.0 * scale


def test_captions(run, artists, tmp_path):
    animate_trajectory(run.trajectory, tmp_path / "a.gif", n_frames=2, title="chains")
    assert artists.titles == ["chains\nstate 0 of 41", "chains\nstate 41 of 41"]
    labels = [f"step {k}" for k in range(42)]
    animate_trajectory(run, tmp_path / "b.gif", n_frames=3, labels=labels)
    assert artists.titles[2:] == ["step 0", "step 20", "step 41"]


def test_frames_of_langevin_and_of_few_states(artists, tmp_path):
    run = samplers.langevin(lambda x: -x, np.ones(20), step=0.1, n_steps=10,
                            keep_trajectory=True, random_state=0)  # fmt: skip
    film = animate_trajectory(run, str(tmp_path / "A.GIF"))
    assert film.states == tuple(range(10)) and film.path.exists()
    constant = animate_trajectory(np.zeros((3, 5)), tmp_path / "constant.gif")
    assert constant.n_frames == 3


# ---------------------------------------------------------------------- what is refused
BARE = samplers.ddpm(
    lambda x, t: -x, None, schedules.uniform_grid(1.0, 4), n_samples=5, random_state=0
)
BROKEN = np.zeros((42, 5))
BROKEN[17, 3] = np.nan
STATES = np.zeros((3, 5))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"path": "chains.mp4"}, ValueError, r"end in \.gif or \.html; got .*chains\.mp4"),
        ({"path": "chains"}, ValueError, r"end in \.gif or \.html"),
        ({"path": "nowhere/chains.gif"}, ValueError, "folder of path, .*nowhere.* not exist"),
        ({"result": [1.0, 2.0]}, TypeError, "what a sampler returned.*got list"),
        ({"result": np.zeros((1, 5))}, ValueError, r"K >= 2 states; got \(1, 5\)"),
        ({"result": np.zeros((4, 0))}, ValueError, r"K >= 2 states; got \(4, 0\)"),
        ({"result": np.zeros(7)}, ValueError, r"shape \(K, n\) or"),
        ({"result": np.zeros((3, 5, 4))}, ValueError, "chosen for chains of 4 columns"),
        ({"columns": 1}, ValueError, "from 0 to 0; got 1"),
        ({"columns": (0, 0)}, ValueError, "one or two different integers"),
        ({"columns": "ab"}, ValueError, "one or two different integers"),
        ({"schedule": "edm"}, ValueError, "schedule must be one of None, 'vp', 've'"),
        ({"labels": ["a"]}, ValueError, "each of the 42 states; got 1"),
        ({"n_frames": 1}, ValueError, "n_frames must be an integer >= 2"),
        ({"fps": 0.0}, ValueError, "fps must be finite and > 0"),
        ({"fps": 60.0}, ValueError, "fps must be at most 50; got 60"),
        ({"hold": -1.0}, ValueError, "hold must be finite and >= 0"),
        ({"bins": 1}, ValueError, "bins must be an integer >= 2"),
        ({"dpi": float("nan")}, ValueError, "dpi must be"),
        ({"limits": (1.0, 0.0)}, ValueError, r"limits must be \(low, high\), increasing"),
        ({"limits": ((0, 1), (0, 1))}, ValueError, r"limits must be \(low, high\), increasing"),
        ({"target": 3.0}, TypeError, "target must be a law .*got float"),
        ({"target": RING}, ValueError, "as many columns as are drawn, 1; it has 2"),
        ({"target": lambda x, t: 0.0}, ValueError, "one log-density a point"),
        ({"target": targets.Ising([[0.0]])}, TypeError, "target must be a law"),
        ({"result": BARE}, ValueError, "keep_trajectory=True"),
        ({"result": STATES, "schedule": "vp"}, ValueError, r"says what result\.times are; ndarray"),
        ({"result": STATES, "target": lambda x, t: -x}, ValueError,
         "function of points and noise level, and the result has"),
        ({"result": BROKEN}, ValueError, "must be finite; state 17 is not"),
    ],
)  # fmt: skip
def test_refusals(run, change, error, message, tmp_path):
    options = {"result": run, "path": "chains.gif"} | change
    path = tmp_path / options.pop("path")
    with pytest.raises(error, match=message):
        animate_trajectory(options.pop("result"), path, **options)
    assert not path.exists()
