"""The training loop: it steps. It names no model and no widget."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import DanluError
from .adapters import AdapterSet
from .batches import BatchPlan
from .checkpointing import IN_PLACE, checkpointed, mutation_allowed
from .clock import Clock
from .config import TrainingConfig
from .data import Entry, TrainingData
from .disk import DiskError
from .losses import Loss
from .memory import SAMPLING_FACTOR, needs
from .model import BaseModel
from .objective import add_noise, target
from .optimization import Optimization
from .optimizers import parameter_groups, try_optimizer
from .precision import check_precision
from .prior import Prior
from .reporter import Command, Paused, Reporter
from .rng import derive_seed, kept_generators
from .rows import Batch, RowMaker, joined
from .shortage import OutOfMemory, explained, is_out_of_memory
from .step_log import Losses, StepLog
from .text import TrainedText
from .watch import Diverged, Watch, check_finite

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a training goes on: what `Trainer.state` gave."""

    state: dict[str, Any]
    exact: bool = True
    """The same run: bit for bit as if it had never stopped. Else the settings may be others."""
    optimizer: bool = True
    """Whether the optimizer's state is taken over, where not exact."""


@dataclass
class Trainer:
    """One run in memory. `config` is resolved: nothing in it is left on auto."""

    model: BaseModel
    data: TrainingData
    adapters: AdapterSet
    config: TrainingConfig
    seed: int
    reporter: Reporter = field(default_factory=Reporter)
    on_step: Callable[[StepLog], None] = lambda _log: None
    """Called after each step, inside the loan: cheap things only, or a checkpoint."""
    on_save: Callable[[int], None] = lambda _step: None
    """Called inside the loan when a checkpoint of a step is asked for."""
    on_stop: Callable[[int], None] = lambda _step: None
    """Called inside the loan, with the last whole step, when training ends before its time."""
    activations: int | None = None
    """Bytes of a step's activations, where they were measured; None: as the model guesses."""
    text: TrainedText | None = None
    """The text encoder, where it is trained too."""
    past_losses: Sequence[float] = ()
    """Of the steps before the first one: what is told of the loss goes on with them."""

    def __post_init__(self) -> None:
        self.plan = BatchPlan.of(self.data.trained, self.config.batch_size, self.seed)
        data = self.text.live(self.data) if self.text else self.data
        self.rows = RowMaker.of(self.model, data, self.config, self.seed)
        self.objective = Loss.of(self.config, self.model.prediction)
        self.prior = Prior.of(self.data, self.config, self.seed)
        self.parameters = self.adapters.parameters()
        if self.text:
            self.parameters += self.text.adapters.parameters()
        check_precision(self.config.precision, self.model.device)
        # A missing package or a wrong argument is told before the model is loaded.
        try_optimizer(self._groups(), self.config)
        self.watch = Watch()
        self.optimization: Optimization | None = None
        self._mutates = False
        self._step = 0
        self._done: int | None = 0
        """The last step, while the adapters and the optimizer's state are whole."""
        self._saving = self._finishing = False
        """What was asked for, also before the first step."""

    def run(self, steps: int, start: Start | None = None) -> int:
        """Trains up to `steps`, from the first step or from `start`; the step that it ended at.

        That is before `steps` when the reporter was told to finish. Whatever ends it, the model is given back as it
        was lent.
        """
        shortage: OutOfMemory | None = None
        try:
            with self.lent():
                self._steps(steps, start)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            shortage = self._explained(error)
        if shortage:
            # Out here the first error is gone, and with it every activation that its frames held.
            raise shortage
        return self._step

    def _explained(self, error: Exception) -> OutOfMemory:
        self._let_go()
        rank = max(adapter.rank for adapter in self.adapters.adapters.values())
        latent = largest_latent(self.data.entries, self.data)
        return explained(error, self._step + 1, self.config, self._reserve(), latent, rank)

    def _let_go(self) -> None:
        """Of gradients and optimizer state: the adapters alone stay."""
        self.optimization = None
        for parameter in self.parameters:
            parameter.grad = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The model with the adapters beside its layers, for the time of the context."""
        with ExitStack() as stack:
            stack.enter_context(self.model.borrowed(self.config.precision, self._reserve()))
            self.adapters.to(self.model.device).train()
            self.adapters.start(self.model.network, self.model.lend)
            stack.enter_context(self.adapters.attached(self.model.network))
            if self.text:
                stack.enter_context(self.text.lent())
            if self.config.gradient_checkpointing == "on":
                stack.enter_context(checkpointed(self.model.network, dict(self.adapters.adapters)))
            yield

    def _reserve(self) -> int:
        """Bytes for all that comes on top of the base."""
        activations = self.activations
        if activations is None:
            batch = [self.config.batch_size, *largest_latent(self.data.entries, self.data)]
            activations = SAMPLING_FACTOR * self.model.sampling_memory(batch)
        return needs(self.parameters, self.config, activations).total

    def _steps(self, steps: int, start: Start | None) -> None:
        self._begin(start)
        clock = Clock(steps, self.past_losses)
        try:
            while self._step < steps and self._goes_on():
                entry = self._one_step(self._step + 1)
                self.on_step(entry)
                self.reporter.step(clock.report(entry.step, entry.loss, entry.learning_rate))
            if start is not None and self._step == start.state["step"]:
                # Nothing was left to train: only the checkpoint is missing.
                self.on_save(self._step)
        except BaseException as error:
            self._keep_after(error)
            raise

    def _goes_on(self) -> bool:
        """Between two steps: what the user asks for. Raises when that is to stop."""
        self.reporter.check_interrupt()
        command = self.reporter.command()
        if command is Command.PAUSE:
            raise Paused(f"Paused after step {self._step:,}.")
        self._saving |= command is Command.SAVE
        if self._saving and self._step:
            self._saving = False
            self.on_save(self._step)
        self._finishing |= command is Command.FINISH
        if self._finishing and self._step:
            self.on_save(self._step)
            return False
        return True

    def _one_step(self, step: int) -> StepLog:
        optimization = self.optimization
        assert optimization is not None
        optimization.forget_gradients()
        loss = self.accumulate(step)
        self.watch.loss(loss.rows + loss.prior, step)
        grad_norm = optimization.clip()
        if not optimization.scaler.is_enabled():
            check_finite("gradient", grad_norm, step)
        rate = optimization.learning_rate
        self._done = None
        optimization.step()
        self._step = self._done = step
        return StepLog(step, loss.rows, rate, grad_norm, loss.prior, tuple(loss.drawn))

    def finish(self) -> None:
        """Training ends after the step that runs, as when the user says so."""
        self._finishing = True

    def _keep_after(self, error: BaseException) -> None:
        """Keeps the last whole step, where the error left one that is worth it."""
        if self._done and not isinstance(error, (Diverged, DiskError)):
            self.on_stop(self._done)

    def state(self) -> dict[str, Any]:
        """Between two steps: all that the next ones depend on. Numbers, tensors, and containers of them.

        Noise, timesteps, order and dropout are no part of it: they follow from the seed and the number of the step.
        """
        assert self.optimization is not None
        return {
            "step": self._step,
            "adapters": self.adapters.training_state(),
            "text": self.text.adapters.training_state() if self.text else None,
            "optimization": self.optimization.state(),
            "watch": self.watch.state(),
        }

    def _begin(self, start: Start | None) -> None:
        """The adapters first: averages and some optimizers begin with what they are."""
        if start is not None:
            self._load_adapters(start.state)
        self.optimization = Optimization(self._groups(), self.config, self.model.device)
        if start is None:
            return
        if start.exact:
            self.optimization.load_state(start.state["optimization"])
            self.watch.load_state(start.state["watch"])
        elif start.optimizer and not self.optimization.take_over(start.state["optimization"]):
            log.warning("The optimizer is of another kind than before: it begins anew, with the weights as they are.")
        self._step = self._done = start.state["step"]

    def _load_adapters(self, state: dict[str, Any]) -> None:
        _check_fit(self.adapters, state["adapters"])
        self.adapters.load_training_state(state["adapters"])
        if self.text:
            _check_fit(self.text.adapters, state["text"] or {})
            self.text.adapters.load_training_state(state["text"])

    def weights_to_keep(self) -> AbstractContextManager[None]:
        """The adapters as a checkpoint shall hold them, for the time of the context."""
        return self.optimization.weights_to_keep() if self.optimization else nullcontext()

    def _groups(self) -> list[dict[str, Any]]:
        """The parameters by learning rate."""
        groups = parameter_groups(self.adapters, self.config.learning_rate, self.config.lora_plus_ratio)
        if self.text:
            rate = self.config.text_encoder_learning_rate
            groups += parameter_groups(self.text.adapters, rate, self.config.lora_plus_ratio)
        return groups

    def accumulate(self, step: int) -> Losses:
        """Forward and backward of one optimizer step."""
        accumulation = self.config.gradient_accumulation
        micro = range((step - 1) * accumulation, step * accumulation)
        try:
            with self._dropout_seed(step):
                return self._micro_batches(step, micro)
        except RuntimeError as error:
            if self._mutates or IN_PLACE not in str(error):
                raise
        # This model changes tensors that autograd keeps: from now on they are copied when that happens.
        log.info("The model changes activations in place; autograd keeps copies of them.")
        self._mutates = True
        for parameter in self.parameters:
            parameter.grad = None
        with self._dropout_seed(step):
            return self._micro_batches(step, micro)

    def _micro_batches(self, step: int, indices: range) -> Losses:
        found = Losses()
        for k, index in enumerate(indices):
            entries = self.plan.rows(index)
            first_row = k * self.config.batch_size
            batch = self.rows.batch(step, first_row, entries)
            rows_in_step = len(indices) * self.config.batch_size
            if self.prior:
                priors = self.prior.batches(self.rows, step, first_row, entries)
                self._backward_with(batch, entries, rows_in_step, priors, self.prior, found)
            else:
                found.rows += self._backward(batch, entries, rows_in_step, found)
        return found

    def _backward(self, batch: Batch, entries: Sequence[Entry], rows_in_step: int, found: Losses) -> float:
        """Backward of the rows' part of a mean over `rows_in_step`; that part."""
        total = 0.0
        for rows in self.model.groups(batch.rows, batch.latent.shape):
            part = batch.select(rows)
            with mutation_allowed() if self._mutates else nullcontext():
                losses = self.row_losses(part)
                loss = losses.mean() * (len(rows) / rows_in_step)
                self._scaled(loss).backward()
            total += loss.item()
            found.note([entries[i] for i in rows], part.sigma, losses)
        return total

    def _backward_with(
        self,
        batch: Batch,
        entries: Sequence[Entry],
        rows_in_step: int,
        priors: Iterator[Batch],
        prior: Prior,
        found: Losses,
    ) -> None:
        """As `_backward`, with prior rows: in the same pass where they are of the same size."""
        together = [replace(batch, wanted=self._target(batch), share=_shares(batch, 1.0 / rows_in_step))]
        apart: list[Batch] = []
        for rows in priors:
            made = replace(rows, wanted=self.base_answer(rows), share=_shares(rows, prior.weight / prior.count))
            (together if rows.latent.shape[1:] == batch.latent.shape[1:] else apart).append(made)
        for merged, trained in ((joined(together), len(batch.rows)), *((rows, 0) for rows in apart)):
            for indices in self.model.groups(merged.rows, merged.latent.shape):
                part = merged.select(indices)
                with mutation_allowed() if self._mutates else nullcontext():
                    losses = self.row_losses(part)
                    self._scaled((losses * part.share).sum()).backward()
                own = [k for k, i in enumerate(indices) if i < trained]
                found.note([entries[indices[k]] for k in own], part.sigma[own], losses[own])
                for i, loss in zip(indices, losses.tolist(), strict=True):
                    if i < trained:
                        found.rows += loss / rows_in_step
                    else:
                        found.prior += loss / prior.count

    def _scaled(self, loss: Tensor) -> Tensor:
        return self.optimization.scaled(loss) if self.optimization else loss

    def base_answer(self, batch: Batch) -> Tensor:
        """What the base answers, as if nothing had been trained: the target of prior rows."""
        answer = torch.empty_like(batch.latent)
        with torch.no_grad(), self.adapters.silent():
            for rows in self.model.groups(batch.rows, batch.latent.shape):
                part = batch.select(rows)
                conditions = [replace(row, text=row.text.untrained or row.text) for row in part.rows]
                noisy = add_noise(self.model.prediction, part.latent, part.noise, part.sigma)
                answer[rows] = self.model.predict(noisy, part.sigma, conditions).to(answer.dtype)
        return answer

    @contextmanager
    def _dropout_seed(self, step: int) -> Iterator[None]:
        """Adapter dropout draws from torch's own generators: seeded by step, and put back as they were."""
        with kept_generators(self.model.device):
            torch.manual_seed(derive_seed(self.seed, step, "dropout"))
            yield

    def loss(self, batch: Batch) -> Tensor:
        """Between the network's answer and its target: the mean over rows."""
        return self.row_losses(batch).mean()

    def row_losses(self, batch: Batch) -> Tensor:
        """(B,)"""
        noisy = add_noise(self.model.prediction, batch.latent, batch.noise, batch.sigma)
        answer = self.model.predict(noisy, batch.sigma, batch.rows)
        return self.objective.rows(answer, self._target(batch), batch.sigma, batch.mask)

    def _target(self, batch: Batch) -> Tensor:
        if batch.wanted is not None:
            return batch.wanted
        return target(self.model.prediction, batch.latent, batch.noise, batch.sigma)


def _check_fit(adapters: AdapterSet, state: dict[str, Tensor]) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in adapters.training_state().items()}
    if own != {name: tuple(tensor.shape) for name, tensor in state.items()}:
        raise DanluError(
            "What the earlier run has learned does not fit: its algorithm, rank or layers are others. Set these as "
            "they were, choose a new run, or give its file as start_lora."
        )


def _shares(batch: Batch, share: float) -> Tensor:
    return torch.full_like(batch.sigma, share)


def largest_latent(entries: Sequence[Entry], data: TrainingData) -> tuple[int, ...]:
    """Shape of the largest latent, (channels, ...)."""
    one_per_bucket = {entry.bucket: entry for entry in entries}.values()
    return max((tuple(data.latent(entry).shape) for entry in one_per_bucket), key=math.prod)
