"""The recipes of docs/howto/frameworks.md as they stand there: in parallel, stopped, resumed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.projects import Project
from tests.support.thorough import few_or_many

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "frameworks.md"

STUDY = """
study: {name}
trainer: {name}:train
base: {{steps: 60, lr: 1.0e-3}}
factors: {{lr: {{key: lr, levels: [1.0e-3, 1.0e-2]}}}}
seeds: 1
metrics: {{valid/loss/total: min}}
"""

SCRIPT = """
import math
import torch
from torch import nn
from torch.nn import functional as F

def train(config, run):
    batch_size, block_size, n_embd, max_iters = 8, 16, 32, config["steps"]
    torch.manual_seed(run.seed("init"))
    ids = torch.arange(2000) ** 2 % 61
    splits = {"train": ids[:1800], "val": ids[1800:]}

    def get_batch(split):
        starts = torch.randint(len(splits[split]) - block_size, (batch_size,))
        x = torch.stack([splits[split][i : i + block_size + 1] for i in starts])
        return x[:, :-1], x[:, 1:]

    def loss_of(x, y):
        h = embed(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.size(1))
        logits = head(block(h, src_mask=mask, is_causal=True))
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())

    embed, head = nn.Embedding(61, n_embd), nn.Linear(n_embd, 61)
    block = nn.TransformerEncoderLayer(n_embd, 2, 64, 0.1, "gelu", batch_first=True)
    model = nn.ModuleList([embed, head, block])
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    iter_num, best = 0, math.inf
    state = run.resume()
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        iter_num, best = state["iter_num"], state["best"]
        torch.set_rng_state(state["rng"])
    while True:
        rng = torch.get_rng_state()
        if iter_num % 10 == 0:
            with torch.no_grad():
                model.eval()
                loss = sum(loss_of(*get_batch("val")) for _ in range(3)) / 3
                model.train()
            run.log({"valid/loss/total": loss}, iter_num)
            if loss.item() < best:
                best = loss.item()
                torch.save(model.state_dict(), run.dir / "best.pt")
        if iter_num % 20 == 0 or run.should_stop:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            run.save(iter_num, {**state, "iter_num": iter_num, "best": best, "rng": rng})
        if run.should_stop:
            return
        loss = loss_of(*get_batch("train"))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        run.log({"train/loss/total": loss}, iter_num)
        iter_num += 1
        if iter_num > max_iters:
            break
"""

LIGHTNING = """
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class AutoEncoder(L.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16))

    def training_step(self, batch, _):
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[0])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[0]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)

def loaders():
    data = TensorDataset(torch.sin(torch.arange(0, 112 * 16).float()).reshape(112, 16))
    return DataLoader(data, batch_size=8, shuffle=True), DataLoader(data, batch_size=112)
"""

HUGGING_FACE = """
import torch
from transformers import GPT2Config, GPT2LMHeadModel

def build_model():
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=61, n_positions=16, n_embd=16, n_layer=1, n_head=2, **ends)
    return GPT2LMHeadModel(config)

def datasets():
    rows = (torch.arange(200 * 16) ** 2 % 61).reshape(200, 16)
    items = [{"input_ids": row, "labels": row} for row in rows]
    return {"train_dataset": items[:180], "eval_dataset": items[180:]}
"""

STOPS = few_or_many((23,), (23, 41))
Curves = dict[tuple[str, str, int], float]


def recipe(name: str) -> str:
    (code,) = re.findall(rf"```python\n# {name}\.py.*?```", PAGE.read_text(), re.DOTALL)
    return code.strip("`").removeprefix("python\n")


def compared(project: Project, body: str) -> tuple[Curves, Curves]:
    """Return the points of runs that were never stopped, and of runs that were stopped.

    They are of two studies in one folder: the frameworks take seconds to import.
    """
    for name in ("calm", "stopped"):
        project.write(f"{name}.py", body)
        project.write(f"studies/{name}.yaml", STUDY.format(name=name))
        project.ablate("study", "create", name)
    for step in STOPS:
        project.ablate("run", "stopped", "--workers", "2", "--steps", str(step))
    project.ablate("run", "--workers", "2")

    assert project.rows("SELECT state, count(*) FROM runs GROUP BY 1") == [("succeeded", 4)]
    attempts = "SELECT trainer, count(*) FROM attempts JOIN runs ON run_id = runs.id GROUP BY 1"
    assert dict(project.rows(attempts)) == {
        "calm:train": 2,
        "stopped:train": 2 + 2 * len(STOPS),
    }
    points, again = (curves(project, study) for study in ("calm", "stopped"))
    variants = {"base", "lr=0.01"}
    assert {variant for variant, _, _ in points} == {variant for variant, _, _ in again} == variants
    beside = {path.name for path in project.folder.iterdir()}
    ours = {"studies", "calm.py", "stopped.py", "__pycache__"}
    assert beside <= ours | {".ablate", ".gitignore"}
    return points, again


def curves(project: Project, study: str) -> Curves:
    query = "SELECT variant, key, step, value FROM run_metrics WHERE study = ?"
    rows = project.rows(f"{query} AND key NOT LIKE 'system/%'", study)
    return {(variant, key, step): value for variant, key, step, value in rows}


def test_script_of_nanogpts_kind(tmp_path: Path) -> None:
    points, again = compared(Project(tmp_path), SCRIPT)

    assert len(points) == 2 * (7 + 61)
    assert again == points


def test_lightning_module(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="needs lightning")

    points, again = compared(Project(tmp_path), recipe("lit") + LIGHTNING)

    train = {key for key in points if key[1].startswith("train/")}
    assert train == {
        (variant, "train/loss/total", step)
        for variant in ("base", "lr=0.01")
        for step in range(5, 61, 5)
    }
    assert set(again) >= train
    before = {key: value for key, value in points.items() if key[2] <= 20}
    assert {key: again[key] for key in before} == before


def test_hugging_face_trainer(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers")

    points, again = compared(Project(tmp_path), recipe("hf") + HUGGING_FACE)

    assert set(again) >= set(points)
    evaluated = {key: value for key, value in points.items() if key[1] == "valid/loss/total"}
    assert {step for _, _, step in evaluated} == {20, 40, 60}
    assert {key: again[key] for key in evaluated} == evaluated
