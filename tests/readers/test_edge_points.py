"""A table of tracked points opens as it was written, and other tables are refused."""

import numpy as np
import pytest

from v1lib.errors import InputError
from v1lib.readers.edge_points import open_edge_points

HEADER = "scorer,n,n,n,n,n,n\nbodyparts,top,top,top,left,left,left\ncoords,x,y,likelihood,x,y,likelihood\n"


def test_columns_land_where_they_belong(tmp_path):
    path = tmp_path / "track.csv"
    path.write_text(HEADER + "0,1,2,0.5,4,5,0.6\n1,11,,0.7,14,15,0.8\n")
    x, y, likelihood = open_edge_points(path)
    np.testing.assert_array_equal(x, [[1, 4], [11, 14]])
    np.testing.assert_array_equal(y, [[2, 5], [np.nan, 15]])
    np.testing.assert_array_equal(likelihood, [[0.5, 0.6], [0.7, 0.8]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "counter,ax\n1,2\n",
        HEADER,
        HEADER + "0,1,2,0.5,4,5,high\n",
        HEADER.replace("likelihood", "score") + "0,1,2,3,4,5,6\n",
        "\x00\x01\x02",
    ],
)
def test_other_tables_are_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "track.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        open_edge_points(path)
    assert "\n" not in str(caught.value) and "track.csv" in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not open"):
        open_edge_points(tmp_path / "none.csv")
