"""All errors of the simulator and their tree.

SimcoreError
├── UserError            exit code 2: something that the user wrote or named is wrong
│   ├── ScenarioError    a scenario file or `--set` option
│   ├── SweepError       a sweep file of `simcore explore`
│   ├── CircuitError     a circuit folder: manifest, netlist, device models
│   ├── BundleError      a surrogate bundle
│   ├── WeightsError     a weight file
│   ├── DatasetError     a data set that is missing or damaged
│   ├── ResultError      a stored run that is missing or damaged
│   └── RegistryError    a plug-in name that nobody registered
├── SolverError          exit code 3: ngspice is missing, crashed, hung or did not converge
└── ContractError        exit code 1: a plug-in broke the bank contract
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FailedJob:
    """One row of a triage table."""

    job: str
    params: str
    reason: str
    """Why, with the last lines of the solver's log."""
    deck: str
    """Where its deck was saved."""


class SimcoreError(Exception):
    """Base of all errors; `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(SimcoreError):
    """Something that the user wrote or named is wrong."""

    exit_code = 2


class ScenarioError(UserError):
    """A scenario file or a `--set` option is wrong."""


class SweepError(UserError):
    """A sweep file is wrong."""


class CircuitError(UserError):
    """A circuit folder (manifest, netlist, device models) is wrong."""


class BundleError(UserError):
    """A surrogate bundle is missing, damaged or belongs to another circuit."""


class WeightsError(UserError):
    """A weight file is missing, damaged or has the wrong shape."""


class DatasetError(UserError):
    """A data set is missing, damaged or has values outside its range."""


class ResultError(UserError):
    """A stored run is missing, damaged or newer than this program."""


class RegistryError(UserError):
    """A plug-in name that nobody registered."""


class SolverError(SimcoreError):
    """ngspice is missing, of an unsupported version, crashed, hung or did not converge."""

    exit_code = 3
    triage: tuple["FailedJob", ...] = ()
    """Solver jobs that failed while all others were finished."""


class ContractError(SimcoreError):
    """A bank, stage or architecture broke the contract of `docs/bank-contract.md`."""
