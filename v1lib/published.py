"""What Xu et al. 2023 printed in Tables 1 to 3, to stand beside what is measured here.

Source: Xu, Hou, Niell and Beyeler 2023, *Multimodal Deep Learning Model Unveils Behavioral Dynamics of V1
Activity in Freely Moving Mice*, NeurIPS 36, 15341-15357, Tables 1, 2 and 3. Each is r of traces smoothed over
2 s as :func:`v1lib.score.paper_score` takes it, mean over the units of a mouse, of one fit.
"""

from __future__ import annotations

from math import nan

#: The mice, in the order of all tables here, and how many units of each were kept.
ANIMALS = ("070921_J553RT", "110421_J569LT", "101521_J559NC")
N_UNITS = (68, 32, 49)

Row = tuple[float, float, float]

#: Table 1: vision alone, one frame, with the shifter, by visual encoder.
TABLE_1: dict[str, Row] = {
    "CNN": (0.596, 0.424, 0.552),
    "autoencoder": (0.555, 0.370, 0.521),
    "ResNet-18": (0.517, 0.366, 0.511),
    "EfficientNet-B0": (0.542, 0.393, 0.510),
    "Sensorium": (0.540, 0.441, 0.487),
}
#: Table 1: the same without the shifter.
TABLE_1_NO_SHIFTER: dict[str, Row] = {
    "CNN": (0.548, 0.398, 0.501),
    "autoencoder": (0.509, 0.375, 0.459),
    "ResNet-18": (0.513, 0.373, 0.491),
    "EfficientNet-B0": (0.521, 0.349, 0.468),
}
#: Table 1: standard deviation over units with the shifter.
TABLE_1_SD: dict[str, Row] = {"CNN": (0.134, 0.141, 0.138), "Sensorium": (0.138, 0.181, 0.146)}

#: Table 2: the full model on one frame, by set of behaviour variables: those of the Sensorium competition,
#: the six measured ones with their products, and these with their differences and all products.
TABLE_2: dict[str, Row] = {
    "S": (0.623, 0.498, 0.579),
    "orig_prod": (0.639, 0.484, 0.593),
    "all_prod": (0.646, 0.508, 0.607),
}
#: Table 2: standard deviation over units.
TABLE_2_SD: dict[str, Row] = {
    "S": (0.142, 0.154, 0.135),
    "orig_prod": (0.141, 0.165, 0.132),
    "all_prod": (0.136, 0.166, 0.132),
}

#: Table 3: the full model on all variables and products, by frames of a sequence.
TABLE_3: dict[int, Row] = {
    1: (0.646, 0.508, 0.607),
    2: (0.649, 0.506, 0.607),
    3: (0.653, 0.528, 0.604),
    4: (0.650, 0.566, 0.614),
    5: (0.645, 0.519, 0.598),
    6: (0.654, 0.549, 0.598),
    7: (0.644, 0.533, 0.596),
    8: (0.646, 0.546, 0.594),
}

_NOT_PRINTED: Row = (nan, nan, nan)
#: Rows by table and by what they are called in this book, in the order of :data:`v1lib.variants.TABLES`.
PRINTED: dict[int, dict[str, Row]] = {
    1: {
        name: row
        for label, with_shifter in TABLE_1.items()
        for name, row in (
            (label, with_shifter),
            (f"{label}, no shifter", TABLE_1_NO_SHIFTER.get(label, _NOT_PRINTED)),
        )
    },
    2: dict(TABLE_2),
    3: {f"{length} bin{'s' if length > 1 else ''}": row for length, row in TABLE_3.items()},
}
#: Rows that a table is there to compare, each less the other: an encoder with a shifter and without, and the
#: CNN with other encoders; a set of variables with the next smaller one; a length with the next shorter one.
COMPARED: dict[int, tuple[tuple[str, str], ...]] = {
    1: (
        *((label, f"{label}, no shifter") for label in TABLE_1_NO_SHIFTER),
        *(("CNN", label) for label in TABLE_1 if label != "CNN"),
    ),
    2: (("orig_prod", "S"), ("all_prod", "orig_prod")),
    3: tuple(zip(list(PRINTED[3])[1:], list(PRINTED[3])[:-1], strict=True)),
}
