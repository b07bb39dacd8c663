"""Physics features: numpy and ONNX agree, and every mistake in a manifest is named."""

from typing import Any

import numpy as np
import pytest

from simcore.errors import CircuitError
from simcore.spec import PortKind
from surrogates.bundle import open_session
from surrogates.design import Design, fit_design
from surrogates.graph import GraphBuilder
from surrogates.layout import Layout
from tests.surrogates.fakes import crossbar_spec, lif_spec

KINDS = (PortKind.INPUT, PortKind.PARAM, PortKind.STATE)
EXPRESSIONS = {
    "g": "4.9e-6 + 7.8e-6 * max(w, 0)",
    "current": "sum(g * in)",
    "power": "sum(g * square(in)) - sum(g) * v_out**2",
    "largest": "max(in) - min(w * in)",
    "bent": "clip(tanh(gain * sum(w * in)), -0.7, +0.7) / exp(-abs(v_out))",
    "product": "dot(in, w) * gain",
    "root": "sqrt(abs(v_out)) + log(gain) - (gain / 10) ** 1.5",
}


def _graph_of(design: Design, x: Any) -> Any:
    builder = GraphBuilder("design")
    z = design.emit(builder, "x")
    data = builder.finish({"x": x.shape[1]}, {"z": (z, len(design.names))}, {})
    return open_session(data, "design").run(["z"], {"x": x})[0]


def _random_rows(layout: Layout, n: int) -> Any:
    rng = np.random.default_rng(3)
    spec = layout.spec
    columns = [rng.uniform(spec.low(kind), spec.high(kind), (n, spec.width(kind))) for kind in KINDS]
    periods = rng.integers(1, 128, n) * spec.period_ps
    return layout.rows(columns[0], columns[1], columns[2], periods)


@pytest.mark.parametrize("idle", [False, True])
def test_graph_computes_what_numpy_computes(idle: bool) -> None:
    spec = crossbar_spec(rows=7, features=EXPRESSIONS)
    x = _random_rows(Layout(spec), 500)
    design = fit_design(spec, x, kinds=KINDS, idle=idle)
    assert {"gain", "v_out", "current", "power", "largest", "bent", "product", "root"} <= set(design.names)
    assert ("log_duration" in design.names) is idle
    assert np.abs(_graph_of(design, x) - design.standardise(x)).max() < 2e-5


def test_array_ports_enter_through_features_only() -> None:
    spec = crossbar_spec(rows=4)
    design = fit_design(spec, _random_rows(Layout(spec), 50), kinds=KINDS, idle=False)
    assert "g" not in design.names
    assert not {name for name in design.names if name.startswith(("in", "w"))}


def test_constant_columns_are_left_out() -> None:
    spec = lif_spec()
    x = _random_rows(Layout(spec), 50)
    x[:, Layout(spec).slices["V_leak"]] = 0.5
    assert "V_leak" not in fit_design(spec, x, kinds=KINDS, idle=False).names


def test_a_difference_that_is_mostly_rounding_is_left_out() -> None:
    """A circuit at rest: the output and where the inputs would put it differ by millionths of a volt."""
    spec = crossbar_spec(features={"aim": "0.1 * sum(w * in)", "swing": "v_out - aim"})
    layout, rng = Layout(spec), np.random.default_rng(1)
    x = _random_rows(layout, 500).astype(np.float64)
    aim = 0.1 * (x[:, layout.slices["w"]] * x[:, layout.slices["in"]]).sum(axis=1)
    for spread_v, kept in ((1e-5, False), (1e-2, True)):
        x[:, layout.slices["v_out"].start] = aim + rng.normal(0, spread_v, len(x))
        names = fit_design(spec, x.astype(np.float32), kinds=KINDS, idle=True).names
        assert ("swing" in names) is kept
        assert "aim" in names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v_mem + q", "circuit 'fake_lif', feature 'f': unknown name 'q'; known: w, V_leak, v_mem, v_ca"),
        ("spike * 2", "unknown name 'spike'"),
        ("sin(w)", "unknown function 'sin'; known: abs"),
        ("w +", "is not an expression"),
        ("clip(w, 0)", r"clip\(\) takes 3 argument\(s\), got 2"),
        ("w if w > 0 else 0", "is not an expression|not allowed"),
        ("w.real", "'w.real' is not allowed"),
        ("'w'", "not allowed"),
    ],
)
def test_a_wrong_feature_is_named(text: str, message: str) -> None:
    spec = lif_spec(features={"f": text})
    with pytest.raises(CircuitError, match=message):
        fit_design(spec, _random_rows(Layout(spec), 5), kinds=KINDS, idle=False)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"f": "in * w"}, "feature 'f' is an array of 6: reduce it"),
        ({"f": "dot(in, gain)"}, r"dot\(\) of 6 and 1 values, expected a multiple"),
        ({"f": "dot(in)"}, r"dot\(\) takes 2 argument\(s\), got 1"),
        ({"gain": "v_out"}, "feature 'gain': the name is taken"),
        ({"f": "sum(late)", "late": "in * w"}, "unknown name 'late'"),
    ],
)
def test_a_wrong_array_feature_is_named(features: dict[str, str], message: str) -> None:
    spec = crossbar_spec(features=features)
    with pytest.raises(CircuitError, match=message):
        fit_design(spec, _random_rows(Layout(spec), 5), kinds=KINDS, idle=False)
