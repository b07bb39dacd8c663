"""Idle periods merged into one step give what stepping each of them gives.

Sparse stimuli with gaps up to and beyond `max_idle_periods`, on both circuits. The tolerances are measured
here, not chosen: the noise of the reference (std against gold on the same rasters) for ngspice, half of the
closed-loop error against ngspice on the same rasters for the surrogate.
"""

from pathlib import Path

import pytest

from benchmarks.idle import ALL, Case, Reference, difference, rasters, run_on, saved

pytestmark = [pytest.mark.spice, pytest.mark.slow]

CASES = {
    "lif_neuron": Case("digits_spiking", (), sparse=(3, 240)),
    "crossbar_row": Case("digits_crossbar", (), sparse=(2, 200)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def reference(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference.of(case, tmp_path_factory.mktemp("reference"))


def test_merged_equals_stepped_within_the_noise_of_ngspice(reference: Reference) -> None:
    merging = difference(reference.stepped, reference.merged)
    noise = difference(reference.gold, reference.merged)
    for layer, figures in merging.items():
        assert figures["events"] >= 5, layer
        assert figures["flips"] <= noise[layer]["flips"], layer
        assert figures["late"] == 0, layer
        assert figures["energy_pct"] <= noise[layer]["energy_pct"], layer
    assert saved(reference.stepped, reference.merged)["bank_steps"]["saved_pct"] > 80


def test_merging_moves_a_surrogate_by_at_most_half_of_its_error(
    case: Case, reference: Reference, tmp_path: Path
) -> None:
    rewire = rasters(case, reference.merged)
    stepped, merged = (
        run_on(case.load(), "surrogate", tmp_path, merge=merge, rewire=rewire) for merge in (False, True)
    )
    merging, closed_loop = (difference(one, merged) for one in (stepped, reference.merged))
    assert merging[ALL]["energy_pct"] <= 0.5 * closed_loop[ALL]["energy_pct"]
    assert abs(merging[ALL]["net_pct"]) <= 0.5 * closed_loop[ALL]["energy_pct"]
    assert merging[ALL]["flips"] <= 0.5 * closed_loop[ALL]["flips"]
    assert merging[ALL]["late"] == 0
