"""Any number under any name: from `run.log` through spool and SQL to every reader, bit for bit."""

from __future__ import annotations

import json
import math
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ablate
from ablate.app.exporting import point_blocks
from ablate.domain import Kind
from ablate.keys import metric_key
from ablate.spool.spool import SpoolReader
from ablate.store import open_store
from ablate.store.base import Store
from ablate.testing.factories import make_plan, must_claim
from tests.support.attempts import Attempt
from tests.support.faulty import FaultyProject
from tests.support.thorough import EVERY_HEALTH_CHECK, few_or_many

REFUSED = None
"""Expected of a value that is not stored."""
Expected = float | None

FLOATS = (np.float16, np.float32, np.float64)
INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
OF_TORCH = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32),
)
EDGES = [s * (2**n + d) for s in (1, -1) for n in (31, 53, 63) for d in (-1, 0, 1, 2**9, 2**10 + 1)]


def of_integer(value: int) -> Expected:
    return float(value) if -(2**63) <= value < 2**63 else REFUSED


def of_bits(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def of_numpy(kind: Any, data: bytes, is_array: bool) -> tuple[Any, Expected]:
    array = np.frombuffer(data[: np.dtype(kind).itemsize], kind)
    value = array.reshape(()) if is_array else array[0]
    if np.issubdtype(kind, np.integer):
        return value, of_integer(int(value))
    return value, float(value)


def of_torch(kind: torch.dtype, data: bytes) -> tuple[Any, Expected]:
    value = torch.tensor(list(data[: kind.itemsize]), dtype=torch.uint8).view(kind)[0]
    return value, float(value.to(torch.float64)) if kind.is_floating_point else float(value.item())


def of_decimal(value: Decimal) -> tuple[Any, Expected]:
    if value.is_snan() or (value.is_finite() and math.isinf(float(value))):
        return value, REFUSED
    return value, float(value)


def of_long_double(high: float, low: float) -> tuple[Any, Expected]:
    value = np.longdouble(high) + np.longdouble(low) * np.longdouble(2) ** -60
    return value, float(value)


eight_bytes = st.binary(min_size=8, max_size=8)
ints = st.integers(-(2**64), 2**64) | st.sampled_from(EDGES) | st.integers(-300, 300)
values = st.one_of(
    st.floats().map(lambda v: (v, v)),
    st.integers(0, 2**64 - 1).map(of_bits).map(lambda v: (v, v)),
    ints.map(lambda v: (v, of_integer(v))),
    st.booleans().map(lambda v: (v, float(v))),
    st.booleans().map(lambda v: (np.bool_(v), float(v))),
    st.booleans().map(lambda v: (torch.tensor(v), float(v))),
    st.builds(of_numpy, st.sampled_from(FLOATS + INTEGERS), eight_bytes, st.booleans()),
    st.builds(of_torch, st.sampled_from(OF_TORCH), eight_bytes),
    st.builds(of_long_double, st.floats(-1e9, 1e9), st.floats(-1, 1)),
    st.decimals().map(of_decimal),
    st.fractions(max_denominator=1000).map(lambda v: (v, float(v))),
    st.sampled_from([Decimal("1e400"), 10**400, 10**5000, np.longdouble("1e400")]).map(
        lambda v: (v, REFUSED)
    ),
    st.sampled_from([None, "1.0", b"1", 1j, np.complex64(1), [1.0], {}, object()]).map(
        lambda v: (v, REFUSED)
    ),
    st.sampled_from([np.zeros(2), torch.zeros(3), np.zeros(0), np.timedelta64(5, "ns")]).map(
        lambda v: (v, REFUSED)
    ),
)
ODD_NAMES = (
    *("a/b", "train/loss/🎛️é", "עברית/שלום", "<script>/alert(1)</script>", "../..", "../../etc/x"),
    *(
        "-rf/x",
        "=cmd()/x",
        "a/\x1b[31mred",
        "a/b\0c",
        "a/\ud800",
        "a b/c",
        "loss",
        "a//b",
        "/a",
        "",
    ),
    *("a/" + "b" * 10_000, "a/" + "🎛" * 248, "'; DROP TABLE points; --/x", "[/red]/x", 3, None),
)
parts = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="/"), min_size=1)
good_keys = st.builds("{}/{}".format, parts, parts).filter(lambda key: len(key) <= 250)
keys = st.one_of(
    *[good_keys] * 4,
    st.sampled_from(ODD_NAMES),
    st.builds("{}/{}".format, st.text(max_size=6), st.text(max_size=6)),
)
steps = st.one_of(
    *[st.integers(0, 9), st.integers(0, 2**63 - 1)] * 4,
    st.sampled_from([-1, 2**63, 1.0, True, "1", None, np.int64(5), np.uint8(7), np.float64(2)]),
)


def is_key(key: object) -> bool:
    if not isinstance(key, str) or "\0" in key or re.search("[\ud800-\udfff]", key):
        return False
    return bool(re.sub(r"[/\s]", "", key)) and len(metric_key(key)) <= 250


def is_step(step: Any) -> bool:
    is_integer = isinstance(step, int | np.integer) and not isinstance(step, bool)
    return is_integer and 0 <= int(step) < 2**63


def bits(value: float) -> bytes:
    """Return what tells -0.0 from 0.0; of NaN there is one."""
    return b"nan" if math.isnan(value) else struct.pack("<d", value)


class Trip:
    """An attempt that is logged to, and what has to come back of it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        with closing(open_store(url)) as store:
            store.apply_plan(make_plan("values", ("a",), seeds=(0,)))
            self.claim = must_claim(store)
        self.attempt = Attempt(folder)
        self.attempt.context.resume()
        self.expected: dict[tuple[str, int], bytes] = {}
        self.rounded: set[str] = set()
        self.refused = 0
        self.tried: dict[str, set[str]] = defaultdict(set)
        """Key -> the names that come to it: the first to be logged is the only one."""

    def log(self, key: Any, value: Any, expected: Expected, step: Any) -> None:
        size = self.attempt.job.folder.spool.stat().st_size
        others = self.tried[metric_key(key)] - {key} if is_key(key) else set()
        if is_key(key):
            self.tried[metric_key(key)].add(key)
        if expected is not None and is_key(key) and is_step(step):
            try:
                self.attempt.context.log({key: value}, step)
            except ValueError as error:
                if not others or "are one metric" not in str(error):
                    raise
                return
            self.expected[metric_key(key), int(step)] = bits(expected)
            if not math.isnan(expected) and not is_held(value, expected):
                self.rounded.add(metric_key(key))
            return
        with pytest.raises((TypeError, ValueError)) as caught:
            self.attempt.context.log({"good/one": 1.0, key: value}, step)
        shown = metric_key(key) if is_key(key) else key
        assert names(str(caught.value), shown, step), caught.value
        assert self.attempt.job.folder.spool.stat().st_size == size, "half a step was written"
        self.refused += 1

    def store(self) -> None:
        with (
            closing(open_store(self.url)) as store,
            SpoolReader(self.attempt.job.folder.spool) as reader,
        ):
            while (batch := reader.read(1000)).end_offset != batch.start_offset:
                assert store.ingest(self.claim, batch) == batch.end_offset


def is_held(value: Any, expected: float) -> bool:
    value = value.item() if hasattr(value, "item") else value
    return bool(value == expected)


def names(message: str, key: object, step: object) -> bool:
    """Whether a message names the key or the step that is wrong."""
    start = str(key)[:40]
    wrong = (start, ascii(key)[1:40], repr(start)[1:-1]) if isinstance(key, str) else (repr(key),)
    return any(part in message for part in wrong) or f"step {step!a}"[:40] in message


def kind_and_value(kind: str, value: float | None) -> bytes:
    return bits(Kind(kind).restore(value))


def read_curves(store: Store, run_id: str) -> Iterator[tuple[str, int, bytes]]:
    for curve in store.curves([run_id], store.metric_keys([run_id])):
        for step, value in zip(curve.steps, curve.values, strict=True):
            yield curve.key, step, bits(value)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ablate.db"
    return request.getfixturevalue("postgres_url")


def test_every_number_comes_back_or_is_refused_by_name(url: str, tmp_path: Path) -> None:
    trip = Trip(url, tmp_path)

    @settings(
        max_examples=few_or_many(400, 10_000),
        deadline=None,
        database=None,
        suppress_health_check=EVERY_HEALTH_CHECK,
    )
    @given(keys, values, steps)
    def log(key: Any, value: tuple[Any, Expected], step: Any) -> None:
        trip.log(key, *value, step)

    log()
    trip.store()

    print(f"{trip.refused} refused, {len(trip.expected)} different points stored")
    assert trip.refused > 50
    assert len(trip.expected) > 50
    check_readers(trip)


def check_readers(trip: Trip) -> None:
    """Check that every way of reading gives what was logged."""
    expected = {(key, step, value) for (key, step), value in trip.expected.items()}
    with closing(open_store(trip.url, read_only=True)) as store:
        assert set(read_curves(store, trip.claim.run.id)) == expected
        exported = {
            (block.curve.key, step, bits(value))
            for block in point_blocks(store, "values")
            for step, value in zip(block.curve.steps, block.curve.values, strict=True)
        }
        events = [event for _, event in store.events([trip.claim.run.id])]
    assert exported == expected
    rounded = [event.data["key"] for event in events if event.name == "rounded"]
    assert sorted(rounded) == sorted(trip.rounded)

    unsigned = {(k, s, v if v != bits(-0.0) else bits(0.0)) for k, s, v in expected}
    frame = ablate.load("values", db=trip.url).metrics(long=True)
    columns = (frame[name] for name in ("key", "step", "value", "kind"))
    in_frame = {
        (key, int(step), bits(value if kind == "finite" else Kind(kind).restore(None)))
        for key, step, value, kind in zip(*columns, strict=True)
    }
    assert in_frame == expected
    view = FaultyProject(Path(), trip.url).rows("SELECT key, step, value, kind FROM run_metrics")
    # SQL has no -0.0 that SQLite keeps: the view shows 0.0.
    assert {(key, step, kind_and_value(kind, value)) for key, step, value, kind in view} == unsigned


def test_rounding_is_told_once_for_each_key_before_its_point(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    with pytest.raises(TypeError, match=r"a/bad: 'x' is str"):
        attempt.context.log({"a/flops": 2**53 + 1, "a/bad": "x"}, 0)
    for step in range(1, 4):
        attempt.context.log({"a/flops": 2**53 + step, "a/exact": 2**53}, step)

    told = [(event.name, event.step, dict(event.data)) for event in attempt.read().events]

    given = {"key": "a/flops", "given": "9007199254740993", "stored": 9007199254740992.0}
    assert told == [("rounded", 1, given)]
    assert attempt.curve("a/flops") == [(1, 2.0**53), (2, 2.0**53 + 2), (3, 2.0**53 + 4)]
    assert json.dumps(told)
