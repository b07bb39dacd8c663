"""Ctrl-C at a safe point: not inside a transaction, where it would leave the database locked."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Yield a function to call at safe points; it raises KeyboardInterrupt after a Ctrl-C.

    A second Ctrl-C comes through at once. Other threads than the main one get no signals.
    """
    seen = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        if seen.is_set():
            raise KeyboardInterrupt
        seen.set()

    def check() -> None:
        if seen.is_set():
            raise KeyboardInterrupt

    with _handled(note):
        yield check


@contextmanager
def ignored() -> Iterator[None]:
    """Ignore Ctrl-C; processes that are started meanwhile ignore it as long as they live."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
