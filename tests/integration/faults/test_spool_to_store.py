"""From a training process that is killed to rows in SQL: nothing is lost, nothing is doubled."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import pytest

from ablate.domain import AttemptState
from ablate.spool.batch import Ending
from ablate.spool.spool import SpoolReader
from ablate.store import open_store
from ablate.testing.factories import make_plan, must_claim
from tests.support.patience import PATIENCE_S

WRITE = """
    import os, sys
    from pathlib import Path
    from ablate.domain import Event
    from ablate.spool.spool import SpoolWriter
    writer = SpoolWriter(Path(sys.argv[1]), attempt_id=int(sys.argv[2]))
    writer.started(None, None)
    step = 0
    while True:
        writer.points(step, 1e9 + step, {f"key{n}": step + n / 8 for n in range(8)})
        if step % 50 == 0:
            writer.event(Event("mark", step, {}, 1e9 + step))
            writer.points(step, 2e9 + step, {"valid": step})
        os.write(1, b"%d\\n" % step)
        step += 1
"""

INGEST = """
    import os, pickle, sys
    from pathlib import Path
    from ablate.store import open_store
    from ablate.spool.spool import SpoolReader
    store = open_store(sys.argv[1])
    claim = pickle.loads(bytes.fromhex(sys.argv[3]))
    reader = SpoolReader(Path(sys.argv[2]), store.attempts(claim.run.id)[0].spool_offset)
    os.write(1, b"ready\\n")
    while True:
        batch = reader.read(max_points=200)
        reader.seek(store.ingest(claim, batch))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ablate.db"
    return request.getfixturevalue("postgres_url")


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> list[str]:
    os.kill(process.pid, signal.SIGKILL)
    return process.communicate(timeout=PATIENCE_S)[0].split()


def test_everything_acknowledged_is_stored_once_though_all_are_killed(url, tmp_path):
    rng = random.Random(7)
    with closing(open_store(url)) as store:
        check_everything_acknowledged_is_stored_once(store, url, tmp_path, rng)


def check_everything_acknowledged_is_stored_once(store, url, tmp_path, rng):
    import pickle

    store.apply_plan(make_plan(variants=("a",), seeds=(0,)))
    claim = must_claim(store)
    spool = tmp_path / "1.spool"
    writer = start(WRITE, spool, claim.attempt_id)
    for last in (False, False, False, True):
        ingester = start(INGEST, url, spool, pickle.dumps(claim).hex())
        assert ingester.stdout
        assert ingester.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.3))
        # On a busy machine it may not have stored anything yet; the last one shall have.
        deadline = time.monotonic() + PATIENCE_S
        while last and not stored(store, claim) and time.monotonic() < deadline:
            time.sleep(0.05)
        kill(ingester)
    acknowledged = int(kill(writer)[-1])
    stored_before = stored(store, claim)

    (claim,) = store.take_over("runner-2", store.holds())
    with SpoolReader(spool, stored_before) as reader:
        while (batch := reader.read()).end_offset != batch.start_offset:
            reader.seek(store.ingest(claim, batch))
    store.finish(claim, Ending(state=AttemptState.LOST))

    assert stored_before > 0
    curves = store.curves([claim.run.id], [f"key{n}" for n in range(8)])
    for n, curve in enumerate(curves):
        assert curve.steps == tuple(range(len(curve.steps)))
        assert len(curve.steps) in (acknowledged + 1, acknowledged + 2)
        assert curve.values == tuple(step + n / 8 for step in curve.steps)
        assert curve.times == tuple(1e9 + step for step in curve.steps)
    (valid,) = store.curves([claim.run.id], ["valid"])
    assert valid.times == tuple(2e9 + step for step in valid.steps)
    marks = [event.step for _, event in store.events([claim.run.id])]
    assert marks == list(range(0, marks[-1] + 1, 50))
    assert marks[-1] >= acknowledged // 50 * 50


def stored(store, claim) -> int:
    """Return how many bytes of the spool are in SQL."""
    return store.attempts(claim.run.id)[0].spool_offset
