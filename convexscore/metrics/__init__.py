"""How far samples and scores are from the truth, and how far true samples are from each other."""

from convexscore.metrics.floor import NoiseFloor, noise_floor
from convexscore.metrics.histograms import kolmogorov_smirnov, total_variation_grid
from convexscore.metrics.kernels import energy_distance, median_distance, mmd
from convexscore.metrics.report import MetricReport, MetricRow, report
from convexscore.metrics.scores import fisher_divergence, kernel_stein_discrepancy
from convexscore.metrics.transport import sliced_w2, wasserstein

__all__ = [
    "MetricReport",
    "MetricRow",
    "NoiseFloor",
    "energy_distance",
    "fisher_divergence",
    "kernel_stein_discrepancy",
    "kolmogorov_smirnov",
    "median_distance",
    "mmd",
    "noise_floor",
    "report",
    "sliced_w2",
    "total_variation_grid",
    "wasserstein",
]
