"""Where bundles lie, and which one a scenario's `family` means."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from simcore.errors import BundleError
from simcore.manifest import explain, load_circuit
from simcore.spec import CircuitSpec
from surrogates.bundle import MANIFEST, BundleInfo, check_spec, read_info
from surrogates.origin import is_built_in, on_command_line, origin

BEST = "best"
"""The default bundle, see `ranked`."""
ALL = "all"
"""All families whose libraries are installed."""
SLACK, GOOD = 1.25, 0.02
"""The default is the cheapest bundle whose error is at most SLACK times the smallest one, or GOOD."""
SHIPPED = Path(__file__).parent / "bundles"


class _Figures(BaseModel):
    model_config = ConfigDict(strict=True)


class _Score(_Figures):
    score: float


class _ClosedLoop(_Figures):
    selection: _Score
    test: dict[str, float | None] = {}
    """Missing where training was interrupted before it read the test part."""


class _Metrics(_Figures):
    """What is read of a bundle's metrics here and in the command line."""

    closed_loop: _ClosedLoop
    us_per_event: dict[str, float] = {}


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
    return [(manifest.parent, _measured(manifest)) for manifest in found]


def _measured(manifest: Path) -> BundleInfo:
    """Read a manifest that has the figures which bundles are ranked and listed by."""
    info = read_info(manifest.parent)
    try:
        _Metrics.model_validate(info.metrics)
    except ValidationError as error:
        raise BundleError(f"{manifest}: metrics.{explain(error)}") from error
    return info


def sized(spec: CircuitSpec) -> list[CircuitSpec]:
    """Return a circuit in all sizes that there are bundles of, its own first."""
    found = [spec]
    for root in dict.fromkeys([bundle_root(spec).parent, SHIPPED]):
        for manifest in sorted(root.glob(f"{spec.name}-*/*/{MANIFEST}")):
            sizes = read_info(manifest.parent).spec.sizes
            if sizes not in [each.sizes for each in found]:
                found.append(load_circuit(origin(spec), sizes=sizes))
    return found


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
        others = sorted(path.name for path in SHIPPED.glob(f"{spec.name}-*") if path.name != bundle_key(spec))
        if others and not bundles:
            known += f" (those of other sizes do not fit: {', '.join(others)})"
        raise BundleError(
            f"no bundle of family '{family}' for circuit '{spec.name}' in {bundle_root(spec)}; "
            f"there: {known}; {_hint(spec)}"
        )
    fitting = [(path, info) for path, info in named if info.spec.hash == spec.hash]
    if not fitting:
        check_spec(*named[0], spec)
    return ranked(fitting)[0][0]


def ranked(bundles: list[tuple[Path, BundleInfo]]) -> list[tuple[Path, BundleInfo]]:
    """Return bundles of one circuit, the default first: the cheapest of the good ones (SLACK, GOOD).

    The others follow by error. Error is the score on the selection part, in closed loop.
    """
    by_error = sorted(bundles, key=lambda found: score_of(found[1]))
    limit = max(SLACK * score_of(by_error[0][1]), GOOD) if by_error else 0.0
    near = [found for found in by_error if score_of(found[1]) <= limit]
    default = min(near, key=lambda found: cost_of(found[1]), default=None)
    return [*([default] if default else []), *(found for found in by_error if found is not default)]


def pareto_front(infos: list[BundleInfo]) -> list[BundleInfo]:
    """Return those that no other one beats in both error and cost, by error."""
    by_error = sorted(infos, key=lambda info: (score_of(info), cost_of(info)))
    cheaper = [
        all(cost_of(info) < cost_of(other) for other in by_error[:i]) for i, info in enumerate(by_error)
    ]
    return [info for info, is_on in zip(by_error, cheaper, strict=True) if is_on]


def score_of(info: BundleInfo) -> float:
    """Return the error that families are compared by: the sum of what a user sees."""
    return float(info.metrics["closed_loop"]["selection"]["score"])


def cost_of(info: BundleInfo) -> float:
    """Return the microseconds of a driven event; infinite where it was not measured."""
    return float(info.metrics.get("us_per_event", {}).get("driven", float("inf")))


def _hint(spec: CircuitSpec) -> str:
    return f"train one with: simcore surrogate train {on_command_line(spec)}"
