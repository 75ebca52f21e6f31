"""Worker slots: on GPUs they are shared with other runners of the machine; and memory runs out."""

from __future__ import annotations

from pathlib import Path

from ablate.execution.deaths import oom_kills
from ablate.execution.devices import Devices
from ablate.execution.slots import MachineSlots

GPUS = Devices((0, 1))


def test_two_runners_never_take_one_gpu(tmp_path: Path) -> None:
    first, second = MachineSlots(2, GPUS, tmp_path), MachineSlots(2, GPUS, tmp_path)

    assert [first.take(), second.take(), second.take(), first.take()] == [0, 1, None, None]

    first.give_back(0)
    assert second.take() == 0


def test_slots_of_two_runners_that_share_gpus_are_told_apart_by_layer(tmp_path: Path) -> None:
    first, second = MachineSlots(4, GPUS, tmp_path), MachineSlots(4, GPUS, tmp_path)

    taken = [first.take(), first.take(), first.take(), second.take(), second.take()]

    assert taken == [0, 1, 2, 3, None]


def test_run_on_several_gpus_takes_all_or_none(tmp_path: Path) -> None:
    pairs = Devices((0, 1, 2, 3), per_run=2)
    one, two = MachineSlots(1, Devices((3,)), tmp_path), MachineSlots(2, pairs, tmp_path)
    assert one.take() == 0

    assert [two.take(), two.take()] == [0, None]

    one.give_back(0)
    assert two.take() == 1


def test_processors_are_not_taken(tmp_path: Path) -> None:
    first, second = MachineSlots(2, Devices(()), tmp_path), MachineSlots(2, Devices(()), tmp_path)

    assert [first.take(), first.take(), first.take(), second.take()] == [0, 1, None, 0]
    assert list(tmp_path.iterdir()) == []


def test_gpu_that_is_too_small_is_shared_by_fewer(tmp_path: Path) -> None:
    slots = MachineSlots(6, GPUS, tmp_path)
    taken = [slots.take() for _ in range(6)]
    slots.give_back(2)
    assert slots.neighbours(0) == 2  # it had them when its memory ran out
    slots.take()

    assert slots.share_less(0) == 4

    for slot in taken:
        assert slot is not None
        slots.give_back(slot)
    assert [slots.take() for _ in range(5)] == [0, 1, 2, 3, None]


def test_machine_that_is_too_small_runs_less_but_never_nothing(tmp_path: Path) -> None:
    slots = MachineSlots(3, Devices(()), tmp_path)
    for _ in range(3):
        slots.take()

    assert slots.run_less() == 2
    slots.give_back(2)
    slots.give_back(1)
    assert slots.run_less() == 1
    assert slots.take() is None


def test_kills_of_the_own_control_group_are_counted(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("1:name=systemd:/x\n0::/user/job\n")
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 9\n")
    assert oom_kills(tmp_path) == 9

    group = tmp_path / "sys/fs/cgroup/user/job"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills(tmp_path) == 2
    assert oom_kills(tmp_path / "nowhere") == 0
