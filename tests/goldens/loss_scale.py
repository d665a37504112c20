"""Writes what torch's GradScaler does with its scale over steps whose gradients are finite or not.

usage: loss_scale.py OUTPUT
OUTPUT becomes JSON: the options, whether each step's gradients are finite, and scale and growth tracker after each step.
"""
import json
import random
import sys

import torch

options = {"initial": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 5}
scaler = torch.amp.GradScaler("cpu", init_scale=options["initial"], growth_factor=options["growth_factor"], backoff_factor=options["backoff_factor"], growth_interval=options["growth_interval"])
weight = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([weight], lr=0.0)
random.seed(7)
steps = []
for step in range(120):
    finite = random.random() > 0.12
    scaler.scale((weight * 1.0).sum()).backward()
    if not finite:
        weight.grad.fill_(float("inf") if step % 2 else float("nan"))
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    state = scaler.state_dict()
    steps.append({"finite": finite, "scale": state["scale"], "good_steps": state["_growth_tracker"]})
json.dump({"options": options, "steps": steps}, open(sys.argv[1], "w"), indent=1)
