"""A solver process: takes tasks from a pipe, answers them, leaves after any failure.

Started by `spice_ref.farm` as `python -m spice_ref.worker FD`, so that the user's own script is never
imported again. After an exit callback ngspice may abort at its next use or at exit: the answer is sent
first, and the process leaves by `os._exit`.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from simcore.errors import SolverError


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a task, or of the solver's start: a value, or the reason why there is none."""

    value: Any
    failure: str | None = None
    cpu_s: float = 0.0


def main(descriptor: int) -> None:
    """Serve tasks until the pipe closes; the first answer is the solver's version."""
    pipe: Connection[Answer, Any] = Connection(descriptor)
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    try:
        _serve(pipe)
    except (EOFError, ConnectionError):
        pass  # the farm is gone
    finally:
        os._exit(0)


def leave_with(parent: int) -> None:
    """Leave when the parent process is gone: a job that hangs never looks at the pipe again."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _serve(pipe: "Connection[Answer, Any]") -> None:
    try:
        from spice_ref.ngspice import Solver

        solver = Solver()
    except SolverError as error:
        pipe.send(Answer(None, str(error)))
        return
    pipe.send(Answer(solver.version))
    while True:
        task = pipe.recv()
        start = time.process_time()
        try:
            answer = Answer(task.run(solver), None, time.process_time() - start)
        except SolverError as error:
            pipe.send(Answer(None, str(error), time.process_time() - start))
            return  # a bad deck may have poisoned the library
        except Exception as error:
            pipe.send(Answer(None, f"{type(error).__name__}: {error}", time.process_time() - start))
            raise
        pipe.send(answer)


if __name__ == "__main__":
    # `-m` runs this file as __main__: use the imported module, whose Answer the farm can unpickle.
    from spice_ref import worker

    worker.main(int(sys.argv[1]))
