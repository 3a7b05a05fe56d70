"""AdamW with the published parameter groups, the learning rate over time, and averaged weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fastinst_rt.models.mask2former_light import SequentialDecoder
from fastinst_rt.models.queries import LearnableQueries
from fastinst_rt.training.config import OptimizerConfig, ScheduleConfig

NO_DECAY = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d, LearnableQueries, SequentialDecoder)
"""Modules whose own parameters are not decayed: norms and embeddings. The learnable position map is decayed."""


def parameter_groups(net: nn.Module, config: OptimizerConfig) -> list[dict[str, object]]:
    """At most four groups: backbone or not, decayed or not; parameters that do not learn are in none."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for prefix, module in net.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                backbone = f"{prefix}.{name}".startswith("backbone.")
                groups.setdefault((backbone, not isinstance(module, NO_DECAY)), []).append(parameter)
    return [
        {
            "params": parameters,
            "base_lr": config.lr * (config.backbone_factor if backbone else 1.0),
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for (backbone, decayed), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def freeze(net: nn.Module, prefixes: Sequence[str]) -> None:
    """Stop the learning of parameters whose names start with one of `prefixes`."""
    for name, parameter in net.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)


def rate_factor(iteration: int, schedule: ScheduleConfig) -> float:
    """The learning rate of step `iteration` (from 0), relative to the base rate."""
    factor = schedule.drop_factor ** sum(iteration >= at for at in schedule.drop_at)
    if iteration < schedule.warmup:
        share = iteration / schedule.warmup
        factor *= 0.001 * (1 - share) + share
    left = schedule.iterations - iteration
    if left < schedule.cooldown:
        factor *= left / schedule.cooldown
    return factor


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its base rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


class AveragedWeights:
    """Exponential moving average of a network's weights.

    Over the first steps the decay is (1 + n) / (10 + n), so that the start is forgotten soon.

    Args:
        net: the network; its present weights are the start.
        decay: of one update.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Move towards the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in net.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(value.detach(), 1 - decay)
            else:
                average.copy_(value)

    def state_dict(self) -> dict[str, object]:
        """The average and the number of updates."""
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take up a stored average."""
        updates, weights = state["updates"], state["weights"]
        assert isinstance(updates, int)
        assert isinstance(weights, dict)
        self.updates = updates
        for name, value in weights.items():
            assert isinstance(value, Tensor)
            self.weights[name].copy_(value)
