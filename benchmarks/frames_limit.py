"""What the frames of a bin can tell at most: the planted fields on better and better pictures.

    python benchmarks/frames_limit.py [--mixture standard] [--animal 0]

A mouse of 30 minutes, 48 units, frames of 60 x 80, guarded splits. Scores are of the test part: mean over
units of raw r, and its ratio to the mean of the oracle's. Each picture is read by the own model as it is, and
by the own model with the planted fields in place of learned ones, which loses nothing by learning them:

``camera``            frames as the camera took them, turned by the learned eye
``bin, true eye``     the frame of a bin, turned by the true angles of the eye in that bin
``fields, true eye``  each exposure of the camera turned by the true angles of its own moment, then averaged

The first lines are no models: the true rates, and these without the slow drift of excitability, of which
nothing recorded tells.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v1lib import align, bin_truth, fit, load_truth, score, split
from v1lib.align.camera import exposure_weights, field_period, split_fields
from v1lib.animals import MIXTURES
from v1lib.controls import true_retinal_image, turned
from v1lib.fit import FIELD_FIT
from v1lib.models import field_model
from v1lib.models.field import FieldModel
from v1lib.recording import Recording, read_values
from v1lib.score import r_within
from v1lib.splits import Splits
from v1lib.store import kept_fit, kept_recording

MOUSE = {"minutes": 30, "n_units": 48, "frame_shape": (60, 80)}
_PIECE = 2048


class PlantedFields(FieldModel):
    """The own model, with fields that are given."""

    planted: Tensor

    def _flat_fields(self) -> Tensor:
        return self.planted


def turned_one_by_one(
    recording: Recording, session: xr.Dataset, truth: xr.Dataset, splits: Splits
) -> xr.Dataset:
    """The session whose frames are means of exposures that were each turned as the eye stood at their time.

    Parameters
    ----------
    recording : Recording
        Interlaced, without gaps.
    session : xarray.Dataset
        The recording, aligned.
    truth : xarray.Dataset
        From :func:`v1lib.load_truth`.
    splits : Splits
    """
    world, frames = recording.world, session["frames"]
    assert world.attrs["interlaced"] and not session["stretch"].any(), "this needs one stretch of fields"
    edges = session.attrs["start_s"] + session.attrs["bin_width_s"] * np.arange(len(frames) + 1)
    grey = float(frames.values[splits.bins("train")].mean(dtype=np.float64))
    period, step = field_period(world), truth["step"].values + truth.attrs["start_s"]
    sums, total = np.zeros((len(frames), frames[0].size), np.float32), np.zeros((len(frames), 1))
    for start in range(0, world["time"].size, _PIECE):
        piece = slice(start, min(start + _PIECE, world["time"].size))
        video = read_values(world.attrs["file"], "WORLD_video", world["video"][piece])
        for number, exposed in enumerate(split_fields(video)):
            time = world["time"].values[piece] + number * period
            angles = [np.interp(time, step, truth[name].values) for name in ("theta", "phi", "torsion")]
            seen = turned(exposed, np.stack(angles, axis=1), truth.attrs["focal_px"], grey)
            weights = exposure_weights(time, period, edges)
            sums += weights.astype(np.float32) @ seen.reshape(time.size, -1)
            total += weights.sum(axis=1).reshape(-1, 1)
    means = (sums / total).astype(np.float32).reshape(frames.shape)
    return session.assign(frames=(frames.dims, means, frames.attrs))


def line(name: str, r: float, oracle: float) -> None:
    print(f"{name:<48}{r:>8.3f}{r / oracle:>8.3f}", flush=True)


def with_planted_fields(session: xr.Dataset, truth: xr.Dataset, **choices) -> PlantedFields:
    """The own model for a session with the fields of the truth."""
    base = field_model(session, **choices)
    model = PlantedFields(**base.arguments)
    model.load_state_dict(base.state_dict())
    fields = np.stack([truth["receptive_field"].values, truth["quadrature_field"].values], axis=1)
    model.register_buffer("planted", torch.from_numpy(fields).float().flatten(2), persistent=False)
    model.coefficients.requires_grad_(False).zero_()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mixture", choices=MIXTURES, default="standard")
    parser.add_argument("--animal", type=int, default=0, help="seed of the simulated mouse")
    arguments = parser.parse_args()
    recording = kept_recording(seed=arguments.animal, mixture=MIXTURES[arguments.mixture], **MOUSE)
    session, planted = align(recording), load_truth(recording.path)
    truth, splits = bin_truth(planted, session), split(session)
    oracle = float(np.nanmean(r_within(truth["rate"], session, splits.test)))
    steady = bin_truth(planted.assign(rate=planted["rate"] / planted["excitability"]), session)
    print(f"{'':<48}{'raw r':>8}{'ratio':>8}")
    line("true rates", oracle, oracle)
    line(
        "true rates without drift",
        float(np.nanmean(r_within(steady["rate"], session, splits.test))),
        oracle,
    )
    pictures = {
        "camera": (session, {}),
        "bin, true eye": (true_retinal_image(session, truth, splits), {"shifter": None}),
        "fields, true eye": (turned_one_by_one(recording, session, planted, splits), {"shifter": None}),
    }
    for name, (given, choices) in pictures.items():
        run = kept_fit(lambda g=given, c=choices: field_model(g, **c), given, splits, FIELD_FIT)
        line(f"own model, {name}", float(score(run, given, truth)["mean_r"]), oracle)
        fields = with_planted_fields(given, truth, **choices)
        made = fit(fields, given, splits, replace(FIELD_FIT, epochs=12))
        line(f"planted fields, {name}", float(score(made, given, truth)["mean_r"]), oracle)


if __name__ == "__main__":
    main()
