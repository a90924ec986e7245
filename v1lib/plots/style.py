"""One style for all figures: colours with one meaning each, and what several figures draw."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

#: One colour, one meaning, through the whole book.
COLORS = {
    "vision": "#0072B2",
    "behavior": "#D55E00",
    "joint": "#009E73",
    "paper": "#CC79A7",
    "ceiling": "#444444",
    "chance": "#999999",
    "average": "#E69F00",  # the mean of other trials
    "unit": "#8C8C8C",
    "mean": "#5D3A9B",
    "train": "#D0D0D0",
    "validation": "#F0E442",
    "test": "#56B4E9",
    "planted": "#000000",
}
SIGNED_MAP = "RdBu_r"


def use_style() -> None:
    """Set matplotlib's defaults for the book."""
    plt.rcParams.update(
        {
            "figure.dpi": 120,
            "font.size": 9.5,
            "axes.titlesize": "medium",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "legend.frameon": False,
            "image.interpolation": "nearest",
        }
    )


def angle_ticks(ax: Axes, shape: tuple[int, int], field_of_view_deg: float) -> None:
    """Ticks in degrees on the axes of a pinhole picture (y, x), which is drawn in pixels."""
    focal = shape[1] / 2 / np.tan(np.deg2rad(field_of_view_deg / 2))
    middle = [(size - 1) / 2 for size in shape]
    across, upward = np.array([-40, -20, 0, 20, 40]), np.array([-30, -15, 0, 15, 30])
    ax.set_xticks(middle[1] + focal * np.tan(np.deg2rad(across)), across)
    ax.set_yticks(middle[0] - focal * np.tan(np.deg2rad(upward)), upward)
    ax.set(xlabel="deg", xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))


def mean_bar(ax: Axes, place: float, values: np.ndarray) -> None:
    """Mean of one value a unit, with its 95 % bootstrap interval over units, as a diamond on a bar."""
    rng = np.random.default_rng(0)
    draws = values[rng.integers(values.size, size=(2000, values.size))].mean(axis=1)
    ax.plot([place, place], np.quantile(draws, [0.025, 0.975]), color=COLORS["mean"], lw=3)
    ax.plot(place, values.mean(), "D", ms=6, color=COLORS["mean"], mec="white")
