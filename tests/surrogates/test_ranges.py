"""Which input of a model left its training range, how often and how far."""

import json

import numpy as np
import pytest

from simcore.bank import BankRequest, Raster, StepInput
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec, PortKind
from surrogates.annotate import AnnotatedBank
from surrogates.annotate import open_bank as open_annotated
from surrogates.bundle import BundleInfo, read_info
from surrogates.ranges import RangeCounter
from surrogates.runtime import SurrogateBank, open_bank
from surrogates.shipped import SHIPPED

SOURCE = SHIPPED / "lif_neuron" / "trunk"


@pytest.fixture
def info() -> BundleInfo:
    """A bundle with ranges -1 to 3 in driven steps, 0 to 0 in idle ones."""
    found = read_info(SOURCE)
    n = len(found.columns)
    ranges = {
        "driven": {"low": (-1.0,) * n, "high": (3.0,) * n},
        "idle": {"low": (0.0,) * n, "high": (0.0,) * n},
    }
    return BundleInfo.model_validate(found.model_dump() | {"ranges": ranges})


def _rows(info: BundleInfo, n: int, **columns: list[float]) -> np.ndarray:
    x = np.zeros((n, len(info.columns)), dtype=np.float32)
    for name, values in columns.items():
        x[:, info.columns.index(name)] = values
    return x


def test_columns_are_counted_with_their_largest_excess(info: BundleInfo) -> None:
    counter = RangeCounter(info)
    out = counter.outside("driven", _rows(info, 4, w=[3.0, 4.0, -3.0, 3.03], v_mem=[0.0, 0.0, 5.0, 0.0]))
    assert out.tolist() == [False, True, True, False]
    assert counter.outside("driven", _rows(info, 2, w=[3.5, 1.0])).tolist() == [True, False]
    assert counter.outside("driven", _rows(info, 2, w=[1.0, 1.0])) is None
    assert counter.outside("idle", _rows(info, 1, v_ca=[np.nan])).tolist() == [True]
    found = counter.report()
    assert (found["rows"], found["outside"]) == (9, 4)
    worst = {
        "column": "w", "graph": "driven", "rows": 3, "value": -3.0, "low": -1.0, "high": 3.0,
        "excess_pct": 50.0,
    }  # fmt: skip
    assert found["worst"] == worst
    assert [(x["column"], x["graph"], x["rows"], x["value"]) for x in found["columns"]] == [
        ("w", "driven", 3, -3.0), ("v_ca", "idle", 1, None), ("v_mem", "driven", 1, 5.0),
    ]  # fmt: skip
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("n", [0, 63, 64, 200])
@pytest.mark.parametrize("stray", [np.nan, np.inf, -2.0, 3.5])
def test_each_row_outside_is_found_among_many(info: BundleInfo, n: int, stray: float) -> None:
    rng = np.random.default_rng(n)
    x = rng.uniform(-1, 3, (n, len(info.columns))).astype(np.float32)
    outside = rng.random(n) < 0.05
    x[outside, rng.integers(0, x.shape[1], outside.sum())] = stray
    found = RangeCounter(info).outside("driven", x)
    assert (np.zeros(n, np.bool_) if found is None else found).tolist() == outside.tolist()


@pytest.fixture
def bank() -> SurrogateBank:
    spec = read_info(SOURCE).spec
    request = BankRequest(spec, _params(spec, 3), {"family": str(SOURCE)})
    return open_bank(request)


def _params(spec: CircuitSpec, n: int) -> np.ndarray:
    row = [port.default for port in spec.of(PortKind.PARAM) for _ in port.columns]
    return np.tile(row, (n, 1))


def test_a_bank_tells_its_worst_input(bank: SurrogateBank) -> None:
    one = np.full(3, bank.spec.period_ps)
    for _ in range(2):
        bank.step(StepInput(np.arange(3), one, np.array([[1.0], [1.0], [20.0]]), False))
    found = bank.provenance()["out_of_range"]
    assert (found["rows"], found["outside"]) == (6, 2)
    assert (found["worst"]["column"], found["worst"]["rows"], found["worst"]["value"]) == ("w", 2, 20.0)
    assert bank.counters()["out_of_range"].sum() == 2


def _annotated() -> AnnotatedBank:
    spec = load_circuit("crossbar_row")
    return open_annotated(BankRequest(spec, _params(spec, 3)))


@pytest.mark.parametrize("kind", ["surrogate", "annotate"])
def test_a_replay_counts_as_single_steps_do(kind: str, bank: SurrogateBank) -> None:
    _check_replay(bank if kind == "surrogate" else _annotated())


def _check_replay(bank: SurrogateBank | AnnotatedBank) -> None:
    n = 5
    high = bank.spec.high(PortKind.INPUT)
    inputs = np.linspace(0 * high, 2 * high, n)
    raster = Raster(bank.params[0], np.full(n, bank.spec.period_ps), inputs, np.zeros(n, dtype=np.bool_))
    (answer,) = bank.replay([raster])
    replayed = bank.provenance()["out_of_range"]
    assert (replayed["rows"], replayed["outside"]) == (n, answer.out_of_range)
    assert answer.out_of_range >= 2
    assert replayed["worst"]["column"] in bank.spec.columns(PortKind.INPUT)
    assert bank.counters()["out_of_range"].sum() == 0, "a replay leaves the bank alone"
