"""The noise ladder: each variant is another deck, and what it moves is small but not nothing."""

import re

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
    raster = draw_raster(rc, 0, 12, 1, "dense")[1]
    decks = Decks(rc, "std")
    plain, shifted = decks.raster(raster), decks.raster(raster, shift_ps=SHIFT_PS)
    before, after = (
        [int(time) for time in re.findall(r"(\d+)e-12 ", deck.partition("pwl(")[2].partition(")")[0])]
        for deck in (plain, shifted)
    )
    assert len(before) > 4
    assert [time + SHIFT_PS for time in before if time] == [time for time in after if time > SHIFT_PS]


def test_preset_on_gear_is_set_against_the_trapezoidal_rule(rc: CircuitSpec) -> None:
    preset = rc.solver["std"]
    gear = preset.model_copy(update={"options": {**preset.options, "method": "gear"}})
    other = rc.model_copy(update={"solver": {"std": gear}})
    rasters = [draw_raster(rc, 0, 4, 1)[1]]
    with JobQueue(Farm(1)) as queue:
        names = [row.variant for row in noise_of(other, rasters, queue)]
    assert "trapezoidal" in names
    assert "Gear" not in names
