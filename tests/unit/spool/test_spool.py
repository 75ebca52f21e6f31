import math
import os
import signal
import struct
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.domain import AttemptState, Checkpoint, Event
from ablate.errors import StoreError, StoreUnavailableError
from ablate.spool import spool as spool_module
from ablate.spool.batch import Ending, StepValues
from ablate.spool.frames import HEADER_BYTES
from ablate.spool.spool import SpoolReader, SpoolWriter
from tests.support.patience import PATIENCE_S
from tests.support.thorough import EVERY_HEALTH_CHECK

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
key_sets = st.dictionaries(names, st.floats(allow_nan=True), max_size=6)
steps = st.integers(0, 2**63 - 1)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def read_logs(path: Path, offset: int = 0, max_points: int = 50_000) -> list[tuple[object, ...]]:
    found = []
    with SpoolReader(path, offset) as reader:
        while (batch := reader.read(max_points)).end_offset != batch.start_offset:
            found += [
                (log.step, bits(log.time), log.keys, tuple(map(bits, log.values)))
                for log in batch.logs
            ]
    return found


@settings(max_examples=200, deadline=None, suppress_health_check=EVERY_HEALTH_CHECK)
@given(st.lists(st.tuples(steps, st.floats(0, 1e10), key_sets)), st.integers(1, 8))
def test_logged_values_come_back_bit_for_bit(tmp_path_factory, logs, max_points):
    path = tmp_path_factory.mktemp("spool") / "1.spool"

    with SpoolWriter(path, attempt_id=1) as writer:
        for step, time, values in logs:
            writer.points(step, time, values)

    assert read_logs(path, max_points=max_points) == [
        (step, bits(time), tuple(values), tuple(map(bits, values.values())))
        for step, time, values in logs
    ]


def test_records_come_back_as_given(tmp_path):
    path = tmp_path / "1.spool"
    event = Event("warmup_ended", 5, {"value": math.inf, "text": "é\0\ud800", "n": [1, None]}, 2.5)
    checkpoint = Checkpoint(step=5, path="checkpoints/5.pt", sha256="ab" * 32, size_bytes=2**40)
    ending = Ending(state=AttemptState.FAILED, reason="no", traceback="a\nb", exit_code=-9)

    with SpoolWriter(path, attempt_id=1) as writer:
        writer.started(100, "the GPU differs")
        writer.event(event)
        writer.checkpoint(checkpoint)
        writer.ended(ending)

    batch = SpoolReader(path).read()
    assert batch.has_started
    assert (batch.start_step, batch.inexact) == (100, "the GPU differs")
    assert batch.events == (event,)
    assert batch.checkpoints == (checkpoint,)
    assert batch.ending == ending


def logs_before_damage(reader: SpoolReader) -> list[StepValues]:
    logs = []
    with suppress(StoreError):
        while True:
            logs += reader.read().logs
    return logs


def write_sample(path: Path, *, steps: int = 6) -> list[int]:
    """Return where each call's frames end."""
    ends = [HEADER_BYTES]
    with SpoolWriter(path, attempt_id=3) as writer:
        for step in range(steps):
            writer.points(step, 1.5, {"a/b/c": step + 0.5} if step % 2 else {"a/b/c": 1, "d": 2})
            ends.append(path.stat().st_size)
    return ends


def test_torn_tail_at_any_byte_hides_only_the_torn_call(tmp_path):
    path, torn = tmp_path / "whole.spool", tmp_path / "torn.spool"
    ends = write_sample(path)
    data = path.read_bytes()

    for size in range(len(data) + 1):
        torn.write_bytes(data[:size])
        whole = sum(end <= size for end in ends[1:])
        assert len(read_logs(torn)) == whole, size


def test_writer_cuts_off_a_torn_tail_at_any_byte_and_goes_on(tmp_path):
    path = tmp_path / "whole.spool"
    ends = write_sample(path)
    data = path.read_bytes()

    for size in range(len(data) + 1):
        torn = tmp_path / f"{size}.spool"
        torn.write_bytes(data[:size])
        with SpoolWriter(torn, attempt_id=3) as writer:
            writer.points(99, 2.0, {"d": 4.0})
        whole = sum(end <= size for end in ends[1:])
        assert [log[0] for log in read_logs(torn)] == [*range(whole), 99], size


def test_reader_starts_at_any_frame_end_knowing_the_keys(tmp_path):
    path = tmp_path / "1.spool"
    ends = write_sample(path)
    everything = read_logs(path)

    assert [read_logs(path, end) for end in ends] == [everything[n:] for n in range(len(ends))]


def test_reader_refuses_an_offset_where_no_frame_ends(tmp_path):
    path = tmp_path / "1.spool"
    ends = write_sample(path)

    for offset in (ends[1] + 1, ends[-1] + 1):
        with pytest.raises(StoreError, match=f"byte {offset}"):
            SpoolReader(path, offset).read()


@pytest.mark.parametrize("where", range(HEADER_BYTES, 200, 3))
def test_flipped_bit_is_reported_with_its_place_after_what_precedes_it(tmp_path, where):
    path = tmp_path / "1.spool"
    ends = write_sample(path)
    data = bytearray(path.read_bytes())
    data[where] ^= 0x10
    path.write_bytes(data)
    whole = sum(end <= where for end in ends[1:])

    reader = SpoolReader(path)
    before = logs_before_damage(reader)
    assert len(before) == whole
    with pytest.raises(StoreError, match=r"1\.spool is damaged at byte \d+"):
        reader.read()


def test_zeros_left_by_a_power_cut_are_a_torn_tail(tmp_path):
    path = tmp_path / "1.spool"
    ends = write_sample(path)
    path.write_bytes(path.read_bytes() + bytes(5000))

    assert len(read_logs(path)) == len(ends) - 1
    with SpoolWriter(path, attempt_id=3) as writer:
        writer.points(7, 1.0, {"x": 1.0})
    assert read_logs(path)[-1][0] == 7


def test_reader_follows_a_file_that_grows(tmp_path):
    path = tmp_path / "1.spool"
    reader = SpoolReader(path)
    assert reader.read().end_offset == 0

    with SpoolWriter(path, attempt_id=1) as writer:
        for step in range(3):
            writer.points(step, 1.0, {"k": step})
            batch = reader.read()
            assert [log.step for log in batch.logs] == [step]
    assert reader.read().logs == ()
    assert reader.attempt_id() == 1


def test_reader_goes_back_to_an_earlier_offset(tmp_path):
    path = tmp_path / "1.spool"
    ends = write_sample(path)
    reader = SpoolReader(path)
    reader.read()

    reader.seek(ends[2])

    assert [log.step for log in reader.read().logs] == [2, 3, 4, 5]


def test_more_sets_of_keys_than_numbers_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "MAX_LAYOUTS", 3)
    path = tmp_path / "1.spool"

    with SpoolWriter(path, attempt_id=1) as writer:
        for step in range(40):
            writer.points(step, 0.0, {f"key{step % 7}": step})

    assert [(log[0], log[2]) for log in read_logs(path)] == [
        (step, (f"key{step % 7}",)) for step in range(40)
    ]


def test_key_is_spelled_once(tmp_path):
    path = tmp_path / "1.spool"
    with SpoolWriter(path, attempt_id=1) as writer:
        for step in range(100):
            writer.points(step, 0.0, {"train/loss/total": 1.0, "train/loss/l1": 2.0})

    assert path.read_bytes().count(b"train/loss/total") == 1


@pytest.mark.parametrize(
    ("step", "values", "error", "text"),
    [
        (0, {"a": "1.0"}, TypeError, "'a'"),
        (0, {"a": 1.0, "b": None}, TypeError, "'b'"),
        (0, {"a": 10**400}, ValueError, "'a'"),
        (0, {3: 1.0}, TypeError, "3"),
        (0, {"": 1.0}, ValueError, "empty"),
        (0, {"a\0b": 1.0}, ValueError, "NUL"),
        (0, {"\ud800": 1.0}, ValueError, "surrogate"),
        (0, {"k" * 2000: 1.0}, ValueError, "2000 bytes"),
        (-1, {"a": 1.0}, ValueError, "-1"),
        (2**63, {"a": 1.0}, ValueError, str(2**63)),
        (1.5, {"a": 1.0}, ValueError, "1.5"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name_and_nothing_is_written(
    tmp_path, step, values, error, text
):
    path = tmp_path / "1.spool"
    with SpoolWriter(path, attempt_id=1) as writer:
        with pytest.raises(error, match=text):
            writer.points(step, 0.0, values)
        writer.points(1, 0.0, {"b": 2.0})
        writer.points(2, 0.0, {"a": 1.0})

    assert [(log[0], log[2]) for log in read_logs(path)] == [(1, ("b",)), (2, ("a",))]


def test_spool_of_another_attempt_is_refused(tmp_path):
    path = tmp_path / "1.spool"
    write_sample(path)

    with pytest.raises(StoreError, match="of attempt 3, not 4"):
        SpoolWriter(path, attempt_id=4)


def test_file_that_is_no_spool_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("something that somebody wrote down")

    with pytest.raises(StoreError, match="is not a spool"):
        SpoolWriter(path, attempt_id=1)
    with pytest.raises(StoreError, match="is not a spool"):
        SpoolReader(path).read()
    assert path.read_text() == "something that somebody wrote down"


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        SpoolWriter(tmp_path / "nowhere" / "1.spool", attempt_id=1)


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    from ablate.errors import StoreUnavailableError
    from ablate.spool.spool import SpoolWriter
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = SpoolWriter(Path(sys.argv[1]), attempt_id=1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    step = 0
    while True:
        try:
            writer.points(step, 0.0, {"a": step, "b": step})
        except StoreUnavailableError as error:
            assert "File too large" in str(error), error
            break
        step += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.points(step, 0.0, {"a": step, "b": step})
    print(step)
"""


def run_script(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_full_disk_is_reported_and_writing_goes_on_when_there_is_space(tmp_path):
    path = tmp_path / "1.spool"

    process = run_script(FULL_DISK, path)
    output = process.communicate(timeout=PATIENCE_S)[0]

    assert process.returncode == 0
    assert [log[0] for log in read_logs(path)] == list(range(int(output) + 1))


STREAM = """
    import os, sys
    from pathlib import Path
    from ablate.spool.spool import SpoolWriter
    writer = SpoolWriter(Path(sys.argv[1]), attempt_id=1)
    step = 0
    while True:
        writer.points(step, 0.0, {f"key{n}": step for n in range(20)})
        os.write(1, b"%d\\n" % step)
        step += 1
"""


@pytest.mark.parametrize("n_lines", [1, 50, 3000])
def test_what_was_acknowledged_survives_sigkill(tmp_path, n_lines):
    path = tmp_path / "1.spool"
    process = run_script(STREAM, path)
    assert process.stdout
    for _ in range(n_lines):
        process.stdout.readline()

    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.communicate(timeout=PATIENCE_S)

    acknowledged = int(rest[-1]) if rest else n_lines - 1
    logged = [log[0] for log in read_logs(path)]
    assert logged[: acknowledged + 1] == list(range(acknowledged + 1))
    assert len(logged) <= acknowledged + 2
