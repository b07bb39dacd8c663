"""Room on the disk for an HDF5 file that grows: HDF5 damages a file when the disk is full in mid-write."""

import os

import h5py

MARGIN_BYTES = 1 << 18
"""Room for HDF5's own records, beside the data."""


def reserve(file: h5py.File, n_bytes: int) -> None:
    """Have the disk set room aside behind the file, or raise OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.id.get_vfd_handle(), file.id.get_filesize(), n_bytes + MARGIN_BYTES)


def give_back(file: h5py.File) -> None:
    """Flush, and cut off what was reserved and not used."""
    file.flush()
    os.ftruncate(file.id.get_vfd_handle(), file.id.get_filesize())
