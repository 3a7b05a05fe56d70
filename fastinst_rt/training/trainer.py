"""The training loop: steps, checkpoints that resume exactly, logs. One process, or many under torchrun."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fastinst_rt.backends.allocator import keep_freed_memory
from fastinst_rt.backends.hardware import resolve_device
from fastinst_rt.errors import UsageError, WeightsError
from fastinst_rt.models.fastinst import FastInst, Prediction, Trace
from fastinst_rt.pictures import make_folder
from fastinst_rt.training.config import RunConfig, TrainConfig
from fastinst_rt.training.criterion import Criterion, LossWeights
from fastinst_rt.training.journal import LOG, Log, load_checkpoint, save_checkpoint
from fastinst_rt.training.loader import Batch, SampleStream, Slots, make_loader
from fastinst_rt.training.matcher import Matcher
from fastinst_rt.training.optimizer import AveragedWeights, parameter_groups, rate_factor, set_rate

Report = Callable[[dict[str, float]], None]
"""Called after every step with the figures of the log."""


@dataclass(frozen=True)
class Process:
    """This process among those of a run.

    Attributes:
        rank, world: number of this process, and how many there are.
        device: where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls, device: str) -> "Process":
        """Join the processes that torchrun started, or be the only one.

        Args:
            device: "auto", "cpu", "cuda" or "cuda:N".

        Raises:
            UsageError: for a device that does not exist here.
        """
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
            device = f"cuda:{local}"
        where = torch.device(resolve_device(device))
        if where.type == "cpu":
            keep_freed_memory()
        if "WORLD_SIZE" not in os.environ:
            return cls(0, 1, where)
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size(), where)


class Objective(nn.Module):
    """Network and criterion in one module, so that a distributed wrapper sees the whole step.

    Args:
        net: the network.
        criterion: the losses.
        amp: arithmetic of the network; the losses are computed in float32.
    """

    def __init__(self, net: FastInst, criterion: Criterion, amp: str) -> None:
        super().__init__()
        self.net = net
        self.criterion = criterion
        self._amp = {"off": None, "fp16": torch.float16, "bf16": torch.bfloat16}[amp]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted losses by name."""
        device = next(self.net.parameters()).device
        normalized = self.net.normalize(batch.images.to(device, non_blocking=True))
        for picture, (height, width) in zip(normalized, batch.sizes, strict=True):
            picture[:, height:] = 0  # the published order: normalise first, then pad with zeros
            picture[:, :, width:] = 0
        targets = [target.to(device) for target in batch.targets]
        with self._autocast(device):
            trace = self.net.trace(normalized=normalized)
        return self.criterion(self._guide, trace, targets).weighted

    def _guide(self, trace: Trace, attention_masks: Tensor) -> tuple[Prediction, ...]:
        with self._autocast(attention_masks.device):
            return self.net.guided_predictions(trace, attention_masks)

    def _autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self._amp is None else torch.autocast(device.type, self._amp)


class Trainer:
    """A training run in a folder.

    Batches and random points depend on the seed and the step only: a run that is interrupted and resumed gives the same
    losses (bit-equal on the CPU) as one that is not.

    Args:
        config: the recipe.
        net: the network, with its starting weights.
        stream: samples.
        folder: where checkpoint and log go.
        process: this process.
        resume: go on from the folder's checkpoint where there is one; the schedule may have changed since.

    Raises:
        OutputError: the folder cannot be made.
        WeightsError: the checkpoint is damaged, or of another network or recipe.
    """

    def __init__(
        self,
        config: TrainConfig,
        net: FastInst,
        stream: SampleStream,
        folder: Path,
        process: Process,
        *,
        resume: bool = False,
    ) -> None:
        self.config = config
        self.net = net.to(process.device).train()
        self.process = process
        self.folder = folder
        self.iteration = 0
        self._stream = stream
        self._micro_batch = _micro_batch(config.run, process.world)
        self._objective = Objective(self.net, make_criterion(config), config.run.amp)
        self._optimizer = torch.optim.AdamW(parameter_groups(self.net, config.optimizer), lr=config.optimizer.lr)
        self._scaler = torch.amp.GradScaler(process.device.type, enabled=config.run.amp == "fp16")
        self._average = AveragedWeights(self.net, config.optimizer.ema_decay) if config.optimizer.ema_decay else None
        make_folder(folder)
        if resume:
            self._restore()
        self._step_module: nn.Module = self._objective
        if process.world > 1:
            ids = [process.device.index] if process.device.type == "cuda" else None
            self._step_module = DistributedDataParallel(self._objective, device_ids=ids)
        self._log = Log(folder / LOG, self.iteration) if process.rank == 0 else None

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to use after training: the average where one is kept."""
        return self.net.state_dict() if self._average is None else self._average.weights

    def run(self, report: Report | None = None, stop: int | None = None) -> None:
        """Train to the end of the schedule.

        Args:
            report: called after each step.
            stop: stop after this step instead, with a checkpoint.
        """
        config = self.config.run
        last = min(self.config.schedule.iterations, stop or self.config.schedule.iterations)
        slots = Slots(self.iteration, last, config.accumulate, self._micro_batch, self.process.rank)
        batches = iter(make_loader(self._stream, slots, config.workers))
        while self.iteration < last:
            figures = self._step(batches)
            self.iteration += 1
            if self._log is not None and (self.iteration % config.log_every == 0 or self.iteration == last):
                self._log.add(figures)
            if report is not None:
                report(figures)
            if self.iteration % config.checkpoint_every == 0 or self.iteration == last:
                self.save()

    def _step(self, batches: Iterator[Any]) -> dict[str, float]:
        started = time.perf_counter()
        config = self.config
        factor = rate_factor(self.iteration, config.schedule)
        set_rate(self._optimizer, factor)
        torch.manual_seed(_step_seed(config.run.seed, self.iteration, self.process.rank))
        self._optimizer.zero_grad(set_to_none=True)
        parts = config.run.accumulate
        sums: dict[str, float] = {}
        for part in range(parts):
            batch = next(batches)
            with self._unsynchronised(part < parts - 1):
                losses = self._step_module(batch)
                total = torch.stack(list(losses.values())).sum() / parts
                torch.autograd.backward(self._scaler.scale(total))
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item() / parts
        if config.optimizer.clip_norm:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.net.parameters(), config.optimizer.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average is not None:
            self._average.update(self.net)
        seconds = time.perf_counter() - started
        return {
            "iteration": self.iteration,
            "seconds": seconds,
            "lr": config.optimizer.lr * factor,
            "total": sum(sums.values()),
            **sums,
        }

    def _unsynchronised(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        """No exchange of gradients between processes before the last part of an accumulated step."""
        if wanted and isinstance(self._step_module, DistributedDataParallel):
            context: contextlib.AbstractContextManager[Any] = self._step_module.no_sync()
            return context
        return contextlib.nullcontext()

    def save(self) -> None:
        """Write the checkpoint (first process only)."""
        if self.process.rank:
            return
        state = {
            "iteration": self.iteration,
            "config": json.dumps(self.config.as_dict()),
            "net": self.net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }
        save_checkpoint(self.folder, state)

    def _restore(self) -> None:
        state = load_checkpoint(self.folder)
        if state is None:
            return
        try:
            self._take(state)
        except (RuntimeError, KeyError, ValueError) as error:
            raise WeightsError(
                f"The checkpoint in {self.folder} is not one of this network and recipe: {str(error).splitlines()[0]}",
                "Give the configuration it was made with, or another folder.",
            ) from error

    def _take(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        base = [group["base_lr"] for group in self._optimizer.param_groups]
        self._optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(self._optimizer.param_groups, base, strict=True):
            group["base_lr"] = rate  # of the configuration, which may have changed
        self._scaler.load_state_dict(state["scaler"])
        if self._average is not None and state["average"] is not None:
            self._average.load_state_dict(state["average"])
        self.iteration = int(state["iteration"])


def make_criterion(config: TrainConfig) -> Criterion:
    """The objective of a configuration."""
    loss = config.loss
    matcher = Matcher(
        class_cost=loss.classification,
        mask_cost=loss.mask,
        dice_cost=loss.dice,
        location_cost=1000.0 if loss.location_cost else 0.0,
        num_points=loss.num_points,
    )
    weights = LossWeights(loss.classification, loss.mask, loss.dice, loss.proposal, loss.no_object)
    return Criterion(
        matcher,
        weights,
        loss.num_points,
        gt_mask_guidance=loss.gt_mask_guidance,
        mask_quality=loss.mask_quality,
        exclusive_classes=loss.exclusive_classes,
    )


def _micro_batch(run: RunConfig, world: int) -> int:
    size, rest = divmod(run.batch, world * run.accumulate)
    if rest or not size:
        raise UsageError(
            f"A batch of {run.batch} cannot be shared by {world} processes in {run.accumulate} parts each.",
            "Make run.batch a multiple of processes x run.accumulate.",
        )
    return size


def _step_seed(seed: int, iteration: int, rank: int) -> int:
    return (seed * 1_000_003 + iteration) * 4099 + rank
