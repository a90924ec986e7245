"""What a figure holds, found by the meaning of its colour."""

from matplotlib.colors import to_hex

from v1lib.plots.style import COLORS


def lines_of(ax, color):
    """The lines of some axes in the colour of that name."""
    return [line for line in ax.lines if to_hex(line.get_color()).upper() == COLORS[color].upper()]
