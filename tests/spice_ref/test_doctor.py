"""What `simcore doctor` says of ngspice."""

from pathlib import Path

import pytest

from spice_ref.doctor import examine
from tests.test_bad_input import workers_run

pytestmark = pytest.mark.spice


def test_solver_is_shown_with_its_version() -> None:
    library, solver = examine()
    assert (library.name, library.ok, library.remedy) == ("libngspice", True, "")
    assert (solver.name, solver.ok, solver.detail, solver.remedy) == ("ngspice", True, "version 39", "")


def test_solver_of_another_version_is_shown_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import spice_ref.ngspice\nspice_ref.ngspice.SUPPORTED = 99\n"
    workers_run(code, "sitecustomize.py", tmp_path, monkeypatch)
    solver = examine()[1]
    assert not solver.ok
    assert solver.detail == "ngspice 39 found, 99 is needed"
    assert solver.remedy.endswith("or set SIMCORE_NGSPICE_ANY_VERSION=1")


def test_library_that_is_missing_is_shown_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    (library,) = examine()
    assert not library.ok
    assert library.detail == "/nowhere/libngspice.so does not load"
    assert library.remedy.startswith("correct or unset NGSPICE_LIBRARY_PATH; /nowhere/libngspice.so: cannot")
