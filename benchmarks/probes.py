"""What gratings shown to a fitted model tell of planted tuning, and what an untrained one of its shape tells.

    python benchmarks/probes.py [--seed 0] [--minutes 30] [--units 40] [--model own network]

A mouse of the standard mixture, frames of 30 x 40, one thread. Of units whose test r is above half of their
oracle's (for an untrained model of the same units): median error of orientation, of direction (in cells
selective for it), median ratio of the preferred to the planted frequency, and how often a simple cell is more
sensitive to phase than a complex one; of spots and bars likewise, of sizes and plaids the medians. Then what
a line reads from each layer (R2 at held-out phases / at held-out spatial frequencies) and the eigenspectrum
of the hidden state (of the network) and of the rates. Fits are kept, and a second run prints them again.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import xarray as xr
from mouse import MODELS, fitted, simulated_mouse

from v1lib import probe, score
from v1lib.fit import Run, adopt
from v1lib.interpret.motion_probes import probe_bars, probe_plaids
from v1lib.interpret.representation import decode_layers, layer_spectrum
from v1lib.interpret.spot_probes import probe_sizes, probe_spots


def figures(found: xr.Dataset, truth: xr.Dataset, well: np.ndarray) -> str:
    """How near the tuning that was found comes to the planted one, in a line."""
    classes = truth["unit_class"].values
    seeing = well & np.isin(classes, ("simple", "complex", "direction", "normalized"))
    turn = (found["preferred_orientation"].values - truth["orientation"].values + 90) % 180 - 90
    away = (found["preferred_direction"].values - truth["preferred_direction"].values + 180) % 360 - 180
    ratio = found["preferred_frequency"].values / truth["spatial_frequency"].values
    phase = found["phase_sensitivity"].values
    simple, complex_ = (
        phase[well & np.isin(classes, kinds)] for kinds in (("simple", "normalized"), ("complex",))
    )
    pairs = simple[:, None] > complex_[None]
    moving = well & (classes == "direction")
    return (
        f"{seeing.sum()} units, orientation off by {np.nanmedian(np.abs(turn[seeing])):.1f} deg, "
        f"direction by {np.nanmedian(np.abs(away[moving])):.0f} (n = {moving.sum()}), frequency x "
        f"{np.nanmedian(ratio[seeing]):.2f}, simple above complex in {pairs.mean():.2f} of {pairs.size} pairs"
    )


def more_figures(
    run: Run, session: xr.Dataset, truth: xr.Dataset, found: xr.Dataset, well: np.ndarray
) -> str:
    """Spots, sizes, bars and plaids beside the planted places and directions, a line each."""
    view = float(truth.attrs["field_of_view_deg"])
    classes = truth["unit_class"].values
    seeing = well & np.isin(classes, ("simple", "complex", "direction", "normalized"))
    spots = probe_spots(run, session, field_of_view_deg=view)
    x, y = spots["azimuth_of_peak"].values, spots["elevation_of_peak"].values
    away = np.hypot(x - truth["azimuth"].values, y - truth["elevation"].values)
    sizes = probe_sizes(
        run,
        session,
        field_of_view_deg=view,
        azimuth=np.nan_to_num(x),
        elevation=np.nan_to_num(y),
        direction_deg=found["preferred_direction"].values,
        spatial_frequency=found["preferred_frequency"].values,
    )
    divided, other = (
        np.nanmedian(sizes["suppression_index"].values[seeing & chosen])
        for chosen in (classes == "normalized", classes != "normalized")
    )
    bars = probe_bars(run, session, field_of_view_deg=view)
    turn = (bars["preferred_orientation"].values - truth["orientation"].values + 90) % 180 - 90
    moving = well & (classes == "direction")
    drift = (bars["preferred_direction"].values - truth["preferred_direction"].values + 180) % 360 - 180
    index = probe_plaids(run, session, field_of_view_deg=view)["pattern_index"].values[moving]
    return "\n".join(
        (
            f"  spots: place off by {np.nanmedian(away[seeing]):.1f} deg",
            f"  sizes: suppression {divided:.2f} in normalized units, {other:.2f} in the others",
            f"  bars: orientation off by {np.nanmedian(np.abs(turn[seeing])):.1f} deg, direction by "
            f"{np.nanmedian(np.abs(drift[moving])):.0f} deg",
            f"  plaids: of {moving.sum()} units selective for direction {(index < -1.28).sum()} follow "
            f"components, {(index > 1.28).sum()} patterns",
        )
    )


def layer_figures(run: Run, session: xr.Dataset, view: float) -> str:
    """What is read from each layer, and the spectra, a line each."""
    r2 = decode_layers(run, session, field_of_view_deg=view)["r2"]
    lines = []
    for layer in r2["layer"].values:
        read = ((target, *r2.sel(layer=layer, target=target).values) for target in r2["target"].values)
        lines.append(f"  {layer}: " + ", ".join(f"{name} {a:.2f} / {b:.2f}" for name, a, b in read))
    for layer in ("hidden", "rates"):
        if layer in r2["layer"].values:
            found = layer_spectrum(run, session, layer=layer)
            exponent, low, high = (float(found[f"exponent{end}"]) for end in ("", "_low", "_high"))
            lines.append(
                f"  spectrum of {layer}: exponent {exponent:.2f} ({low:.2f} to {high:.2f}), participation "
                f"ratio {float(found['participation_ratio']):.1f} of {found.sizes['rank']}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the mouse")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--units", type=int, default=40)
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    session, truth, splits = simulated_mouse(
        arguments.seed, minutes=arguments.minutes, n_units=arguments.units
    )
    view = float(truth.attrs["field_of_view_deg"])
    for name in arguments.model:
        make, config = MODELS[name]
        run = fitted(name, session, splits)
        scores = score(run, session, truth)
        well = scores["r"].values > 0.5 * scores["oracle_r"].values
        torch.manual_seed(arguments.seed)
        for kind, each in (("fitted", run), ("untrained", adopt(make(session), session, splits, config))):
            begun = time.perf_counter()
            found = probe(each, session, field_of_view_deg=view)
            print(f"{name}, {kind}: {figures(found, truth, well)}; {time.perf_counter() - begun:.1f} s")
            print(
                more_figures(each, session, truth, found, well), layer_figures(each, session, view), sep="\n"
            )


if __name__ == "__main__":
    main()
