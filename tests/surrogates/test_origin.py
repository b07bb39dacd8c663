"""A user's folder that bears the name of a built-in circuit stays the user's."""

import shutil
from pathlib import Path

import pytest

from simcore.errors import BundleError
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec
from surrogates.origin import on_command_line
from surrogates.shipped import BEST, SHIPPED, bundle_root, find_bundle


@pytest.fixture
def copy(tmp_path: Path) -> CircuitSpec:
    """The built-in neuron in a folder of the user's, its period changed."""
    folder = tmp_path / "my circuits" / "neuron"
    shutil.copytree(load_circuit("lif_neuron").folder, folder)
    shutil.copytree(Path(load_circuit("lif_neuron").folder).parents[1] / "models", tmp_path / "models")
    manifest = folder / "circuit.toml"
    manifest.write_text(manifest.read_text().replace("period_ps = 5000", "period_ps = 6000"))
    return load_circuit(str(folder))


def test_bundles_of_a_copy_go_beside_it_and_not_into_the_package(copy: CircuitSpec) -> None:
    assert bundle_root(load_circuit("lif_neuron")) == SHIPPED / "lif_neuron"
    assert bundle_root(copy) == Path(copy.folder) / "bundles" / "lif_neuron"


def test_a_copy_that_changes_nothing_may_use_what_ships(copy: CircuitSpec) -> None:
    same = load_circuit("lif_neuron").model_copy(update={"folder": copy.folder})
    assert find_bundle(same, BEST, Path()).parent == SHIPPED / "lif_neuron"


def test_the_command_that_trains_names_the_folder(copy: CircuitSpec) -> None:
    assert on_command_line(load_circuit("lif_neuron")) == "lif_neuron"
    assert on_command_line(load_circuit("crossbar_row")) == "crossbar_row"
    assert on_command_line(load_circuit("crossbar_row", sizes={"rows": 16})) == "crossbar_row:rows=16"
    with pytest.raises(BundleError, match=rf"simcore surrogate train '{copy.folder}'$"):
        find_bundle(copy, BEST, Path())
