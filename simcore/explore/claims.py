"""Claims: which process runs which point, in two tables beside Optuna's; what a dead process held is free.

A point is claimed by an insertion under two unique keys, the point and its place in the study. So no point
is run twice and the number of trials is exact, whatever the database and however many processes share it.
"""

import hashlib
import json
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from simcore.explore.axes import Point

LOST_S = 60.0
"""Age of the last sign of life from which on a process of another machine counts as dead."""
NOBODY = ""
"""Owner of what was given up."""
_META = sa.MetaData()
_CLAIMS = sa.Table(
    "simcore_claims", _META,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("point", sa.String(64), primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("trial", sa.Integer),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.UniqueConstraint("study", "place"),
)  # fmt: skip
_OWNERS = sa.Table(
    "simcore_owners", _META,
    sa.Column("study", sa.String(255), primary_key=True),
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("beat_s", sa.Float(53), nullable=False),
)  # fmt: skip


class Answer(Enum):
    """What became of a claim."""

    MINE = "mine"
    TAKEN = "taken"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Claim:
    """A point that some process runs or has run."""

    point: dict[str, Any]
    owner: str
    trial: int | None
    """Number of its Optuna trial; None where the process died before it asked for one."""
    is_done: bool


class Claims:
    """The claims of one study, as one process sees them."""

    def __init__(self, engine: sa.Engine, study: str) -> None:
        self._engine, self._study = engine, study
        process = psutil.Process()
        self.owner = (
            f"{socket.gethostname()}/{process.pid}/{process.create_time():.2f}/{uuid.uuid4().hex[:8]}"
        )
        _META.create_all(engine)

    def beat(self) -> None:
        """Give a sign of life."""
        mine = (_OWNERS.c.study == self._study) & (_OWNERS.c.owner == self.owner)
        with self._engine.begin() as link:
            found = link.execute(sa.update(_OWNERS).where(mine).values(beat_s=time.time()))
            if not found.rowcount:
                row = {"study": self._study, "owner": self.owner, "beat_s": time.time()}
                link.execute(sa.insert(_OWNERS).values(**row))

    def n_owners(self) -> int:
        """Return how many processes ever worked on the study."""
        with self._engine.connect() as link:
            count = sa.select(sa.func.count()).select_from(_OWNERS).where(_OWNERS.c.study == self._study)
            return int(link.execute(count).scalar_one())

    def claim(self, point: Point, limit: int, trial: int | None = None) -> Answer:
        """Claim a point for this process, unless it was claimed before or `limit` points were."""
        while True:
            claims = self.all()
            if key_of(point) in claims:
                return Answer.TAKEN
            if len(claims) >= limit:
                return Answer.FULL
            row = {
                "study": self._study, "point": key_of(point), "place": len(claims), "owner": self.owner,
                "params": json.dumps(dict(point)), "trial": trial, "done": False,
            }  # fmt: skip
            try:
                with self._engine.begin() as link:
                    link.execute(sa.insert(_CLAIMS).values(**row))
            except IntegrityError:  # another process was faster: with this point, or with another one
                continue
            return Answer.MINE

    def adopt(self, claim: Claim) -> bool:
        """Take over what a dead process held; False where another process did."""
        return self._update(claim.point, _CLAIMS.c.owner == claim.owner, owner=self.owner)

    def release(self) -> None:
        """Give up what this process claimed and has not finished."""
        mine = (_CLAIMS.c.study == self._study) & (_CLAIMS.c.owner == self.owner) & ~_CLAIMS.c.done
        with self._engine.begin() as link:
            link.execute(sa.update(_CLAIMS).where(mine).values(owner=NOBODY))

    def attach(self, point: Point, trial: int) -> None:
        """Note the number of a claimed point's trial."""
        self._update(point, sa.true(), trial=trial)

    def finish(self, point: Point) -> None:
        """Note that a claimed point has been run, well or not."""
        self._update(point, sa.true(), done=True)

    def all(self) -> dict[str, Claim]:
        """Return all claims by the key of their point, in the order of their places."""
        with self._engine.connect() as link:
            chosen = sa.select(_CLAIMS).where(_CLAIMS.c.study == self._study).order_by(_CLAIMS.c.place)
            rows = link.execute(chosen).all()
        return {row.point: Claim(json.loads(row.params), row.owner, row.trial, row.done) for row in rows}

    def orphans(self) -> list[Claim]:
        """Return the unfinished claims of dead processes."""
        open_ = [claim for claim in self.all().values() if not claim.is_done and claim.owner != self.owner]
        if not open_:
            return []
        with self._engine.connect() as link:
            rows = link.execute(sa.select(_OWNERS).where(_OWNERS.c.study == self._study)).all()
        beats = {row.owner: row.beat_s for row in rows}
        return [claim for claim in open_ if not _lives(claim.owner, beats)]

    def _update(self, point: Point, condition: sa.ColumnElement[bool], **values: Any) -> bool:
        here = (_CLAIMS.c.study == self._study) & (_CLAIMS.c.point == key_of(point))
        with self._engine.begin() as link:
            found = link.execute(sa.update(_CLAIMS).where(here & condition).values(**values))
        return bool(found.rowcount)


def key_of(point: Point) -> str:
    """Return the key of a point: equal for equal values of all axes."""
    return hashlib.sha256(json.dumps(dict(point), sort_keys=True).encode()).hexdigest()


def _lives(owner: str, beats: Mapping[str, float]) -> bool:
    """Return whether a process works on: this machine's are looked at, others by their last sign of life."""
    if owner == NOBODY:
        return False
    host, pid, created, _ = owner.rsplit("/", 3)
    if host != socket.gethostname():
        return time.time() - beats.get(owner, 0.0) < LOST_S
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(created)) < 1.0)
    except psutil.Error:
        return False
