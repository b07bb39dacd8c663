"""The ways that `python -m benchmarks` compares simulate the same thing."""

import shutil

import pytest

from benchmarks.speed import ways
from benchmarks.speed.cases import Case


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
@pytest.mark.parametrize("circuit", ["lif_neuron", "crossbar_row"])
def test_engine_and_c_loop_find_the_same_energy(circuit: str) -> None:
    case = Case(circuit, 10, n_steps=20)
    bundle = ways.bundle_of(case, "distilled")
    found = [
        *(ways.engine(case, bundle, ahead=ahead) for ahead in (True, False)),
        ways.compiled(case, bundle),
    ]
    ways.check_agreement(*found)
    assert found[0].energy_j == found[1].energy_j > 0
    with pytest.raises(RuntimeError, match="do not simulate the same"):
        ways.check_agreement(found[0], found[1]._replace(energy_j=1.01 * found[1].energy_j))


def test_published_way_and_flop_limit_take_time() -> None:
    case = Case("lif_neuron", 10, n_steps=20)
    bundle = ways.bundle_of(case, "distilled")
    assert 0 < ways.flop_limit(case, bundle) < ways.Published(case, bundle).run()
