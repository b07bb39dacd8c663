"""Where bundles lie, and which one a scenario's `family` means."""

from pathlib import Path

from simcore.errors import BundleError
from simcore.spec import CircuitSpec
from surrogates.bundle import MANIFEST, BundleInfo, check_spec, read_info
from surrogates.origin import is_built_in, on_command_line

BEST = "best"
SHIPPED = Path(__file__).parent / "bundles"


def bundle_key(spec: CircuitSpec) -> str:
    """Return the folder name of a circuit's bundles: its name, and its sizes where it has any."""
    return "-".join([spec.name, *(str(size) for size in spec.sizes.values())])


def bundle_root(spec: CircuitSpec) -> Path:
    """Return where the bundles of a circuit go: the package for a built-in one, else beside the circuit."""
    return (SHIPPED if is_built_in(spec) else Path(spec.folder) / "bundles") / bundle_key(spec)


def list_bundles(spec: CircuitSpec) -> list[tuple[Path, BundleInfo]]:
    """Return all bundles of a circuit's name and sizes, its own and those that ship; other specs included."""
    roots = dict.fromkeys([bundle_root(spec), SHIPPED / bundle_key(spec)])
    found = [manifest for root in roots for manifest in sorted(root.glob(f"*/{MANIFEST}"))]
    return [(manifest.parent, read_info(manifest.parent)) for manifest in found]


def find_bundle(spec: CircuitSpec, family: str, base: Path) -> Path:
    """Return the folder that `family` names: `best`, a family, or a path (from `base`)."""
    if "/" in family or (base / family / MANIFEST).exists():
        path = (base / family).expanduser()
        if not (path / MANIFEST).exists():
            raise BundleError(f"no bundle at {path} (no {MANIFEST}); {_hint(spec)}")
        return path
    bundles = list_bundles(spec)
    named = [(path, info) for path, info in bundles if family in (BEST, info.family)]
    if not named:
        known = ", ".join(info.family for _, info in bundles) or "none"
        raise BundleError(
            f"no bundle of family '{family}' for circuit '{spec.name}' in {bundle_root(spec)}; "
            f"there: {known}; {_hint(spec)}"
        )
    fitting = [(path, info) for path, info in named if info.spec.hash == spec.hash]
    if not fitting:
        check_spec(*named[0], spec)
    return min(fitting, key=lambda found: float(found[1].metrics["closed_loop"]["selection"]["score"]))[0]


def _hint(spec: CircuitSpec) -> str:
    return f"train one with: simcore surrogate train {on_command_line(spec)}"
