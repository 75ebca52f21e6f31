"""Sources of other tools are read exactly, and what is left out is counted with its reason."""

import json
import math
import struct

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from ablate.domain import AttemptState
from ablate.errors import AblateError, NotFoundError, UsageError
from ablate.importers import sources
from ablate.importers.names import KeyMap
from ablate.importers.points import Points
from ablate.importers.reading.events import crc32c
from ablate.importers.seeds import split_seed
from ablate.keys import default_key
from ablate.planning.study_file.names import cleaned_name
from tests.support.logs import (
    VERSION,
    event,
    field,
    frame,
    scalar,
    session_start,
    tensor,
    wandb_history,
    wandb_item,
    write_wandb,
)
from tests.support.reading import points, read, runs_in, total


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss", "import/scalar/loss"),
        ("train_loss", "train/scalar/loss"),
        ("val-acc", "valid/scalar/acc"),
        ("eval.wer", "valid/scalar/wer"),
        ("training_step_time", "train/scalar/step_time"),
        ("trainable", "import/scalar/trainable"),
        ("val/loss", "valid/scalar/loss"),
        ("Loss/train", "train/scalar/Loss"),
        ("losses/l1", "import/losses/l1"),
        ("train/loss/l1", "train/loss/l1"),
        ("a/b/c/d", "a/b/c/d"),
        ("/learning rate//", "import/scalar/learning_rate"),
        ("", "import/scalar/unnamed"),
    ],
)
def test_names_become_keys_by_one_rule(name, key) -> None:
    assert default_key(name) == key
    assert default_key(key) == key


def test_map_names_keys_and_leaves_out() -> None:
    names = KeyMap(["loss=train/loss/total", "losses/*=train/loss/*", "lr=-", "epoch=step"])

    assert names.key("loss") == "train/loss/total"
    assert names.key("losses/l1") == "train/loss/l1"
    assert names.key("lr") is None
    assert names.roles == {"epoch": "step"}


@pytest.mark.parametrize("entry", ["loss", "=a/b/c", "loss=", "loss=x", "a=b/*/c", "a*b*=a/b/*"])
def test_map_that_cannot_be_read_is_refused(entry) -> None:
    with pytest.raises(UsageError, match="--map"):
        KeyMap([entry])


def test_two_names_for_one_key_are_refused() -> None:
    both = Points()
    both.add("val/loss", 0, 1.0)
    both.add("valid_loss", 0, 1.0)
    both.settle()

    with pytest.raises(UsageError, match="'val/loss' and 'valid_loss' would both be"):
        both.under(KeyMap().key)


def test_names_of_variants_and_seeds() -> None:
    assert cleaned_name("my run: lr=0.1, [b]") == "my-run-lr=0.1-b"
    assert cleaned_name("--") == "imported"
    assert split_seed("phase_a-s3") == ("phase_a", 3)
    assert split_seed("big/seed_12") == ("big", 12)
    assert split_seed("classes5") == ("classes5", None)


def test_wide_csv(tmp_path) -> None:
    path = tmp_path / "run.csv"
    path.write_text(
        "epoch,train_loss,note,wall_time\n"
        "0,1e-3,hello,100.25\n"
        "1,NaN,,2020-01-01T00:00:00Z\n"
        "1,-inf,,101\n"
        "1.5,1,,\n"
        "x,1,,\n"
        "-1,1,,\n"
        "2,1_0,,\n"
        "3.0,-0.0,,,\n"
    )

    reading = read(path)

    got = points(reading)
    assert got["train/scalar/loss", 0] == (0.001, 100.25)
    assert got["train/scalar/loss", 1] == (-math.inf, 101.0)
    assert math.copysign(1, got["train/scalar/loss", 3][0]) == -1
    assert len(got) == 3
    counts = total(reading)
    assert counts.kept == 3
    assert dict(counts.skipped) == {
        "not a number": 2,
        "empty": 7,
        "without a step that is a whole number": 2,
        "step is negative or too large": 1,
        "replaced by a later value": 1,
    }
    assert counts.read == counts.kept + counts.skipped.total()


def test_long_csv_has_a_run_for_each_place(tmp_path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(
        "study,variant,seed,run,key,step,value,kind,time\n"
        "s,a,0,r0,train/loss/x,1,0.5,finite,1970-01-01T00:00:01+00:00\n"
        "s,a,1,r1,train/loss/x,1,NaN,nan,1970-01-01T00:00:02+00:00\n"
        "s,b,0,r2,train/loss/x,1,,+inf,1970-01-01T00:00:03+00:00\n"
    )

    reading = read(path)

    assert [(run.title, run.said_seed) for run in reading.runs] == [("a", 0), ("a", 1), ("b", 0)]
    assert points(reading, 0) == {("train/loss/x", 1): (0.5, 1.0)}
    assert math.isnan(points(reading, 1)["train/loss/x", 1][0])
    assert points(reading, 2) == {("train/loss/x", 1): (math.inf, 3.0)}
    assert len({run.source for run in reading.runs}) == 3


def test_csv_without_steps_or_with_a_wrong_column_says_which_there_are(tmp_path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("a;b\n1;2\n")

    with pytest.raises(UsageError) as caught:
        read(path)
    assert "columns: a, b" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no such column"):
        read(path, "c=step")
    assert points(read(path, "a=step")).keys() == {("import/scalar/b", 1)}


def test_json_lines_nested_and_cut(tmp_path) -> None:
    path = tmp_path / "h.jsonl"
    rows = [
        {"_step": 0, "_timestamp": 5.5, "_runtime": 1, "train": {"loss": 1.5}, "ok": True},
        {"_step": 1, "_timestamp": 6.5, "train": {"loss": math.nan}, "img": "a.png"},
        {"_step": 2, "late": 7, "big": 10**400},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + '\n[1]\n{"_step": 3, "la')

    reading = read(path)

    got = points(reading)
    assert got["train/scalar/loss", 0] == (1.5, 5.5)
    assert math.isnan(got["train/scalar/loss", 1][0])
    assert got["import/scalar/late", 2][0] == 7.0
    assert got["import/scalar/ok", 0][0] == 1.0
    assert dict(total(reading).skipped) == {
        "not a number": 2,
        "line that is no JSON": 1,
        "line that is no object": 1,
    }


def test_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value
    assert crc32c(bytes(32)) == 0x8A9136AA


def scalars(n: int) -> bytes:
    return b"".join(event(1e9 + i / 3, i, scalar("loss", 1 / (i + 1))) for i in range(n))


def test_event_file_is_read_exactly(tmp_path) -> None:
    path = tmp_path / "run-s4" / "events.out.tfevents.1.host"
    path.parent.mkdir()
    histogram = field(1, "weights") + field(5, b"")
    path.write_bytes(
        VERSION
        + scalars(60)
        + event(2.5, 2**40, scalar("a/b/c", -0.0), scalar("inf", math.inf), histogram)
        + event(3.5, 7, tensor("double", field(1, 2) + field(6, struct.pack("<d", 0.1))))
        + event(3.5, 8, tensor("double", field(1, 2) + field(4, struct.pack("<d", 0.2))))
        + event(3.5, 9, tensor("text", field(1, 7) + field(8, "words")))
        + event(3.5, 9, tensor("int", field(1, 9) + field(10, varints(-5))))
        + frame(b"\xff")
    )

    reading = read(tmp_path)

    got = points(reading)
    for i in range(60):
        value = struct.unpack("<f", struct.pack("<f", 1 / (i + 1)))[0]
        assert got["import/scalar/loss", i] == (value, 1e9 + i / 3)
    assert math.copysign(1, got["a/b/c", 2**40][0]) == -1
    assert got["import/scalar/inf", 2**40] == (math.inf, 2.5)
    assert got["import/scalar/double", 7] == (0.1, 3.5)
    assert got["import/scalar/double", 8] == (0.2, 3.5)
    assert got["import/scalar/int", 9] == (-5.0, 3.5)
    assert dict(total(reading).skipped) == {"not a scalar": 2, "record that is no event": 1}
    assert [run.title for run in runs_in(tmp_path)] == ["run-s4"]


def varints(value: int) -> bytes:
    from tests.support.logs import varint

    return varint(value)


def test_cut_event_file_gives_its_good_records(tmp_path) -> None:
    whole = scalars(40)
    size = len(whole) // 40
    for cut in (size * 39 + 1, size * 39 + 9, size * 39 + 14, len(whole) - 1):
        path = tmp_path / f"events.out.tfevents.{cut}"
        path.write_bytes(whole[:cut])

        reading = read(path)

        assert len(points(reading)) == 39
        assert dict(total(reading).skipped) == {"cut at the end of the file": 1}


def test_damaged_record_is_left_out_and_a_damaged_length_ends_the_file(tmp_path) -> None:
    whole = bytearray(scalars(40))
    size = len(whole) // 40
    path = tmp_path / "events.out.tfevents.x"
    whole[size * 5 + 20] ^= 1
    path.write_bytes(whole)
    assert len(points(read(path))) == 39

    whole[size * 30 + 9] ^= 1
    path.write_bytes(whole)
    reading = read(path)
    assert len(points(reading)) == 29
    assert total(reading).skipped["damaged: the rest of the file cannot be read"] == 1


def test_purged_steps_are_replaced(tmp_path) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(scalars(10))
    (tmp_path / "events.out.tfevents.2").write_bytes(
        session_start(6) + event(9.0, 6, scalar("loss", 9.0))
    )

    got = points(read(tmp_path))

    assert sorted(step for _, step in got) == [0, 1, 2, 3, 4, 5, 6]
    assert got["import/scalar/loss", 6] == (9.0, 9.0)


def test_torchs_own_writer_is_read_exactly(tmp_path) -> None:
    values = [0.1 * i for i in range(300)]
    with SummaryWriter(str(tmp_path / "torch")) as writer:
        for i, value in enumerate(values):
            writer.add_scalar("Loss/train", value, i, walltime=1e9 + i / 7)
            writer.add_scalar(
                "precise", value, i, walltime=5.0, new_style=True, double_precision=True
            )
        writer.add_histogram("weights", np.array([1.0, 2.0]), 0)

    got = points(read(tmp_path))

    for i, value in enumerate(values):
        rounded = struct.unpack("<f", struct.pack("<f", value))[0]
        assert got["train/scalar/Loss", i] == (rounded, 1e9 + i / 7)
        assert got["import/scalar/precise", i] == (value, 5.0)


def test_folder_without_event_files_is_not_found(tmp_path) -> None:
    with pytest.raises(NotFoundError):
        read(tmp_path)
    (tmp_path / "events.out.tfevents.1").touch()
    assert total(read(tmp_path)).read == 0


RUN = field(17, field(1, "abc123") + field(2, "me") + field(3, "codec") + field(8, "big-s2"))


def wandb_records(n: int) -> list[bytes]:
    config = field(5, field(1, wandb_item("lr", 0.1)) + field(1, wandb_item("_wandb", {})))
    history = [
        wandb_history(i, _timestamp=100.5 + i, loss=i / 7, **{"val/acc": "NaN", "img": {"p": "x"}})
        for i in range(n)
    ]
    return [RUN, config, *history]


def test_offline_wandb_file_across_blocks(tmp_path) -> None:
    path = tmp_path / "run-abc123.wandb"
    write_wandb(path, [*wandb_records(900), field(4, bytes(100_000)), field(18, field(1, 0))])
    assert path.stat().st_size > 4 * 32768

    reading = read(path)

    (run,) = reading.runs
    assert (run.source, run.title) == ("wandb:me/codec/abc123", "big-s2")
    assert (run.state, run.config) == (AttemptState.SUCCEEDED, {"lr": 0.1})
    got = points(reading)
    assert len(got) == 1800
    assert all(got["import/scalar/loss", i] == (i / 7, 100.5 + i) for i in range(900))
    assert math.isnan(got["valid/scalar/acc", 0][0])
    assert dict(total(reading).skipped) == {"not a number": 900}


def test_picture_of_wandb_has_no_metrics(tmp_path) -> None:
    path = tmp_path / "run-abc123.wandb"
    picture = {"_type": "image-file", "width": 384, "height": 672}
    write_wandb(path, [RUN, wandb_history(1, loss=0.5, image=picture)])

    reading = read(path)

    assert points(reading).keys() == {("import/scalar/loss", 1)}
    assert dict(total(reading).skipped) == {"not a number": 1}


def test_cut_wandb_file_gives_its_good_records_and_did_not_end(tmp_path) -> None:
    path = tmp_path / "run-abc123.wandb"
    write_wandb(path, wandb_records(50))
    path.write_bytes(path.read_bytes()[:-5])

    reading = read(tmp_path)

    assert len(points(reading)) == 98
    assert reading.runs[0].state is AttemptState.STOPPED
    assert sum("cut or damaged" in why for why in total(reading).skipped) == 1


def test_wandb_run_that_failed(tmp_path) -> None:
    path = tmp_path / "run.wandb"
    write_wandb(path, [*wandb_records(2), field(18, field(1, 3))])

    (run,) = read(path).runs

    assert (run.state, run.reason) == (AttemptState.FAILED, "its process ended with code 3")


def test_identity_follows_source_and_content(tmp_path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("step,loss\n0,1\n")
    second.write_text("step,loss\n0,1\n")
    before = read(first).runs[0].identity()

    assert read(first).runs[0].identity() == before
    assert read(second).runs[0].identity() != before
    first.write_text("step,loss\n0,1\n1,1\n")
    assert read(first).runs[0].identity() != before


def test_an_importer_that_cannot_be_imported_stands_in_no_others_way(tmp_path, monkeypatch):
    info = tmp_path / "site" / "odd-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ablate.importers]\nodd = odd_that_is_gone:IMPORTER\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    sources.importers.cache_clear()
    log = tmp_path / "a.csv"
    log.write_text("step,loss\n1,0.5\n")

    try:
        assert sources.find_source(str(log), None).kind == "csv"
        assert "odd" in sources.IMPORTERS.names()
        with pytest.raises(AblateError, match="importer 'odd' of odd cannot be imported"):
            sources.importer_of("odd")
    finally:
        sources.importers.cache_clear()
