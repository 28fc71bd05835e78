"""An optimiser's while loop around an integrator's, whose body takes a gradient: in all four combinations of modes."""

import pytest

from benchmarks.nested_optimiser import DT, MODES, TRIPS, descend, force_by_hand, landing, slope_by_hand
from myia_lite import myia


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize(("backend", "steps"), [("llvm", 20), ("interp", 1)])
def test_it_finds_what_the_complex_step_finds(name, backend, steps):
    expected = descend(slope_by_hand, 0.0, DT, steps)
    assert myia(MODES[name], backend=backend)(0.0, DT, steps) == pytest.approx(expected, rel=1e-12)


def test_the_flight():
    """The optimised functions are Python, too; the forces are the gradient of the potential."""
    assert landing(0.0, DT, force_by_hand)[1] == TRIPS
    assert MODES["reverse over forward"](0.0, 4.0, 1) == pytest.approx(descend(slope_by_hand, 0.0, 4.0, 1), rel=1e-12)
