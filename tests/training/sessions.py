"""Opens runs of VSE++ without training."""

from __future__ import annotations

from typing import Any

import torch

from vse import networks
from vse.losses import build_objective, resolve
from vse.training.recipe import Recipe
from vse.training.runs import Interrupt, Run
from vse.training.session import Session, open_session
from VSEpp_LSEH.train import Options


def opened(options: Options, run: Run, **recipe: Any) -> Session:
    torch.manual_seed(options.training.seed)
    objective = build_objective(resolve(options.objective))
    return open_session(networks.folder("VSEpp"), options, objective, Recipe(**recipe), run, Interrupt())
