"""Spots, sizes, plaids and bars find what was planted by hand in a model's filters."""

import numpy as np
import pytest
import torch
from planted import planted_session
from test_probes import DEG, FOV, SHAPE, gabor, seeing

from v1lib.errors import InputError
from v1lib.fit import FitConfig, fit
from v1lib.interpret.motion_probes import partial_correlations, probe_bars, probe_plaids
from v1lib.interpret.probes import probe
from v1lib.interpret.spot_probes import disc, probe_sizes, probe_spots
from v1lib.models import field_model
from v1lib.splits import split

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = {"field_of_view_deg": FOV}
#: A quarter of a cycle a bin.
QUARTER_HZ = 1 / (4 * 0.048)


def blob(azimuth, elevation, sd=6.0, sign=1.0):
    rows, columns = SHAPE
    down, right = np.mgrid[:rows, :columns]
    x, up = (right - (columns - 1) / 2) * DEG, ((rows - 1) / 2 - down) * DEG
    return sign * np.exp(-((x - azimuth) ** 2 + (up - elevation) ** 2) / (2 * sd**2))


def moving(*directions):
    """Units with filters of four lags that move in these directions."""
    # Bars of orientation o have their phase grow along -sin o, cos o, which is at o + 90 degrees.
    return np.stack([[gabor(direction - 90.0, 90.0 * lag) for lag in range(4)] for direction in directions])


def test_spots_find_the_planted_place_polarity_and_lag():
    still = np.zeros(SHAPE)
    fields = (blob(20.0, 10.0), blob(-15.0, -20.0, sign=-1.0))
    run, session = seeing(np.stack([[field, still, still] for field in fields]))
    found = probe_spots(run, session, **ASKED)
    # Places are 5 degrees apart, and a blob's peak is flat.
    assert np.abs(found["azimuth_of_peak"].values - [20.0, -15.0]).max() <= 5
    assert np.abs(found["elevation_of_peak"].values - [10.0, -20.0]).max() <= 5
    assert found["on_off_index"].values.tolist() == [
        pytest.approx(1.0, abs=0.05),
        pytest.approx(-1.0, abs=0.05),
    ]
    assert found["lag"].values.tolist() == [0.0, 0.0]


def test_spots_find_the_lag_of_a_filter():
    still = np.zeros(SHAPE)
    filters = np.stack([[blob(0, 0), still, still], [blob(0, 0), 2 * blob(0, 0), still]])
    run, session = seeing(filters)
    np.testing.assert_allclose(probe_spots(run, session, **ASKED)["lag"], [0.0, 0.048])


def sized(weight):
    """Units of the own model with a still filter of no mean, divided by a contrast around with a weight."""
    session, _ = planted_session(900, 2, SHAPE)
    model = field_model(session, None, seq_len=1, pool=1, finest=16.0, n_energies=0)
    run = fit(model, session, split(session, "paper"), FitConfig(epochs=1, learning_rate=1e-3, device="cpu"))
    model = run.model
    flat = torch.from_numpy(gabor(90.0).reshape(-1)).float()
    with torch.no_grad():
        model.place.zero_()
        model.log_width.fill_(float(np.log(0.25 / model.window)))
        model.log_surround.fill_(float(np.log(1.0 / model.window)))
        model.coefficients[:] = 0
        model.coefficients[:, 0] = 0.05 * torch.linalg.lstsq(model.basis.T, flat[:, None])[0][:, 0]
        model.kernels[:] = 0
        model.kernels[:, 0, 0] = 1.0
        model.threshold.fill_(1.0)
        model.contrast_weight[:] = torch.tensor(weight)
    return run, session


def test_a_unit_that_its_surround_divides_is_suppressed_by_size_and_one_without_is_not():
    run, session = sized([-20.0, 4.0])
    found = probe_sizes(
        run, session, azimuth=0.0, elevation=0.0, direction_deg=0.0, spatial_frequency=0.03, **ASKED
    )
    assert found["suppression_index"][0] < 0.05 and found["suppression_index"][1] > 0.1
    assert found["preferred_size"][1] < found["preferred_size"][0]
    assert (found["rate"] >= 0).all()


def test_sizes_begin_at_grey_and_end_at_the_whole_grating():
    run, session = seeing(np.stack([[gabor(90.0)], [gabor(0.0)]]))
    found = probe_sizes(
        run,
        session,
        azimuth=[0.0, 0.0],
        elevation=0.0,
        direction_deg=[0.0, 90.0],
        spatial_frequency=0.03,
        diameters_deg=[0.0, 20.0, 300.0],
        **ASKED,
    )
    whole = probe(run, session, spatial_frequencies=[0.03], **ASKED)["rate"].sel(spatial_frequency=0.03)
    expected = [whole.sel(direction=0.0)[0], whole.sel(direction=90.0)[1]]
    np.testing.assert_allclose(found["rate"].sel(diameter=300.0), expected, rtol=1e-4)
    # The edge of a disc of no diameter covers half of a pixel's width, which no pixel's middle is within.
    np.testing.assert_allclose(found["rate"].sel(diameter=0.0), found["blank"], rtol=1e-4)


def test_a_disc_has_its_area():
    down, right = np.mgrid[:101, :101]
    away = np.hypot(down - 50, right - 50)
    assert disc(away, 60.0, 1.0).sum() == pytest.approx(np.pi * 30**2, rel=2e-3)


def test_bars_and_gratings_prefer_the_direction_of_a_moving_filter():
    directions = [0.0, 90.0, 180.0, 270.0]
    run, session = seeing(moving(*directions))
    # Half a period wide and as fast as the filters: a quarter of a cycle of 1/0.03 degrees a bin.
    found = probe_bars(run, session, width_deg=16.0, speed_deg_s=QUARTER_HZ / 0.03, **ASKED)
    assert found["preferred_direction"].values.tolist() == directions
    assert (found["direction_index"] > 0.1).all()
    turn = (found["preferred_orientation"].values - [90, 0, 90, 0] + 90) % 180 - 90
    assert np.abs(turn).max() < 5


def test_bars_that_do_not_move_the_unit_are_one_polarity_s_alone():
    run, session = seeing(np.stack([[blob(0, 0)], [blob(0, 0, sign=-1.0)]]))
    rate = probe_bars(run, session, **ASKED)["rate"].mean("direction")
    assert rate[0, 0] > rate[0, 1] and rate[1, 1] > rate[1, 0]


def test_linear_filters_follow_components():
    run, session = seeing(moving(0.0, 180.0))
    found = probe_plaids(run, session, spatial_frequency=0.03, temporal_frequency=QUARTER_HZ, **ASKED)
    assert (found["pattern_index"] < -1.28).all()
    assert (found["direction_index"] > 0.3).all()


def test_partial_correlations_of_planted_curves_against_regression():
    """Independent: correlate what regressions on the other prediction leave over."""
    rng = np.random.default_rng(0)
    first, second, noise = rng.normal(size=(3, 24, 3))
    curve = np.stack([first[:, 0], second[:, 1], first[:, 2] + second[:, 2]], axis=1) + 0.3 * noise
    found = partial_correlations(curve, first, second)
    for unit in range(3):
        for which, (kept, gone) in enumerate(((first, second), (second, first))):
            design = np.stack([np.ones(24), gone[:, unit]], axis=1)
            left = [y[:, unit] - design @ np.linalg.lstsq(design, y[:, unit])[0] for y in (curve, kept)]
            assert found[which][unit] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)
    assert found[0][0] > 0.9 > abs(found[1][0]) and found[1][1] > 0.9 > abs(found[0][1])


def test_what_cannot_be_shown_is_refused():
    run, session = seeing(np.stack([[gabor(0.0)], [gabor(45.0)]]))
    placed = {"azimuth": 0.0, "elevation": 0.0, "direction_deg": 0.0, "spatial_frequency": 0.03}
    for shown, match, wrong in (
        (probe_spots, "diameter_deg: expected a number", {"diameter_deg": 0.1}),
        (probe_spots, "spacing_deg: expected a number", {"spacing_deg": 0.0}),
        (probe_sizes, "numbers that ascend", placed | {"diameters_deg": [10.0, 5.0]}),
        (probe_sizes, "azimuth: expected a number or 2", placed | {"azimuth": [0.0, 1.0, 2.0]}),
        (probe_sizes, "azimuth: expected a number from", placed | {"azimuth": [0.0, np.nan]}),
        (probe_plaids, "directions_deg: expected a row of 6", {"directions_deg": [0.0, 90.0]}),
        (probe_plaids, "separation_deg: expected a number", {"separation_deg": 0.0}),
        (probe_bars, "speed_deg_s: expected a number", {"speed_deg_s": 0.0}),
        (probe_bars, "width_deg: expected a number", {"width_deg": -3.0}),
    ):
        with pytest.raises(InputError, match=match):
            shown(run, session, **(ASKED | wrong))
    for shown, more in ((probe_spots, {}), (probe_sizes, placed), (probe_plaids, {}), (probe_bars, {})):
        with pytest.raises(InputError, match="expected a Run"):
            shown(run.model, session, **ASKED, **more)
