"""How fast the paper's network trains here, against the straightforward way, side by side.

    python benchmarks/training_speed.py [seq_len ...]

The straightforward way is the one that the paper's description suggests: a data set whose items are windows,
each converted to floating point when it is asked for; every frame of a window through the shifter and the
encoder, bin by bin; PyTorch's own layers and optimizer. Here: a frame is encoded once a batch, and
:mod:`v1lib.models.fused` and :mod:`v1lib.memory` save passes over memory. The network, its sizes (68 units,
66 behaviour columns, frames of 60 x 80) and the 256 targets of a batch are the same.

Both run in processes of their own, in turn, three times each; of each the fastest is taken, since other work
on the machine only ever slows one down. Memory is the largest of the process, session included.

    python benchmarks/training_speed.py --hour

prints instead the largest memory of a process that holds a session of an hour, trains on it and predicts all
of it, for the paper's network at seq_len 1 and 8 and for this project's own model.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch.utils.data import DataLoader, Dataset

from v1lib.features import behavior_table
from v1lib.fit import FIELD_FIT, FitConfig, fit, predict
from v1lib.models import encoding_model, field_model
from v1lib.models.encoding import EncodingModel, warp
from v1lib.splits import Splits

N_UNITS, FRAME_SHAPE, BATCH = 68, (60, 80), 256
BIN_S = 0.048


def session_of(n_bins: int) -> xr.Dataset:
    """A session of noise: nothing here depends on what the frames show."""
    rng = np.random.default_rng(0)
    variables = ["speed", "pitch", "roll", "phi", "theta", "pupil"]
    return xr.Dataset(
        {
            "frames": (("time", "y", "x"), rng.integers(0, 256, (n_bins, *FRAME_SHAPE), np.uint8)),
            "behavior": (("time", "variable"), rng.normal(size=(n_bins, 6)).astype(np.float32)),
            "activity": (
                ("time", "unit"),
                rng.poisson(0.4, (n_bins, N_UNITS)).astype(np.uint16),
                {"kind": "spike_count"},
            ),
            "stretch": ("time", np.zeros(n_bins, np.int32)),
        },
        {"time": (np.arange(n_bins) + 0.5) * BIN_S, "variable": variables, "unit": np.arange(N_UNITS)},
        {
            "schema_version": 1,
            "animal": "noise",
            "session": "noise",
            "source": "benchmark",
            "bin_width_s": BIN_S,
            "v1lib_version": "0",
        },
    )


class Windows(Dataset):
    """Windows one by one: frames and behaviour of seq_len bins, and the counts of the bin after them."""

    def __init__(self, session: xr.Dataset, seq_len: int, columns: np.ndarray):
        self.frames, self.counts = session["frames"].values, session["activity"].values
        self.columns, self.seq_len = columns, seq_len

    def __len__(self) -> int:
        return len(self.frames) - self.seq_len

    def __getitem__(self, start: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        stop = start + self.seq_len
        frames = torch.from_numpy(self.frames[start:stop].astype(np.float32) / 255)
        columns = torch.from_numpy(self.columns[start:stop].astype(np.float32))
        return frames[:, None], columns, torch.from_numpy(self.counts[stop].astype(np.float32))


def rates_straightforwardly(model: EncodingModel, frames: torch.Tensor, behavior: torch.Tensor):
    """Each bin of each window through shifter and encoder, then the recurrence."""
    fused = []
    for t in range(frames.shape[1]):
        now = behavior[:, t]
        shifted = warp(frames[:, t], model.shifter(now[:, model.gaze_reads]), model.center)
        v, b = model.visual_encoder.layers(shifted), model.behav_encoder(now[:, model.reads])
        fused.append(model.bn(torch.stack([v, b, v * b], dim=1)).flatten(1))
    _, last = model.lstm_net(torch.stack(fused, dim=1))
    return F.softplus(model.fc(last[0]))


def straightforward(seq_len: int) -> dict[str, float]:
    """Targets a second, from the fourth batch on."""
    n_batches, warm = (6, 2) if seq_len == 1 else (3, 1)
    session = session_of(BATCH * n_batches + seq_len)
    model = encoding_model(session, seq_len=seq_len, center=(30.0, 40.0)).train()
    table = np.nan_to_num(behavior_table(session, model.columns))
    loader = DataLoader(Windows(session, seq_len, table), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    begun = 0.0
    for number, (frames, columns, counts) in enumerate(loader):
        if number == warm:
            begun = time.perf_counter()
        rates = rates_straightforwardly(model, frames, columns)
        l1 = model.behav_encoder.layers[1].weight.abs().mean()
        loss = F.poisson_nll_loss(rates, counts, log_input=False) + l1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach())
    return {"targets_per_s": BATCH * (n_batches - warm) / (time.perf_counter() - begun)}


def here(seq_len: int) -> dict[str, float]:
    """Targets a second of the second epoch of a fit."""
    n = 2200
    session = session_of(n + 400)
    splits = Splits(((0, n),), ((n, n + 100),), ((n + 100, n + 400),), "benchmark")
    model = encoding_model(session, seq_len=seq_len, center=(30.0, 40.0))
    config = replace(FitConfig(), epochs=2, predict_offset=1, clip_norm=None)
    epoch = fit(model, session, splits, config).history.iloc[-1]
    return {"targets_per_s": epoch["targets"] / epoch["training_seconds"]}


def hour(seq_len: int) -> dict[str, float]:
    """An hour's session, trained on in ten places, and predicted; seq_len 0 is this project's own model."""
    n = round(3600 / BIN_S)
    session = session_of(n)
    starts = range(0, n - 1000, n // 10)
    train, validation, test = (tuple((a + b, a + b + 300) for a in starts) for b in (0, 300, 600))
    splits = Splits(train, validation, test, "benchmark")
    if seq_len == 0:
        run = fit(field_model(session), session, splits, replace(FIELD_FIT, epochs=1))
    else:
        model = encoding_model(session, seq_len=seq_len, center=(30.0, 40.0))
        run = fit(model, session, splits, replace(FitConfig(), epochs=1, predict_offset=1, clip_norm=None))
    predict(run, session)
    return {}


def measured(way: str, seq_len: int) -> dict[str, float]:
    """One way in a process of its own."""
    command = [sys.executable, __file__, "--way", way, str(seq_len)]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(made.stdout.splitlines()[-1])


WAYS = {"straightforward": straightforward, "here": here, "hour": hour}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seq_len", nargs="*", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        found = WAYS[arguments.way](arguments.seq_len[0])
        found["gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(found))
        return
    if arguments.hour:
        for seq_len, name in ((1, "network, seq_len 1"), (8, "network, seq_len 8"), (0, "own model")):
            print(f"an hour's session, {name}: {measured('hour', seq_len)['gib']:.2f} GiB", flush=True)
        return
    print(f"{torch.get_num_threads()} threads; targets a second, fastest of three")
    print(f"{'seq_len':>8}{'straightforward':>18}{'GiB':>7}{'here':>10}{'GiB':>7}{'ratio':>8}")
    for seq_len in arguments.seq_len:
        runs: dict[str, list[dict[str, float]]] = {"straightforward": [], "here": []}
        for _ in range(3):
            for way, done in runs.items():
                done.append(measured(way, seq_len))
        best = {way: max(run["targets_per_s"] for run in done) for way, done in runs.items()}
        most = {way: max(run["gib"] for run in done) for way, done in runs.items()}
        slow, fast = best["straightforward"], best["here"]
        print(
            f"{seq_len:>8}{slow:>18.1f}{most['straightforward']:>7.2f}{fast:>10.1f}{most['here']:>7.2f}"
            f"{fast / slow:>8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
