"""Which units the simulated cortex has: short formulae, each with its share of the units.

A formula reads ``driver [* variable]* [+ variable]*``, spaces as you like: what drives the unit (one of
:data:`DRIVERS`), the behaviour variables that multiply its answer (a gain) and those that add to it (an
offset). Variables alone, such as ``pitch + phi``, are a unit that behaviour alone drives.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import inf
from numbers import Real
from typing import NamedTuple

from v1lib.errors import InputError
from v1lib.session import BEHAVIOR_UNITS

#: What a unit may be driven by; the first four are fields on the retina.
DRIVERS = ("simple", "complex", "direction", "normalized", "heading", "eye_position", "untuned")
#: The class of a unit that has no driver.
BEHAVIOR_ONLY = "behavior"

# Every dependence is planted on a variable whose companions the unit does not depend on: running goes with a
# wide pupil and a raised head (speed, pupil, pitch), and the eye turns against the head's pitch and a little
# with its roll (pitch, phi, roll). A method that takes correlation for dependence finds the companion
# too. Simple cells alternate with the rest so that a few units are mixed as well.
#: The mixture of a recording whose caller asks for none: shares out of 24.
STANDARD_MIXTURE: dict[str, float] = {
    "simple": 2,
    "simple * speed": 2,
    "simple * pupil": 2,
    "complex": 1,
    "simple * pitch": 1,
    "speed": 1,
    "simple + pupil": 1,
    "direction + theta": 1,
    "simple * phi": 1,
    "heading": 1,
    "simple + speed": 1,
    "normalized": 1,
    "simple * speed + pitch": 1,
    "untuned": 1,
    "simple * pupil + roll": 1,
    "eye_position": 1,
    "complex * speed": 1,
    "direction": 1,
    "normalized * pupil": 1,
    "pupil + roll": 1,
    "complex * roll": 1,
}
#: Simple cells alone, in each of which one variable multiplies and another adds.
SIMPLE_MIXTURE: dict[str, float] = {
    "simple * speed + pupil": 1,
    "simple * pupil + pitch": 1,
    "simple * pitch + theta": 1,
    "simple * roll + phi": 1,
    "simple * phi + speed": 1,
    "simple * theta + roll": 1,
}


class Formula(NamedTuple):
    """What a unit depends on: its class, a driver or :data:`BEHAVIOR_ONLY`, and variables by their names."""

    unit_class: str
    gain: tuple[str, ...]
    offset: tuple[str, ...]

    def __str__(self) -> str:
        driven = () if self.unit_class == BEHAVIOR_ONLY else (" * ".join((self.unit_class, *self.gain)),)
        return " + ".join((*driven, *self.offset))


def parse_formula(text: str) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text : str
        Such as ``simple * pupil + pitch``; the grammar stands at the top of this module.

    Raises
    ------
    InputError
        If a word is unknown, out of its place, or repeated in one role.
    """
    first, *added = ([word.strip() for word in term.split("*")] for term in str(text).split("+"))
    if first[0] in DRIVERS:
        unit_class, gain = first[0], tuple(first[1:])
    else:
        unit_class, gain, added = BEHAVIOR_ONLY, (), [first, *added]
    offset = tuple(" * ".join(term) for term in added)
    for role in (gain, offset):
        for number, word in enumerate(role):
            if word not in BEHAVIOR_UNITS or word in role[:number]:
                allowed = f"a driver ({', '.join(DRIVERS)}) first"
                allowed += f" and then, each once, variables ({', '.join(BEHAVIOR_UNITS)})"
                raise InputError("simulate_recording", f"mixture formula {text!r}", allowed, repr(word))
    return Formula(unit_class, gain, offset)


def allot(mixture: Mapping[str, float], n_units: int) -> list[Formula]:
    """The formula of each unit, in the mixture's order: units are allotted by largest remainder.

    Parameters
    ----------
    mixture : mapping of str to float
        A share of each formula, any positive numbers; equal remainders go to the earlier formula.
    n_units : int

    Raises
    ------
    InputError
        If it is no mapping, there is no formula, one is given twice or cannot be read, or a share is no
        positive number.
    """
    if not isinstance(mixture, Mapping):
        expected = "a mapping of formulae to their shares"
        raise InputError("simulate_recording", "mixture", expected, type(mixture).__name__)
    formulae = [parse_formula(text) for text in mixture]
    if not formulae or len(set(formulae)) < len(formulae):
        found = f"{len(formulae)}, {len(set(formulae))} of them different"
        raise InputError("simulate_recording", "mixture", "at least one formula, each once", found)
    for text, share in mixture.items():
        if not isinstance(share, Real) or isinstance(share, bool) or not 0 < share < inf:
            raise InputError("simulate_recording", f"share of {text!r}", "a positive number", repr(share))
    # In fractions, so that remainders that are equal are found equal.
    shares = [Fraction(float(share)) for share in mixture.values()]
    quotas = [share * n_units / sum(shares) for share in shares]
    numbers = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda k: numbers[k] - quotas[k])
    for k in by_remainder[: n_units - sum(numbers)]:
        numbers[k] += 1
    return [formula for formula, number in zip(formulae, numbers, strict=True) for _ in range(number)]
