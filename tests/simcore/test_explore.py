"""Studies on the fakes: every point once, resumable, shared, failures recorded, the truth beside the best."""

import csv
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from simcore import load_scenario, run
from simcore.errors import ResultError
from simcore.explore import Exploration, Sweep, explore, load_sweep, validate
from simcore.explore.claims import Claims
from simcore.explore.record import records_of
from simcore.explore.search import Search
from simcore.explore.store import open_store
from simcore.explore.trial import Outcome, run_trial
from tests.simcore.explored import GRID, RANGE, Spot, sweep_file


@pytest.fixture(autouse=True)
def quick_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no charts: the page has tests of its own."""
    monkeypatch.setattr("simcore.explore.page.charts", lambda *_: [])


def studied(sweep: Sweep, out: Path, pool: Spot | None = None, **options: Any) -> Exploration:
    return explore(sweep, out, pool=pool or Spot(), **options)


def test_a_grid_runs_each_point_once_and_has_the_figures_of_its_runs(tmp_path: Path) -> None:
    sweep, pool = load_sweep(sweep_file(tmp_path)), Spot()
    found = studied(sweep, tmp_path / "out", pool)
    assert sweep.is_grid
    ran = [(each["architecture"]["options"]["steps"], each["seed"]) for each in pool.ran]
    assert sorted(ran) == [(8, 1), (8, 2), (12, 1), (12, 2), (16, 1), (16, 2)]
    record = found.records[0]
    overrides = [f"{key}={value}" for key, value in record.point.items()]
    alone = run(load_scenario(tmp_path / "dots.toml", overrides)).summary()
    assert record.figures["energy"] == alone["energy_j"]
    assert record.figures["edp"] == pytest.approx(alone["energy_j"] * alone["latency_s"])


def test_a_finished_study_runs_nothing_again(tmp_path: Path) -> None:
    sweep, again = load_sweep(sweep_file(tmp_path)), Spot()
    first = studied(sweep, tmp_path / "out")
    second = studied(sweep, tmp_path / "out", again, resume=True)
    assert again.ran == []
    assert second.records == first.records


def test_ranges_are_searched_with_a_seed(tmp_path: Path) -> None:
    sweep = load_sweep(sweep_file(tmp_path, RANGE))
    first, second = (studied(sweep, tmp_path / name) for name in ("a", "b"))
    assert [r.point for r in first.records] == [r.point for r in second.records]
    assert len(first.records) == 8
    assert all(0.25 <= r.point["layers.first.params.gain"] <= 2.0 for r in first.records)
    assert [r.place for r in first.best] == list(range(8))
    assert first.best[0].figures["energy"] == min(r.figures["energy"] for r in first.records)


def test_more_trials_go_on_behind_those_that_are_there(tmp_path: Path) -> None:
    file, pool = sweep_file(tmp_path, RANGE), Spot()
    studied(load_sweep(file), tmp_path / "out")
    found = studied(load_sweep(file, trials=11), tmp_path / "out", pool)
    assert len(pool.ran) == 3
    assert len(found.records) == 11


@pytest.mark.parametrize("sampler", ["random", "qmc", "nsga2", "tpe"])
def test_a_sampler_that_names_points_again_still_finds_all_of_a_small_space(
    tmp_path: Path, sampler: str
) -> None:
    named = ('objectives = ["energy:min", "accuracy:max"]', f'objectives = ["energy"]\nsampler = "{sampler}"')
    pool = Spot()
    found = studied(load_sweep(sweep_file(tmp_path, GRID, named)), tmp_path / "out", pool)
    assert len(pool.ran) == len({str(settings) for settings in pool.ran}) == 6
    assert len(found.records) == 6


def test_a_stopped_study_goes_on_and_loses_no_point(tmp_path: Path) -> None:
    sweep, out = load_sweep(sweep_file(tmp_path)), tmp_path / "out"
    n = 0

    def stop(settings: Mapping[str, Any]) -> Outcome:
        nonlocal n
        n += 1
        if n == 4:
            raise KeyboardInterrupt
        return run_trial(settings)

    first, second = Spot(answer=stop), Spot()
    with pytest.raises(KeyboardInterrupt):
        studied(sweep, out, first)
    found = studied(sweep, out, second)
    finished = [str(settings) for settings in [*first.ran[:3], *second.ran]]
    assert len(finished) == len(set(finished)) == len(found.records) == 6


def test_a_killed_process_leaves_its_points_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, url = load_sweep(sweep_file(tmp_path, RANGE)), f"sqlite:///{tmp_path / 'study.db'}"
    monkeypatch.setattr(Claims, "release", lambda self: None)  # a killed process releases nothing
    dead = open_store(sweep, url)
    host, _, created, mark = dead.claims.owner.rsplit("/", 3)
    dead.claims.owner = f"{host}/{_free_pid()}/{created}/{mark}"

    def killed(settings: Mapping[str, Any]) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Search(sweep, dead, Spot(n=2, answer=killed)).run()
    (lost,) = dead.claims.all().values()
    store, pool = open_store(sweep, url), Spot()
    Search(sweep, store, pool).run()
    records = records_of(sweep, store)
    assert len(pool.ran) == len(records) == 8
    assert lost.point in [record.point for record in records]


def test_ctrl_c_waits_for_what_is_being_stored(tmp_path: Path) -> None:
    sweep, out, before = load_sweep(sweep_file(tmp_path)), tmp_path / "out", signal.getsignal(signal.SIGINT)

    def stop(settings: Mapping[str, Any]) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        return run_trial(settings)

    with pytest.raises(KeyboardInterrupt):
        studied(sweep, out, Spot(answer=stop))
    assert signal.getsignal(signal.SIGINT) is before
    pool = Spot()
    found = studied(sweep, out, pool)
    assert len(pool.ran) == 5  # the one that was interrupted had been stored
    assert len(found.records) == 6


def test_two_processes_on_one_store_share_one_study(tmp_path: Path) -> None:
    sweep, url = load_sweep(sweep_file(tmp_path, RANGE), trials=16), f"sqlite:///{tmp_path / 'study.db'}"
    pools = [Spot(n=2), Spot(n=2)]
    stores = [open_store(sweep, url) for _ in pools]
    threads = [
        threading.Thread(target=Search(sweep, store, pool).run)
        for store, pool in zip(stores, pools, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ran = [str(settings) for pool in pools for settings in pool.ran]
    assert len(ran) == len(set(ran)) == 16
    assert all(pool.ran for pool in pools)
    assert records_of(sweep, stores[0]) == records_of(sweep, stores[1])


def test_a_failed_trial_is_recorded_with_its_error_and_the_rest_goes_on(tmp_path: Path) -> None:
    sweep = load_sweep(sweep_file(tmp_path, GRID, ("[8, 12, 16]", "[8, -1, 16]"), ("seed = [1, 2]", "")))
    found = studied(sweep, tmp_path / "out")
    failed = [record for record in found.records if record.error]
    assert [record.point for record in failed] == [{"architecture.options.steps": -1}]
    assert "negative dimensions" in failed[0].error
    assert failed[0].place is None
    assert len(found.best) == 2
    assert "negative dimensions" in found.page.read_text()
    again = Spot()
    studied(sweep, tmp_path / "out", again)
    assert again.ran == []


def test_what_a_trial_raises_is_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no_such" in run_trial({"name": "x", "no_such": 1}).error
    monkeypatch.setattr("simcore.explore.trial.run", lambda *_, **__: {}[0])
    assert "KeyError: 0 (" in run_trial(_settings(tmp_path)).error


def test_constraints_decide_what_is_best(tmp_path: Path) -> None:
    file = sweep_file(tmp_path, GRID, ('["energy:min", "accuracy:max"]', '["energy"]'))
    free = studied(load_sweep(file), tmp_path / "free")
    middle = sorted(record.figures["energy"] for record in free.records)[3]
    bound = f'[constraints]\nenergy = ">= {middle!r}"\n[axes]'
    sweep = load_sweep(sweep_file(tmp_path, file.read_text(), ("[axes]", bound)))
    found = studied(sweep, tmp_path / "bound")
    assert found.best[0].figures["energy"] == middle
    assert not [r for r in found.records if r.is_feasible and r.figures["energy"] < middle]


def test_best_scenarios_are_ready_to_run(tmp_path: Path) -> None:
    found = studied(load_sweep(sweep_file(tmp_path)), tmp_path / "out")
    assert found.scenarios
    result = run(load_scenario(found.scenarios[0])).summary()
    assert result["energy_j"] == found.best[0].figures["energy"]
    front = [record.number for record in found.best if record.rank == 0]
    assert [int(path.stem.rpartition("-")[2]) for path in found.scenarios] == front


def test_the_table_has_a_row_per_trial_in_si_units(tmp_path: Path) -> None:
    found = studied(load_sweep(sweep_file(tmp_path)), tmp_path / "out")
    rows = list(csv.DictReader(found.table.read_text().splitlines()))
    assert [float(row["energy_j"]) for row in rows] == [r.figures["energy"] for r in found.records]
    assert {row["seed"] for row in rows} == {"1", "2"}


def test_the_best_are_run_once_on_the_truth_beside_their_twins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "TRUTH", "exact")  # `biased` has 1.5 times its latency
    sweep, out = load_sweep(sweep_file(tmp_path)), tmp_path / "out"
    found = studied(sweep, out, validate_best=2)
    done = [record for record in found.best if record.validated]
    assert done == found.best[:2]
    said = done[0].validated
    assert said["n_samples"] == 2
    assert said["true"]["energy"] < said["twin"]["energy"]
    ratio = said["true"]["energy"] / said["twin"]["energy"]
    assert said["corrected"]["energy"] == pytest.approx(ratio * done[0].figures["energy"])
    runs = {path: path.stat().st_mtime_ns for path in out.glob("validated/*/result.h5")}
    assert len(runs) == 4
    studied(sweep, out, validate_best=2)
    assert runs == {path: path.stat().st_mtime_ns for path in out.glob("validated/*/result.h5")}


def test_a_study_of_other_settings_is_refused_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    studied(load_sweep(sweep_file(tmp_path)), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ResultError, match="holds a study 'sweep' with other settings \\(axes\\)"):
        studied(load_sweep(sweep_file(tmp_path, GRID, ("16]", "20]"))), out)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {path.name for path in before} == {path.name for path in after}
    assert before == after


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:////no/such/folder/study.db", "cannot use the store sqlite:////no/such.*unable to open"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", "cannot use the store .*me:\\*\\*\\*@127.0.0.1:1/x"),
        ("study.db", "store 'study.db': expected a database URL"),
    ],
)
def test_a_store_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, url: str, reason: str
) -> None:
    from simcore.errors import UserError

    with pytest.raises(UserError, match=reason) as raised:
        studied(load_sweep(sweep_file(tmp_path), store=url), tmp_path / "out")
    assert "secret" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_resume_wants_a_study_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="there is no study in"):
        studied(load_sweep(sweep_file(tmp_path)), tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


def _settings(folder: Path) -> dict[str, Any]:
    import json

    sweep_file(folder)
    return dict(json.loads(load_scenario(folder / "dots.toml").model_dump_json()))


def _free_pid() -> int:
    """Return the id of a process that is no more."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child
