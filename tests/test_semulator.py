"""The study of the MAC block: its bound, its figures, and a page of what was measured so far."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.semulator.measure import bound_v2, output_errors
from benchmarks.semulator.page import write_page


@pytest.mark.parametrize(("share", "digit"), [(0.3, 3), (0.5, 3), (0.68, 2)])
def test_normal_errors_at_the_bound_have_the_promised_share(share: float, digit: int) -> None:
    off = np.random.default_rng(1).normal(0.0, np.sqrt(bound_v2(share, digit)), 400_000)
    assert (np.abs(off) < 0.5 * 10.0**-digit).mean() == pytest.approx(share, abs=0.003)


def test_figures_of_known_errors() -> None:
    expected = np.linspace(-0.5, 0.5, 1001)[:, None]
    off = np.where(np.arange(1001) % 2, 1e-3, -3e-3)[:, None]
    found = output_errors(expected + off, expected)
    assert found["mae_v"] == pytest.approx(2e-3, rel=1e-3)
    assert found["rms_v"] == pytest.approx(np.sqrt(5) * 1e-3, rel=1e-3)
    assert found["bias_v"] == pytest.approx(-1e-3, rel=3e-3)
    assert (found["max_v"], found["share_below"]) == (pytest.approx(3e-3), 0.0)
    assert found["mae_of_range"] == pytest.approx(2e-3, rel=1e-3)
    assert sum(found["histogram"]["counts"]) == 1001


def test_page_has_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip(
        "matplotlib", reason="matplotlib is not installed: pip install 'simcore-ams[figures]'"
    )
    times = {"spice": {"s": 0.02, "points": 20.0}, "cellsum": {"1": 1e-4, "256": 4e-6}, "machine": "one"}
    write_page({"times": {"a": times}}, tmp_path)
    text = (tmp_path / "semulator.md").read_text()
    assert "| (2, 4, 64, 2), 1 output | ours (`cellsum`) | 100 us | 4.00 us | 5,000 |" in text
    assert "## Loss against samples" not in text
