"""Plug-ins by name."""

import pytest

from simcore import registry
from simcore.errors import RegistryError
from tests.simcore import fakes


def test_plugin_is_loaded_by_its_entry_point() -> None:
    assert registry.load("backends", "exact") is fakes.open_exact


def test_names_are_sorted_and_hold_all_distributions() -> None:
    names = registry.names("backends")
    assert list(names) == sorted(names)
    assert {"exact", "spice", "surrogate", "ideal"} <= set(names)


@pytest.mark.parametrize("group", registry.GROUPS)
def test_unknown_name_lists_the_known_ones(group: str) -> None:
    known = ", ".join(registry.names(group))
    with pytest.raises(RegistryError, match=f"unknown .* 'qqq'; known: {known}$"):
        registry.load(group, "qqq")


def test_unknown_name_suggests_a_close_one() -> None:
    with pytest.raises(RegistryError, match="unknown backend 'exakt', did you mean 'exact'"):
        registry.load("backends", "exakt")


def test_plugin_that_cannot_be_imported_says_which_and_why() -> None:
    with pytest.raises(
        RegistryError, match=r"'broken' \(tests.simcore.no_such_module:open_bank\).*No module"
    ):
        registry.load("backends", "broken")
