"""Writes trained weights as the small HDF5 files that ship with the package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from architectures.weights import SHIPPED


def save(name: str, layers: Sequence[dict[str, Any]], folder: Path = SHIPPED, **attributes: Any) -> None:
    """Write `fc1.weight`, `fc1.bias`, ... with the settings and accuracies as attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / f"{name}.h5", "w") as file:
        for i, layer in enumerate(layers):
            for part, values in layer.items():
                array = np.asarray(values)
                file.create_dataset(
                    f"fc{i + 1}.{part}", data=array, compression="gzip", compression_opts=9, shuffle=True
                )
        file.attrs.update(attributes)
