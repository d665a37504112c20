"""Writes what transformers' learning-rate schedules give, as a part of the peak, for steps 1 to the last.

usage: schedules.py OUTPUT
OUTPUT becomes a JSON list; "schedule" are the fields of this project's ScheduleSpec that mean the same.
"""
import json
import sys

import torch
from transformers import get_scheduler

STEPS = 40
PEAK = 0.5


def values(name, warmup, **specific):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=STEPS, scheduler_specific_kwargs=specific or None)
    result = []
    for _ in range(STEPS):
        optimizer.step()
        scheduler.step()
        result.append(scheduler.get_last_lr()[0] / PEAK)
    return result


def case(kind, name, warmup, minimum=0.0, specific=None, **fields):
    return {
        "schedule": {"kind": kind, "total_steps": STEPS, "warmup_steps": warmup, "min_learning_rate_ratio": minimum, **fields},
        "factors": values(name, warmup, **(specific or {})),
    }


cases = [
    case("Cosine", "cosine", 0),
    case("Cosine", "cosine", 7),
    case("Cosine", "cosine_with_min_lr", 7, 0.1, {"min_lr_rate": 0.1}),
    case("Constant", "constant", 0),
    case("Constant", "constant_with_warmup", 7),
    case("Linear", "linear", 0),
    case("Linear", "linear", 7),
    case("Linear", "polynomial", 7, 0.1, {"lr_end": 0.1 * PEAK, "power": 1.0}),
    case("Polynomial", "polynomial", 7, 0.1, {"lr_end": 0.1 * PEAK, "power": 2.0}, power=2.0),
    case("Polynomial", "polynomial", 0, 0.0, {"lr_end": 0.0, "power": 0.5}, power=0.5),
]
for shape, theirs in (("Cosine", "cosine"), ("Linear", "linear"), ("InverseSquareRoot", "1-sqrt")):
    for warmup, minimum in ((7, 0.0), (0, 0.1)):
        cases.append(case("WarmupStableDecay", "warmup_stable_decay", warmup, minimum, {"num_decay_steps": 12, "decay_type": theirs, "min_lr_ratio": minimum}, decay_steps=12, decay_shape=shape))

json.dump(cases, open(sys.argv[1], "w"), indent=1)
