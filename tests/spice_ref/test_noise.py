"""The noise ladder: each variant is another deck, and what it moves is small but not nothing."""

import numpy as np
import pytest

from simcore.spec import CircuitSpec
from spice_ref.deck import Decks
from spice_ref.farm import Farm
from spice_ref.noise import SHIFT_PS, noise_of
from spice_ref.queue import JobQueue
from spice_ref.stimuli import draw_raster

pytestmark = pytest.mark.spice


def test_each_variant_moves_the_figures_a_little(rc: CircuitSpec) -> None:
    rasters = [draw_raster(rc, run, 12, 1)[1] for run in range(2)]
    shares: list[float] = []
    with JobQueue(Farm(2)) as queue:
        rows = {row.variant: row for row in noise_of(rc, rasters, queue, progress=shares.append)}
        assert queue.n_jobs > 8 * len(rasters)
    assert list(rows) == [
        "std", "reltol 0.0003", "reltol 3e-05", "reltol 1e-05", "reltol 3e-06", "gold", "Gear",
        "edges +1 ps", "closed loop",
    ]  # fmt: skip
    assert rows.pop("std").energy.value_pct == 0
    for row in rows.values():
        assert row.energy.value_pct is not None
        assert 0 < row.energy.value_pct < 0.5, row.variant
        assert row.event.value_pct == 0
        assert row.exact_runs == row.n_runs == 2
        assert row.ms_per_row > 0
    assert rows["reltol 0.0003"].energy.value_pct != rows["gold"].energy.value_pct
    assert shares[-1] == 1.0


def test_shifted_deck_has_all_its_corners_later(rc: CircuitSpec) -> None:
    raster = draw_raster(rc, 0, 3, 1, "dense")[1]
    decks = Decks(rc, "std")
    plain, shifted = decks.raster(raster), decks.raster(raster, shift_ps=SHIFT_PS)
    corners = [
        np.array([float(word.strip("(").removesuffix("e-12")) for word in deck.split("pwl")[1].split()[::2]
                  if word.strip("(").endswith("e-12")])
        for deck in (plain, shifted)
    ]  # fmt: skip
    np.testing.assert_array_equal(corners[1][-3:], corners[0][-3:] + SHIFT_PS)


def test_preset_on_gear_is_set_against_the_trapezoidal_rule(rc: CircuitSpec) -> None:
    preset = rc.solver["std"]
    gear = preset.model_copy(update={"options": {**preset.options, "method": "gear"}})
    other = rc.model_copy(update={"solver": {"std": gear}})
    rasters = [draw_raster(rc, 0, 4, 1)[1]]
    with JobQueue(Farm(1)) as queue:
        names = [row.variant for row in noise_of(other, rasters, queue)]
    assert "trapezoidal" in names
    assert "Gear" not in names
