"""Pictures of the box: perspective against an independent calculation, signs of turns, no flicker."""

import numpy as np
import skimage.data
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from v1lib.simulate.arena import BOX_CM, PHOTOGRAPHS, camera_of, render
from v1lib.simulate.kinematics import rotation_matrix

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
