"""Units of each formula are allotted in number and answer as their formula says, and to nothing else."""

import numpy as np
import pandas as pd
import pytest

import v1lib
from v1lib.errors import InputError
from v1lib.session import BEHAVIOR_UNITS
from v1lib.simulate.arena import camera_of, render
from v1lib.simulate.drive import expected_rate, retinal_drive, see
from v1lib.simulate.kinematics import rotation_matrix, simulate_motion
from v1lib.simulate.mixture import DRIVERS, STANDARD_MIXTURE, Formula, allot, parse_formula
from v1lib.simulate.neurons import BEHAVIOR_SCALE, plant_units
from v1lib.simulate.truth import behavior_at_steps

RETINA = camera_of((30, 40), 100.0)
DEGREES = np.rad2deg(1 / RETINA.focal_px)
Y, X = np.mgrid[:30, :40].astype(float)
X, Y = (X - 19.5) * DEGREES, -(Y - 14.5) * DEGREES
SECOND = 60  # steps
STEPS = np.arange(4 * SECOND) / SECOND


def planted(formula, n_units=12, seed=0):
    return plant_units(np.random.default_rng(seed), allot({formula: 1}, n_units), RETINA)


def at_rest(n, **given):
    """Behaviour at the centre of each scale, and what is given instead."""
    rest = {name: np.full(n, centre) for name, (centre, _) in BEHAVIOR_SCALE.items()} | {"yaw": np.zeros(n)}
    return rest | given


def answers(units, pictures, behavior=None):
    """Rates, Hz, relative to the mean, to pictures on the retina, without drift of excitability."""
    behavior = at_rest(len(pictures)) if behavior is None else behavior
    still = np.ones((len(pictures), units.sizes["unit"]))
    return expected_rate(units, see(pictures, units, RETINA), behavior, still) / units["base_rate"].values


def grating(unit, direction, *, hz=5.0, contrast=0.4):
    """Four seconds of a grating of a unit's spatial frequency that drifts to `direction`, deg."""
    angle = np.deg2rad(direction)
    across = unit["spatial_frequency"].item() * (X * np.cos(angle) + Y * np.sin(angle))
    return 0.5 + 0.5 * contrast * np.cos(2 * np.pi * (across - hz * STEPS[:, None, None]))


def shown(unit, *gratings):
    """Rates of one unit to gratings, each after a second of grey, without the first second of each."""
    grey = np.full((SECOND, 30, 40), 0.5)
    movie = np.concatenate([part for pictures in gratings for part in (grey, pictures)])
    rate = answers(unit.assign_coords(unit=[0]), movie)[:, 0]
    return rate.reshape(len(gratings), 5 * SECOND)[:, 2 * SECOND :]


def each(units):
    return [units.isel(unit=[k]) for k in range(units.sizes["unit"])]


def noise_movie(n=3000, seed=3):
    return 0.5 + 0.2 * np.random.default_rng(seed).standard_normal((n, 30, 40))


# ---- Formulae and their shares


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("simple", Formula("simple", (), ())),
        (" complex*speed ", Formula("complex", ("speed",), ())),
        ("simple * pupil + pitch", Formula("simple", ("pupil",), ("pitch",))),
        ("direction+theta", Formula("direction", (), ("theta",))),
        ("heading * roll * phi + roll + speed", Formula("heading", ("roll", "phi"), ("roll", "speed"))),
        ("speed", Formula("behavior", (), ("speed",))),
        ("pitch + phi", Formula("behavior", (), ("pitch", "phi"))),
    ],
)
def test_formulae_are_read_and_written(text, formula):
    assert parse_formula(text) == formula
    assert parse_formula(str(formula)) == formula
    assert str(formula).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("simpel", "'simpel'"),
        ("simple * sped", "'sped'"),
        ("simple + yaw", "'yaw'"),
        ("speed * pitch", "'speed * pitch'"),
        ("speed + simple", "'simple'"),
        ("simple * complex", "'complex'"),
        ("simple + pupil * speed", "'pupil * speed'"),
        ("simple *", "''"),
        ("", "''"),
        ("simple * speed * speed", "'speed'"),
        ("speed + speed", "'speed'"),
    ],
)
def test_formulae_that_cannot_be_read_are_refused_by_name(text, found):
    with pytest.raises(InputError) as error:
        parse_formula(text)
    said = str(error.value)
    assert repr(text) in said and said.endswith(f"found {found}.")
    assert all(word in said for word in ("eye_position", "pupil"))


def test_a_refused_mixture_leaves_nothing(tmp_path):
    for mixture in ({}, {"simple": 1, " simple ": 2}, {"simple": 0}, {"simple": "2"}, {"simple": np.nan}):
        with pytest.raises(InputError, match=r"^simulate_recording: (share of|mixture)"):
            v1lib.simulate_recording(tmp_path / "m", minutes=0.5, n_units=3, seed=1, mixture=mixture)
    assert list(tmp_path.iterdir()) == []


def test_units_are_allotted_by_largest_remainder():
    """Each formula gets its quota, rounded down or up; all units are given out, in the mixture's order."""
    shares = np.array(list(STANDARD_MIXTURE.values()), float)
    for n in range(1, 200):
        formulae = [str(formula) for formula in allot(STANDARD_MIXTURE, n)]
        assert len(formulae) == n
        numbers = np.array([formulae.count(text) for text in STANDARD_MIXTURE])
        assert (np.abs(numbers - n * shares / shares.sum()) < 1).all()
        assert formulae == [text for text, k in zip(STANDARD_MIXTURE, numbers, strict=True) for _ in range(k)]
    # Quotas 1.5, 1, 0.3, 0.2 of 3, worked by hand; then a tie, which goes to the earlier.
    chosen = {"simple": 0.75, "complex": 0.5, "speed": 0.15, "untuned": 0.1}
    assert [str(one) for one in allot(chosen, 3)] == ["simple", "simple", "complex"]
    assert [str(one) for one in allot({"complex": 1, "simple": 1}, 3)] == ["complex", "complex", "simple"]
    # Quotas 4/3, 1/3, 1/3: the remainders are equal, though not in floating point.
    assert [str(one) for one in allot({"simple": 4, "complex": 1, "speed": 1}, 2)] == ["simple", "simple"]


def test_the_standard_mixture_has_every_class_and_variable():
    formulae = allot(STANDARD_MIXTURE, 24)
    classes = [formula.unit_class for formula in formulae]
    assert sum(STANDARD_MIXTURE.values()) == 24
    assert classes.count("simple") == 12
    assert set(classes) == {*DRIVERS, "behavior"}
    for role in ("gain", "offset"):
        assert {"speed", "pupil"} < {name for formula in formulae for name in getattr(formula, role)}
    assert {name for one in formulae for name in one.gain + one.offset} == set(BEHAVIOR_UNITS)


# ---- What drives a unit


def test_a_complex_cell_does_not_tell_the_phase_of_a_grating_and_a_simple_cell_does():
    """The range of the answer over a cycle of a drifting grating, over its mean."""

    def modulation(unit):
        (rate,) = shown(unit, grating(unit, unit["orientation"].item() + 90))
        return np.ptp(rate) / rate.mean()

    assert min(modulation(unit) for unit in each(planted("simple"))) > 2
    # Not exactly 0: pixels sample the two fields, and the retina's edge cuts some off.
    assert max(modulation(unit) for unit in each(planted("complex"))) < 0.1


def test_complex_cells_answer_light_and_dark_alike():
    pictures = noise_movie()
    there, back = (answers(planted("complex"), movie) for movie in (pictures, 1 - pictures))
    np.testing.assert_allclose(there, back, rtol=1e-3)
    there, back = (answers(planted("simple"), movie) for movie in (pictures, 1 - pictures))
    assert np.corrcoef(there.ravel(), back.ravel())[0, 1] < -0.1


def test_a_direction_unit_answers_one_way_of_drift_and_a_complex_cell_both():
    """The bars, their place and their speed are the same both ways."""
    ratios = {}
    for kind in ("direction", "complex"):
        ratios[kind] = []
        for unit in each(planted(kind)):
            forth = unit["preferred_direction" if kind == "direction" else "orientation"].item()
            forth += 0 if kind == "direction" else 90
            hz = unit["temporal_frequency"].item() if kind == "direction" else 5.0
            ways = [grating(unit, forth + turn, hz=hz) for turn in (0, 180)]
            to, fro = shown(unit, *ways).mean(axis=1)
            ratios[kind].append(to / fro)
    assert min(ratios["direction"]) > 4
    assert np.abs(np.log(ratios["complex"])).max() < 0.1


def test_direction_units_prefer_their_direction_among_all():
    units = planted("direction")
    apart = (units["preferred_direction"] - units["orientation"]) % 180
    np.testing.assert_allclose(apart, 90)
    assert {1, 3} == set((units["preferred_direction"] - units["orientation"]).values.round() % 360 // 90)
    for unit in each(units):
        preferred, hz = unit["preferred_direction"].item(), unit["temporal_frequency"].item()
        turns = np.arange(0, 360, 45)
        rates = shown(unit, *(grating(unit, preferred + turn, hz=hz) for turn in turns)).mean(axis=1)
        assert turns[rates.argmax()] == 0
        # Across its bars, not along them: 90 degrees off gives as little as the other way.
        assert rates[[2, 6]].max() < 0.25 * rates[0]


def test_direction_units_do_not_answer_what_stands_still():
    for unit in each(planted("direction")):
        preferred, hz = unit["preferred_direction"].item(), unit["temporal_frequency"].item()
        moving, still = shown(unit, grating(unit, preferred, hz=hz), grating(unit, preferred, hz=0.0))
        assert still.mean() < 0.03 * moving.mean()


def test_a_normalized_unit_saturates_with_contrast_and_a_simple_cell_does_not():
    """What the answer gains for each unit of contrast, from 0.4 to 0.8 and from 0.05 to 0.1."""
    contrasts = (0.05, 0.1, 0.2, 0.4, 0.8)
    for kind, saturates in (("simple", False), ("normalized", True)):
        for unit in each(planted(kind)):
            ways = [grating(unit, unit["orientation"].item() + 90, contrast=c) for c in contrasts]
            rates = shown(unit, *ways).mean(axis=1)
            assert (np.diff(rates) > 0).all()
            slope = np.diff(rates) / np.diff(contrasts)
            # The softplus after a linear drive only grows steeper.
            assert slope[3] < 0.25 * slope[0] if saturates else slope[3] > slope[0]
            assert (rates[4] < 1.25 * rates[3]) == saturates


def test_contrast_around_its_field_turns_a_normalized_unit_down():
    units = planted("normalized")
    center = noise_movie(200, 5)
    for unit in each(units):
        far = np.hypot(X - unit["azimuth"].item(), Y - unit["elevation"].item()) > 2.5 * unit["length"].item()
        quiet = np.where(far, 0.5, center)
        noisy = np.where(far, np.where(center > 0.5, 1.0, 0.0), center)
        little, much = (see(movie, unit, RETINA) for movie in (quiet, noisy))
        assert (much["contrast"] > little["contrast"]).all()
        # In turn there is less of the same answer: one movie after the other, on one scale.
        rate = answers(unit.assign_coords(unit=[0]), np.concatenate([quiet, noisy]))[:, 0]
        assert rate[15:200].std() > 1.1 * rate[215:].std()
    # The contrast itself: independent noise of known size everywhere.
    seen = see(0.5 + 0.1 * np.sign(noise_movie(50) - 0.5), units, RETINA)["contrast"]
    np.testing.assert_allclose(seen.mean(), 0.1, rtol=0.02)
    # Brightness is no contrast; windows that reach over the retina's edge sum to 1 as well.
    brighter = see(0.7 + 0.1 * np.sign(noise_movie(50) - 0.5), units, RETINA)
    np.testing.assert_allclose(brighter["contrast"], seen, atol=1e-5)
    assert see(np.full((2, 30, 40), 0.9), units, RETINA)["contrast"].max() < 1e-3


def test_classes_without_normalization_see_no_contrast_and_only_energy_has_a_second_field():
    pictures = noise_movie(20)
    for kind, parts in (
        ("simple", {"even"}),
        ("complex", {"even", "odd"}),
        ("direction", {"even", "odd"}),
        ("normalized", {"even", "contrast"}),
        ("heading", set()),
        ("untuned", set()),
        ("speed", set()),
    ):
        drive = see(pictures, planted(kind, 2), RETINA)
        assert {name for name, values in drive.items() if values.any()} == parts


def test_each_unit_sees_through_its_own_fields():
    units = plant_units(np.random.default_rng(8), allot(STANDARD_MIXTURE, 24), RETINA)
    pictures = noise_movie(5)
    drive = see(pictures, units, RETINA)
    for name, field in (("even", "receptive_field"), ("odd", "quadrature_field")):
        expected = np.einsum("tyx,uyx->tu", pictures, units[field].values)
        # Single precision of sums over 1200 pixels, and fields whose mean is 0 to 1e-7 or so a pixel.
        np.testing.assert_allclose(drive[name], expected, atol=2e-5)
    for unit in np.flatnonzero(units["unit_class"] == "normalized"):
        x, y = X - float(units["azimuth"][unit]), Y - float(units["elevation"][unit])
        weight = np.exp(-(x**2 + y**2) / (2 * float(units["pool_width"][unit]) ** 2)).ravel()
        flat = pictures.reshape(5, -1)
        contrast = [np.sqrt(np.cov(picture, aweights=weight, ddof=0)) for picture in flat]
        np.testing.assert_allclose(drive["contrast"][:, unit], contrast, rtol=1e-4)


@pytest.mark.parametrize("eye", [(10.0, 0.0, 0.0), (0.0, 8.0, 0.0), (0.0, 0.0, 12.0), (-6.0, 5.0, -8.0)])
def test_units_see_with_an_eye_that_turns_in_the_head(eye):
    names = ("theta", "phi", "torsion")
    motion = simulate_motion(np.random.default_rng(0), 1.0)
    still = {"x": 30.0, "y": 22.0, "z": 3.0, "yaw": 40.0, "pitch": -5.0, "roll": 3.0}
    for name, value in (still | dict(zip(names, eye, strict=True))).items():
        motion[name][:] = value
    units = planted("complex")
    drive = retinal_drive(motion, units, RETINA)
    head, turned = (rotation_matrix(*np.array(angles)[:, None]) for angles in ((40.0, -5.0, 3.0), eye))
    expected = see(render(RETINA, np.array([[30.0, 22.0, 3.0]]), head @ turned), units, RETINA)
    for name in ("even", "odd"):
        # Pictures are rendered in single precision, many or one at a time.
        np.testing.assert_allclose(drive[name], np.repeat(expected[name], len(drive[name]), 0), atol=1e-4)


def test_heading_units_are_von_mises_in_yaw_of_any_turn():
    units = planted("heading")
    n = 1000
    yaw = np.random.default_rng(1).uniform(-2000, 2000, n)
    rate = answers(units, np.full((n, 30, 40), 0.5), at_rest(n, yaw=yaw))
    concentration, preferred = units["heading_concentration"].values, units["preferred_heading"].values
    expected = concentration * np.cos(np.deg2rad(yaw[:, None] - preferred))
    found = np.log(rate)
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-4)


def test_eye_position_units_are_gaussian_in_theta_and_phi():
    units = planted("eye_position")
    rng, n = np.random.default_rng(2), 1000
    theta, phi = 8 * rng.standard_normal(n), 6 * rng.standard_normal(n)
    rate = answers(units, np.full((n, 30, 40), 0.5), at_rest(n, theta=theta, phi=phi))
    away = (theta[:, None] - units["preferred_theta"].values) ** 2
    away = away + (phi[:, None] - units["preferred_phi"].values) ** 2
    expected = -away / (2 * units["position_width"].values ** 2)
    # Only where the 200 Hz limit is far and the rate not so small that single precision rounds its logarithm.
    found = np.log(rate)
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-3)


def test_untuned_units_are_constant_but_for_their_drift():
    units = planted("untuned")
    rate = answers(units, noise_movie(200), at_rest(200, speed=np.linspace(0, 20, 200)))
    # Rates are rounded to 18 bits.
    np.testing.assert_allclose(rate, 1.0, rtol=1e-5)


# ---- Gain and offset


def twice(formula, variable, low, high):
    """Rates of units to the same movie with a variable at `low` and then at `high` spreads."""
    units = planted(formula)
    units["base_rate"][:] = 1.0  # far from the limit of 200 Hz
    centre, spread = BEHAVIOR_SCALE[variable]
    movie = noise_movie(1500)
    values = centre + spread * np.repeat([low, high], 1500)
    # Fifteen lags of the first movie reach into the second; they are left out.
    rate = answers(units, np.concatenate([movie, movie]), at_rest(3000, **{variable: values}))
    return units, rate[20:1500].astype(float), rate[1520:].astype(float)


def test_a_gain_multiplies_whatever_the_drive():
    for formula in ("simple * speed", "complex * speed", "normalized * speed"):
        units, low, high = twice(formula, "speed", -0.5, 1.0)
        weight = units["gain_weight"].sel(variable="speed").values
        np.testing.assert_allclose(np.log(high / low), np.broadcast_to(1.5 * weight, low.shape), atol=1e-3)
        assert (high - low).std(axis=0).min() > 0.05  # and does not add


def test_an_offset_adds_whatever_the_drive():
    for formula in ("simple + speed", "complex + speed", "direction + speed"):
        units, low, high = twice(formula, "speed", -0.5, 1.0)
        weight, share = units["offset_weight"].sel(variable="speed").values, units["share"].values
        level = np.exp(np.array([-0.5, 1.0])[:, None] * weight)
        level = share * level / level.mean(axis=0)
        expected = np.broadcast_to(level[1] - level[0], low.shape)
        np.testing.assert_allclose(high - low, expected, atol=1e-4)
        assert np.log(high / low).std(axis=0).min() > 0.02  # and does not multiply


def test_weights_are_sizeable_where_planted_and_exactly_zero_elsewhere():
    units = plant_units(np.random.default_rng(4), allot(STANDARD_MIXTURE, 240), RETINA)
    for unit in range(240):
        driver, *added = str(units["formula"].values[unit]).split(" + ")
        gain = driver.split(" * ")[1:]
        offset = added + [driver] * (driver in BEHAVIOR_UNITS)
        for role, names in (("gain_weight", gain), ("offset_weight", offset)):
            weight = units[role].isel(unit=unit).to_series()
            assert set(weight.index[weight != 0]) == set(names)
            assert weight[weight != 0].abs().between(0.35, 0.8).all()
        extra = ["theta", "phi"] if driver == "eye_position" else []
        depends = units["depends_on"].isel(unit=unit).to_series()
        assert set(depends.index[depends]) == {*gain, *offset, *extra}
        share = float(units["share"][unit])
        assert share == 1 if driver in BEHAVIOR_UNITS else (share > 0.25 if offset else share == 0)
    planted_weights = units["gain_weight"].values[units["gain_weight"].values != 0]
    assert 0.3 < (planted_weights > 0).mean() < 0.7


def test_the_rate_follows_what_it_depends_on_and_nothing_correlated_with_it():
    """Each variable is exchanged for another course of itself while the others, and the images, stay."""
    motion = simulate_motion(np.random.default_rng(5), 60.0)
    behavior = behavior_at_steps(motion)
    together = np.corrcoef([behavior[name] for name in BEHAVIOR_UNITS])
    assert np.abs(together[~np.eye(6, dtype=bool)]).max() > 0.5
    units = plant_units(np.random.default_rng(6), allot(STANDARD_MIXTURE, 48), RETINA)
    drive = retinal_drive(motion, units, RETINA)
    steady = np.ones((behavior["yaw"].size, 48))
    rate = expected_rate(units, drive, behavior, steady)
    for name in BEHAVIOR_UNITS:
        other = behavior | {name: np.roll(behavior[name], 600)}
        moved = np.abs(expected_rate(units, drive, other, steady) - rate).mean(axis=0) / rate.mean(axis=0)
        depends = units["depends_on"].sel(variable=name).values
        assert depends.any() and not depends.all()
        assert (moved[~depends] == 0).all()
        assert moved[depends].min() > 0.03


def test_the_same_seed_plants_the_same_units_and_another_seed_others():
    first, again, other = (
        plant_units(np.random.default_rng(s), allot(STANDARD_MIXTURE, 24), RETINA) for s in (1, 1, 2)
    )
    assert first.identical(again)
    assert not first["receptive_field"].equals(other["receptive_field"])


# ---- A recording and its truth


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "mouse"
    v1lib.simulate_recording(path, minutes=1, n_units=24, seed=9, frame_shape=(16, 20))
    return path


def test_the_truth_names_what_its_reader_is_told(folder):
    truth = v1lib.load_truth(folder)
    told = set(v1lib.load_truth.__doc__.split("``")[1::2])
    assert set(truth.data_vars) <= told
    assert truth["formula"].values.tolist() == [str(one) for one in allot(STANDARD_MIXTURE, 24)]
    assert truth["depends_on"].dtype == bool


def test_parameters_are_there_where_a_class_has_them_and_nan_elsewhere(folder):
    truth = v1lib.load_truth(folder)
    visual = ["simple", "complex", "direction", "normalized"]
    fields = "azimuth elevation width length orientation phase spatial_frequency"
    having = {
        fields: visual,
        "preferred_direction temporal_frequency": ["direction"],
        "pool_width semisaturation": ["normalized"],
        "preferred_heading heading_concentration": ["heading"],
        "preferred_theta preferred_phi position_width": ["eye_position"],
    }
    for names, classes in having.items():
        for name in names.split():
            np.testing.assert_array_equal(np.isfinite(truth[name]), truth["unit_class"].isin(classes))
    for name, classes in (
        ("receptive_field", visual),
        ("quadrature_field", ["complex", "direction"]),
        ("temporal_kernel", visual),
        ("quadrature_kernel", ["direction"]),
    ):
        dims = truth[name].dims[1:]
        np.testing.assert_array_equal((truth[name] != 0).any(dims), truth["unit_class"].isin(classes))
    fields = truth["receptive_field"].values[truth["unit_class"].isin(visual)]
    np.testing.assert_allclose(np.linalg.norm(fields, axis=(1, 2)), 1.0, atol=1e-5)


def test_the_oracle_in_the_truth_is_the_recorded_spikes_against_the_true_rate(folder):
    """Counted here from the recorded stamps, brought back to the camera's clock by the injected one."""
    truth, spikes = v1lib.load_truth(folder), v1lib.open_recording(folder).spikes
    n_fine = 100 * truth.sizes["step"]  # a mean over a bin is here one over hundredths of steps
    edges = 0.048 * np.arange(int(n_fine / 6000 / 0.048) + 1)
    within = np.searchsorted(edges, (np.arange(n_fine) + 0.5) / 6000, side="right") - 1
    inside = within < edges.size - 1
    for unit in range(24):
        rate = truth["rate"].values[:, unit].astype(float)
        expected = np.bincount(within[inside], np.repeat(rate, 100)[inside])
        stamps = spikes[unit].t
        camera = stamps - 0.12 - 114e-6 * stamps - truth.attrs["start_s"]
        counts = np.histogram(camera, edges)[0]
        # The hundredth that an edge cuts through is 0.3 % of a bin.
        assert abs(np.corrcoef(expected, counts)[0, 1] - float(truth["oracle_r"][unit])) < 5e-4
    assert truth["oracle_r"].attrs["bin_width_s"] == truth["ceiling_r"].attrs["bin_width_s"] == 0.048
    # One draw against the mean of ten others, 1250 bins each: 5 standard errors of r, at most 1 / sqrt(1250).
    assert np.abs(truth["oracle_r"] - truth["ceiling_r"]).max() < 5 / np.sqrt(1250)
    np.testing.assert_allclose(truth["oracle_r"].mean(), truth["ceiling_r"].mean(), atol=0.02)


def test_the_truth_holds_how_behaviour_goes_together(folder):
    truth = v1lib.load_truth(folder)
    table = pd.DataFrame({name: truth[name].values for name in BEHAVIOR_UNITS}).corr()
    np.testing.assert_allclose(truth["behavior_correlation"], table, atol=1e-9)


def test_a_mixture_of_ones_own_is_what_is_recorded(tmp_path):
    mixture = {"speed": 1, "heading": 1}
    v1lib.simulate_recording(
        tmp_path / "m", minutes=0.5, n_units=4, seed=1, frame_shape=(16, 20), mixture=mixture
    )
    truth = v1lib.load_truth(tmp_path / "m")
    assert truth["formula"].values.tolist() == ["speed", "speed", "heading", "heading"]
    assert not truth["receptive_field"].any()
