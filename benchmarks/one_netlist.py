"""Many units of a circuit in one netlist: the job that `benchmarks.spice` sets beside one per unit."""

from dataclasses import dataclass

from simcore.bank import Raster
from simcore.clock import PS_PER_S
from simcore.spec import CircuitSpec, PortKind
from spice_ref.bank import Bench
from spice_ref.deck import edges_ps
from spice_ref.tasks import Solver


@dataclass(frozen=True, slots=True)
class Together:
    """Run one netlist of many neurons; the answer is how often the output of each rises through a level."""

    deck: str
    duration_ps: int
    outputs: tuple[str, ...]
    threshold: float
    label: str = "neurons in one netlist"
    params: str = ""

    def run(self, solver: Solver) -> list[int]:
        """Count the rises."""
        vectors = solver.run(self.deck, self.duration_ps / PS_PER_S)
        above = [vectors[name] >= self.threshold for name in self.outputs]
        return [int((~high[:-1] & high[1:]).sum()) for high in above]


def in_one_netlist(spec: CircuitSpec, bench: Bench, rasters: list[Raster]) -> Together:
    """Return the job of one deck that holds all units, each with the stimulus of its own deck.

    Without `bypass`, if the preset has it: with it sixteen neurons together did not converge.
    """
    decks = [bench.decks.raster(raster) for raster in rasters]
    head, _, first = decks[0].replace(" bypass=1", "").partition("\nx0 ")
    tail = first[first.index("\n.tran") :]
    lines = []
    for unit, deck in enumerate(decks):
        instance, sources = ("\nx0 " + deck.partition("\nx0 ")[2]).split("\n.tran")[0].strip().split("\n", 1)
        pins = [name.lower() for kind in (PortKind.INPUT, PortKind.OUTPUT) for name in spec.columns(kind)]
        words = instance.split()
        words = [f"x{unit}", *(f"{w}_{unit}" if w in pins else w for w in words[1:])]
        lines += [" ".join(words), sources.replace("v_w w 0", f"v_w_{unit} w_{unit} 0")]
    detector = bench.probe.detectors[0][1]
    assert detector.threshold is not None
    return Together(
        head + "\n" + "\n".join(lines) + tail,
        int(edges_ps(rasters[0].duration_ps)[-1]),
        tuple(f"{bench.probe.outputs[0]}_{unit}" for unit in range(len(rasters))),
        detector.threshold,
    )
