"""Scripts that take part in an experiment as those of the networks do, but learn nothing and start at once."""

from __future__ import annotations

import csv
from pathlib import Path

TRAIN = r"""
import json, os, sys, time
from pathlib import Path

def flag(name, default=None):
    places = [i for i, word in enumerate(sys.argv) if word == name]
    return sys.argv[places[-1] + 1] if places else default

folder, seed, epochs = Path(flag("--logger_name")), int(flag("--seed")), int(flag("--num_epochs", "3"))
loss = flag("--loss")
if loss == "broken":
    print("some words")
    sys.exit("error: this objective does not exist")
with (folder / "spans").open("a") as file:
    file.write(f"{os.environ['OMP_NUM_THREADS']} {time.monotonic()}")
state = folder / "checkpoint.pth.tar"
done = json.loads(state.read_text()) if state.exists() else []
for epoch in range(len(done) + 1, epochs + 1):
    time.sleep(float(os.environ.get("EPOCH_SECONDS", "0.01")))
    start = json.loads(Path(flag("--init_model")).read_text())[-1] if flag("--init_model") else 0
    done.append(start + 10 * epoch + seed + {"lmh": 0, "hal": 30, "sum_hinge": 5}[loss])
    for name in ("checkpoint.pth.tar", "model_best.pth.tar"):
        (folder / f"{name}.new").write_text(json.dumps(done))
        (folder / f"{name}.new").replace(folder / name)
recalls = dict.fromkeys(("r1", "r5", "r10", "r1i", "r5i", "r10i"), 1.0)
rows = [{"kind": "dev", "step": e, "epoch": e, "ends_epoch": True, "rsum": v, **recalls} for e, v in enumerate(done, 1)]
(folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
record = {
    "network": "Stand-in", "options": {"loss": loss, "seed": seed}, "seed": seed, "ended": "now", "started_from": None,
    "environment": {"command": ["python", *sys.argv], "commit": "c" * 40, "dirty": False, "host": "here",
                    "device_name": "none"},
    "best_epoch": len(done), "selected_by": "rsum", "cpu_seconds": time.process_time(), "wall_seconds": 1.0,
    "peak_memory_mb": 100.0,
}
(folder / "run.json").write_text(json.dumps(record))
with (folder / "spans").open("a") as file:
    file.write(f" {time.monotonic()}\n")
"""


EVALUATION = r"""
import json, sys
from pathlib import Path

def flag(name):
    return sys.argv[sys.argv.index(name) + 1]

models = [flag("--model_path"), *(sys.argv[sys.argv.index("--ensemble") + 1 :] if "--ensemble" in sys.argv else [])]
values = [json.loads(Path(model).read_text())[-1] for model in models]
rsum = sum(values) / len(values)
if flag("--model_path").endswith("checkpoint.pth.tar"):
    rsum += {1: 50}.get(len(json.loads(Path(models[0]).read_text())), 0)  # the first epoch is the best on test
hit = ["0" if 10 * i < rsum else "19" for i in range(20)]
metrics = {name: rsum / 6 for name in ("r1", "r5", "r10", "r1i", "r5i", "r10i")} | {"rsum": rsum}
ranks = {"image_to_text": " ".join(hit), "text_to_image": " ".join(hit), "caption_image": " ".join(map(str, range(20)))}
data = {"name": "test", "images": 20, "captions": 20, "captions_sha256": "a", "caption_image_sha256": "b"}
records = [json.loads((Path(model).parent / "run.json").read_text()) for model in models]
record = {"models": [{"record": r} for r in records], "data": data, "protocol": {},
          "environment": {"command": ["python", *sys.argv]}}
Path(flag("--json")).write_text(json.dumps(metrics | {"ranks": ranks, "record": record}))
"""


def add(plan: Path, line: str) -> None:
    plan.write_text(f"{line}\n{plan.read_text()}")


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of an experiment's table without what depends on the machine."""
    with (folder / "report" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    machine = {"CPU s", "s", "MB", "CPU s sd", "s sd", "MB sd"}
    return [{name: value for name, value in row.items() if name not in machine} for row in rows]
