"""What a bundle's answer costs: CPU time per event, one thread, in a large batch."""

import time

import numpy as np

from surrogates.batch import rows_per_call
from surrogates.bundle import SurrogateBundle
from surrogates.features import Rows

BATCH = 16_384
"""Rows per measurement, as many events as a layer of thousands of neurons has on a clock edge."""
REPEATS = 5


def us_per_event(bundle: SurrogateBundle, graph: str, x: Rows) -> float:
    """Return the microseconds of CPU that a row of `x` costs in a batch; the best of REPEATS."""
    rows = np.ascontiguousarray(np.resize(x, (BATCH, x.shape[1])))
    best, size = np.inf, rows_per_call(x.shape[1])
    for _ in range(REPEATS):
        start = time.process_time()
        for first in range(0, BATCH, size):
            bundle.run(graph, rows[first : first + size])
        best = min(best, time.process_time() - start)
    return float(1e6 * best / BATCH)
