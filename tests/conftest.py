"""The command line, run in the test's own process: starting another one takes seconds."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from simcore import cli, terminal


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_cache_but_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep stored solver results of one test, and of the user, out of the others."""
    monkeypatch.setenv("SIMCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def neuron_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle of `lif_neuron`, see `closed_form_bundle`."""
    from tests.closed_form_bundle import train_on_closed_form  # scikit-learn takes a second to import

    return train_on_closed_form(tmp_path_factory.mktemp("neuron"))


@pytest.fixture
def simcore(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `simcore ARGS`; an exception that is no exit fails the test."""

    def call(*args: object, width: int = 100) -> Outcome:
        monkeypatch.setattr(cli.app, "registered_groups", [])
        monkeypatch.setattr(sys, "argv", ["simcore", *map(str, args)])
        monkeypatch.setattr(terminal.console, "width", width)
        with pytest.raises(SystemExit) as left:
            cli.main()
        shown = capsys.readouterr()
        return Outcome(int(left.value.code or 0), shown.out, shown.err)

    return call
