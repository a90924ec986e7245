"""Pictures of the box: perspective against an independent calculation, signs of turns, no flicker."""

import numpy as np
import skimage.data
import torch
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from v1lib.simulate.arena import BOX_CM, PHOTOGRAPHS, PILLARS_CM, _first_hit, camera_of, render
from v1lib.simulate.kinematics import rotation_matrix, simulate_motion
from v1lib.spectra import radial_spectrum, spectral_exponent

CAMERA = camera_of((60, 80), 100.0)
POSITION = np.array([[30.0, 22.0, 20.0]])


def turned(yaw=0.0, pitch=0.0, roll=0.0):
    return rotation_matrix(np.array([yaw]), np.array([pitch]), np.array([roll]))


def picture(**angles):
    return render(CAMERA, POSITION, turned(**angles))[0]


def test_field_of_view_is_the_angle_between_the_outermost_pixels_edges():
    rays = CAMERA.rays().reshape(3, 60, 80)
    half_pixel = 0.5 / CAMERA.focal_px
    left = np.rad2deg(np.arctan(rays[1, 0, 0] + half_pixel))
    assert np.isclose(2 * left, 100.0)


def test_wall_ahead_agrees_with_a_photograph_read_by_hand():
    fine = camera_of((60, 80), 20.0)  # a narrow view of the wall x = max, where the finest level is read
    seen = render(fine, POSITION, turned())[0]
    assert PHOTOGRAPHS[1] == "camera"
    photograph = resize(skimage.data.camera() / 255.0, (512, 512), anti_aliasing=True)
    photograph = 0.5 + 0.22 * (photograph - photograph.mean()) / photograph.std()
    distance = BOX_CM[0] - POSITION[0, 0]
    down, right = np.mgrid[:60, :80]
    y = POSITION[0, 1] - distance * (right - 39.5) / fine.focal_px
    z = POSITION[0, 2] - distance * (down - 29.5) / fine.focal_px
    expected = map_coordinates(
        photograph, [(1 - z / BOX_CM[2]) * 512 - 0.5, y / BOX_CM[1] * 512 - 0.5], order=1
    )
    # The reading mixes in a coarser level, so single texels differ; the picture may not.
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.98


def best_shift(before, after, axis):
    """Shift of `after` against `before` along `axis`, px, by correlation of the middle."""
    shifts = np.arange(-12, 13)
    middle = (slice(15, 45), slice(20, 60))
    scores = [
        np.corrcoef(np.roll(before, s, axis)[middle].ravel(), after[middle].ravel())[0, 1] for s in shifts
    ]
    return shifts[int(np.argmax(scores))]


def test_turning_left_moves_the_picture_right():
    # 8 degrees are 33.6 · tan 8° = 4.7 px at the middle.
    assert best_shift(picture(), picture(yaw=8.0), axis=1) in (4, 5)


def test_pitching_up_moves_the_picture_down():
    assert best_shift(picture(), picture(pitch=8.0), axis=0) in (4, 5)


def test_rolling_right_ear_down_turns_the_picture_counterclockwise():
    level, rolled = picture(), picture(roll=10.0)
    down, right = np.mgrid[:60, :80]
    x, y = right - 39.5, down - 29.5
    scores = {}
    for sign in (-1, 1):
        a = np.deg2rad(sign * 10.0)
        # Where the pixel of the rolled picture came from, if it was turned by `a` clockwise (y runs down).
        source_x, source_y = np.cos(a) * x + np.sin(a) * y, -np.sin(a) * x + np.cos(a) * y
        warped = map_coordinates(level, [source_y + 29.5, source_x + 39.5], order=1)
        scores[sign] = np.corrcoef(warped[10:50, 15:65].ravel(), rolled[10:50, 15:65].ravel())[0, 1]
    assert scores[-1] > 0.97 > scores[1]


def test_a_field_is_the_rows_of_the_whole_picture():
    odd = render(CAMERA, POSITION, turned(yaw=30.0), slice(1, None, 2))
    np.testing.assert_allclose(odd[0], picture(yaw=30.0)[1::2], atol=1e-6)


def test_small_movements_do_not_flicker():
    """Aliasing makes pixels jump by as much for a small step as for a large one."""
    small = picture(yaw=0.2) - picture()
    large = picture(yaw=2.0) - picture()
    # Without prefiltering the ratio is about 0.5 here; a smooth picture's differences grow with the step.
    assert small.std() < 0.25 * large.std()


def test_looking_along_a_plane_gives_numbers():
    for yaw in (0.0, 90.0, 180.0, -90.0):
        assert np.isfinite(picture(yaw=yaw)).all()


def test_rays_end_where_a_walk_along_them_first_enters_a_surface():
    """Distances against steps of half a millimetre along each ray, which know only inside and outside."""
    rng = np.random.default_rng(0)
    starts = np.stack([rng.uniform(2, 58, 400), rng.uniform(2, 43, 400), np.full(400, 3.0)], axis=1)
    directions = rng.normal(size=(400, 3)) * [1, 1, 0.25]
    free = np.ones(400, bool)
    for x0, y0, x1, y1, _ in PILLARS_CM:
        free &= ~((starts > [x0, y0, 0]) & (starts < [x1, y1, 9e9])).all(axis=1)
    starts, directions = starts[free], directions[free]
    walked = np.arange(0, 100, 0.05)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    places = starts[:, None] + walked[:, None] * unit[:, None]
    solid = ((places < 0) | (places > BOX_CM)).any(axis=2)
    pillar = np.zeros_like(solid)
    for x0, y0, x1, y1, top in PILLARS_CM:
        pillar |= ((places > [x0, y0, 0]) & (places < [x1, y1, top])).all(axis=2)
    expected = walked[np.argmax(solid | pillar, axis=1)]
    _, distance, *_ = _first_hit(
        torch.tensor(starts, dtype=torch.float32)[:, :, None],
        torch.tensor(unit, dtype=torch.float32)[:, :, None],
    )
    # The walk finds a surface up to one step late, and can step over an edge thinner than that.
    late = expected - distance[:, 0].numpy()
    assert np.quantile(np.abs(late - 0.025), 0.98) < 0.03
    met = np.argmax(pillar, axis=1) == np.argmax(solid | pillar, axis=1)
    assert 20 < met.sum() < len(starts) - 20


def test_walking_moves_near_surfaces_more_than_far_ones():
    """Parallax: a step to the left takes a pillar to the right of the wall behind it."""
    _, y0, x1, y1, _ = PILLARS_CM[0]
    place = np.array([[x1 + 8.0, (y0 + y1) / 2, 3.0]])
    toward = turned(yaw=180.0)  # the animal's left is then −y
    step = np.array([[0.0, -2.0, 0.0]])
    before, after = render(CAMERA, place, toward)[0], render(CAMERA, place + step, toward)[0]
    # Beside the pillar the wall, 27 cm off, moves by 2.5 px; the pillar, 8 cm off, by 8.
    pillar, wall = (slice(22, 29), slice(33, 47)), (slice(0, 12), slice(4, 24))

    def shift(where):
        rows, columns = where
        tried = range(-2, 14)
        scores = [
            np.corrcoef(before[where].ravel(), after[rows, columns.start + k : columns.stop + k].ravel())[
                0, 1
            ]
            for k in tried
        ]
        return tried[int(np.argmax(scores))]

    assert shift(pillar) in (8, 9) and shift(wall) in (2, 3)


def seen_on_a_walk():
    """Where a mouse looks from during two minutes: positions and rotations."""
    motion = simulate_motion(np.random.default_rng(3), 120.0)
    at = np.arange(300, 35_000, 350)
    angles = [motion[name].values[at] for name in ("yaw", "pitch", "roll")]
    return np.stack([motion[name].values[at] for name in ("x", "y", "z")], axis=1), rotation_matrix(*angles)


def test_pixels_are_means_over_many_rays():
    """Against pictures of 16 times as many pixels, averaged down; a contrast of 1 is 0.22 here."""
    position, rotation = (values[:25] for values in seen_on_a_walk())
    fine = render(camera_of((240, 320), 100.0), position, rotation)
    expected = fine.reshape(len(fine), 60, 4, 80, 4).mean((2, 4))
    seen = render(CAMERA, position, rotation)
    # What remains is mostly at the edges of surfaces, which one ray a pixel cannot average.
    assert np.sqrt(((seen - expected) ** 2).mean()) < 0.04
    fine_law, law = (spectral_exponent(radial_spectrum(pictures)) for pictures in (expected, seen))
    assert abs(law - fine_law) < 0.1


def test_frames_have_the_spectrum_of_natural_scenes():
    """Power falls about as 1 / frequency²; published photographs of nature lie between 1.6 and 2.8."""
    spectrum = radial_spectrum(render(CAMERA, *seen_on_a_walk()))
    assert 1.8 < spectral_exponent(spectrum) < 2.2
    # Aliased texture is white: without prefiltering the upper half octaves lie above the law, not below.
    finest, middle = spectrum[-3:], spectrum[4:8]
    law = spectrum["frequency"] ** -spectral_exponent(middle)
    assert (finest / law[-3:]).mean() < (middle / law[4:8]).mean()
