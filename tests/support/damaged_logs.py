"""A small good log of every kind that is imported, as files by their names."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet

from tests.support.damage import damaged
from tests.support.logs import (
    VERSION,
    double,
    event,
    field,
    frame,
    scalar,
    wandb_history,
    wandb_item,
    write_wandb,
)

Files = dict[str, bytes]
_STEPS = range(0, 60, 10)


def csv_file() -> Files:
    lines = ["run,variant,seed,step,train/loss,val_loss,time"]
    lines += [f"r1,base,0,{s},{1 / (s + 1):.6f},{0.5 + s},17000000{s:02}" for s in _STEPS]
    return {"log.csv": "\n".join([*lines, ""]).encode()}


def own_export() -> Files:
    lines = ["study,variant,seed,run,key,step,value,kind,time,state"]
    lines += [
        f"toy,base,{seed},ab{seed},train/loss/total,{s},{1 / (s + 1)!r},finite,"
        "2026-01-01T00:00:00.000000+00:00,succeeded"
        for seed in (0, 1)
        for s in _STEPS
    ]
    return {"toy.csv": "\n".join([*lines, ""]).encode()}


def chart() -> Files:
    lines = ['"Step","a - loss","a - loss__MIN","a - loss__MAX"']
    lines += [f'"{s}","{1 / (s + 1)}","0","1"' for s in _STEPS]
    return {"wandb_export.csv": "\n".join([*lines, ""]).encode()}


def json_lines() -> Files:
    rows = [
        {"step": s, "loss": 1 / (s + 1), "eval": {"acc": s / 60}, "time": 1.7e9} for s in _STEPS
    ]
    return {"metrics.jsonl": "\n".join([*map(json.dumps, rows), ""]).encode()}


def keras_history() -> Files:
    content = {"loss": [0.5, 0.4, 0.3], "val_loss": [0.6, 0.5, 0.4], "epoch": [0, 1, 2]}
    return {"history.json": json.dumps(content).encode()}


def huggingface() -> Files:
    rows = [
        {"step": s, "loss": 1 / (s + 1), "learning_rate": 1e-3, "epoch": s / 10} for s in _STEPS
    ]
    state = {"log_history": rows, "global_step": 50, "max_steps": 60, "train_batch_size": 8}
    return {"out/trainer_state.json": json.dumps(state, indent=1).encode()}


def text_log() -> Files:
    lines = [
        f"2026-01-01 00:00:{s:02} INFO step {s}/60 loss: {1 / (s + 1):.4f}, lr 1e-3" for s in _STEPS
    ]
    return {"train.log": "\n".join([*lines, ""]).encode()}


def keras_text() -> Files:
    lines = [f"Epoch {s}/3\n10/10 - 1s - loss: 0.{s} - val_loss: 0.{s + 1}" for s in (1, 2, 3)]
    return {"keras.out": "\n".join([*lines, ""]).encode()}


def tensorboard(seed: int) -> Files:
    """Return event files; for every other seed the damage is within a record that is whole."""
    hparams = field(1, "_hparams_/session_start_info") + field(9, field(1, field(2, b"x")))
    records = [
        double(1, 1.7e9 + s) + field(2, s) + field(5, field(1, scalar("loss/train", 1 / (s + 1))))
        for s in _STEPS
    ]
    records.append(double(1, 1.7e9) + field(2, 0) + field(5, field(1, hparams)))
    if seed % 2:
        at = random.Random(seed).randrange(len(records))
        records[at] = damaged(records[at], seed)
    content = VERSION + b"".join(map(frame, records)) + event(1.7e9, 70, scalar("lr", 0.1))
    return {"run/events.out.tfevents.1": content}


def wandb(folder: Path, seed: int) -> Files:
    """Return a ``.wandb`` file; for every other seed the damage is within a record."""
    config = field(1, wandb_item("lr", 0.1)) + field(1, wandb_item("seed", 3))
    records = [field(17, field(1, "id1") + field(4, config) + field(8, "my run"))]
    records += [wandb_history(s, loss=1 / (s + 1), _timestamp=1.7e9) for s in _STEPS]
    records.append(field(18, field(1, 0)))
    if seed % 2:
        at = random.Random(seed).randrange(len(records))
        records[at] = damaged(records[at], seed)
    path = folder / "made.wandb"
    write_wandb(path, records)
    return {"run-1.wandb": path.read_bytes()}


def parquet() -> Files:
    table = pyarrow.table({"step": list(_STEPS), "loss": [1 / (s + 1) for s in _STEPS]})
    return {"log.parquet": _parquet(table)}


def neptune() -> Files:
    n = len(_STEPS)
    table = pyarrow.table(
        {
            "project_id": ["p"] * n,
            "run_id": ["R-1"] * n,
            "attribute_path": ["train/loss"] * n,
            "attribute_type": ["float_series"] * n,
            "step": [float(s) for s in _STEPS],
            "float_value": [1 / (s + 1) for s in _STEPS],
        }
    )
    return {"neptune.parquet": _parquet(table)}


def _parquet(table: pyarrow.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def mlruns() -> Files:
    run = "mlruns/1/0123456789abcdef0123456789abcdef"
    meta = (
        "artifact_uri: x\nend_time: 1700000100000\nexperiment_id: '1'\nlifecycle_stage: active\n"
        "run_id: 0123456789abcdef0123456789abcdef\nrun_name: one\nstart_time: 1700000000000\n"
        "status: 3\n"
    )
    return {
        "mlruns/1/meta.yaml": b"experiment_id: '1'\nname: exp\nlifecycle_stage: active\n",
        f"{run}/meta.yaml": meta.encode(),
        f"{run}/metrics/loss": b"".join(b"17000000000%02d %f %d\n" % (s, 0.5, s) for s in _STEPS),
        f"{run}/params/lr": b"0.1",
        f"{run}/tags/mlflow.runName": b"one",
    }


def with_config() -> Files:
    """A log with a config beside it."""
    config = b"optim: {lr: 0.1, betas: [0.9, 0.99]}\nseed: 3\nmodel: !!python/tuple [a, b]\n"
    return {"run/metrics.csv": csv_file()["log.csv"], "run/hparams.yaml": config}


def with_json_config() -> Files:
    return {
        "run/metrics.jsonl": json_lines()["metrics.jsonl"],
        "run/args.json": b'{"lr": 0.1, "seed": 1, "layers": [1, 2, {"a": null}]}',
    }


PLAIN: dict[str, Callable[[], Files]] = {
    made.__name__: made
    for made in (
        *(
            csv_file,
            own_export,
            chart,
            json_lines,
            keras_history,
            huggingface,
            text_log,
            keras_text,
        ),
        *(parquet, neptune, mlruns, with_config, with_json_config),
    )
}
KINDS = (*PLAIN, "tensorboard", "wandb")


def made(kind: str, folder: Path, seed: int) -> Files:
    """Return the files of a kind with damage in one of them."""
    if kind in ("tensorboard", "wandb"):
        files = tensorboard(seed) if kind == "tensorboard" else wandb(folder, seed)
        if seed % 2:
            return files  # it is within
    else:
        files = PLAIN[kind]()
    name = random.Random(seed).choice(sorted(files))
    return {**files, name: damaged(files[name], seed)}
