"""The contenders: each trains (or computes) step after step and calls `pace` at the end of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .models import Layout, Samples, diffusers_unet, load_model
from .scenarios import Contender, Scenario

STEPS = 100_000
LEARNING_RATE = 1e-4
Pace = Callable[[], None]


@dataclass(frozen=True)
class Setup:
    """All that a contender is given; `path` is the model's file, `scratch` a folder that is thrown away."""

    scenario: Scenario
    contender: Contender
    layout: Layout
    samples: Samples
    path: Path
    scratch: Path


class Runner:
    """Made before the memory is measured: it loads the model. `libraries` then imports what training needs."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.load()

    def load(self) -> None:
        self.patcher = load_model(self.setup.path)
        if not self.setup.contender.default_attention:
            options = self.patcher.model_options.setdefault("transformer_options", {})
            options["optimized_attention_override"] = torch_attention

    def libraries(self) -> None:
        pass

    def run(self, pace: Pace) -> None:
        raise NotImplementedError


def torch_attention(_picked: Any, *args: Any, **kwargs: Any) -> Tensor:
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(*args, **kwargs)


class Ours(Runner):
    """What the train node runs, from its checks to the end of a step, on a dataset that is encoded on disk."""

    def libraries(self) -> None:
        import diffusers.optimization  # noqa: F401
        import peft  # noqa: F401

    def run(self, pace: Pace) -> None:
        from ..host import training
        from ..training.config import LoRAConfig, TrainingConfig

        with torch.inference_mode(), _reporting_to(training, pace):
            training.train_on_host(
                self.patcher,
                _encoded(self.setup),
                LoRAConfig(rank=self.setup.scenario.rank, targets="attention+mlp", dropout=0.0),
                TrainingConfig(
                    learning_rate=LEARNING_RATE,
                    optimizer="adamw",
                    batch_size=self.setup.scenario.batch,
                    gradient_accumulation=1,
                    precision="fp32",
                    gradient_checkpointing="on" if self.setup.contender.checkpointing else "off",
                    caption_dropout=0.0,
                ),
                node_id=None,
                inputs=training.RunInputs(STEPS, save_every=STEPS, name="bench"),
            )


@contextmanager
def _reporting_to(training: Any, pace: Pace) -> Iterator[None]:
    class Paced(training.NodeReporter):  # type: ignore[misc]
        def step(self, report: Any) -> None:
            super().step(report)
            pace()

    before, training.NodeReporter = training.NodeReporter, Paced
    try:
        yield
    finally:
        training.NodeReporter = before


def _encoded(setup: Setup) -> Any:
    from ..training.cache import DiskCache
    from ..training.data import Conditioning, Entry, TrainingData

    with torch.inference_mode(False):
        cache = DiskCache(setup.scratch / "encoded", "bench")
        size = (8 * setup.scenario.side, 8 * setup.scenario.side)
        entries = []
        cache.put_conditioning("", Conditioning(torch.zeros_like(setup.samples.texts[0]), {}))
        for i, latent in enumerate(setup.samples.latents):
            extras = {"pooled_output": setup.samples.pooled[i]}
            cache.put_latent(f"latent{i}", latent)
            cache.put_conditioning(f"picture {i}", Conditioning(setup.samples.texts[i], extras))
            entries.append(
                Entry(
                    name=f"{i}.png",
                    image_key=str(i),
                    captions=(f"picture {i}",),
                    latent_key=f"latent{i}",
                    flipped_latent_key=None,
                    repeats=1,
                    original_size=size,
                    crop=(0, 0),
                    target_size=size,
                )
            )
    return TrainingData(tuple(entries), cache, "", "bench", len(entries))


class Host(Runner):
    """The host's own `TrainLoraNode`: same data, rank, learning rate and precision."""

    bypass = False

    def run(self, pace: Pace) -> None:
        from comfy_extras import nodes_train

        class Paced(nodes_train.ProgressBar):  # type: ignore[misc]
            """Moves at the end of each step; the host's own hook leaves steps out."""

            def update(self, value: int) -> None:
                super().update(value)
                pace()

        nodes_train.ProgressBar = Paced
        arguments: dict[str, Any] = {
            "model": self.patcher,
            "batch_size": self.setup.scenario.batch,
            "grad_accumulation_steps": 1,
            "steps": STEPS,
            "learning_rate": LEARNING_RATE,
            "rank": self.setup.scenario.rank,
            "optimizer": "AdamW",
            "loss_function": "MSE",
            "seed": 0,
            "training_dtype": "fp32",
            "lora_dtype": "fp32",
            "quantized_backward": False,
            "algorithm": "LoRA",
            "gradient_checkpointing": self.setup.contender.checkpointing,
            "checkpoint_depth": 1,
            "offloading": False,
            "existing_lora": "[None]",
            "bucket_mode": False,
            "bypass_mode": self.bypass,
        }
        # The node takes every input as a list.
        latents = [{"samples": self.setup.samples.latents.clone()}]
        with torch.inference_mode():
            nodes_train.TrainLoraNode.execute(
                latents=latents, positive=self._conditionings(), **{k: [v] for k, v in arguments.items()}
            )

    def _conditionings(self) -> list[Any]:
        samples = self.setup.samples
        return [
            [[text.clone(), {"pooled_output": pooled.clone()}]]
            for text, pooled in zip(samples.texts, samples.pooled, strict=True)
        ]


class Bypass(Host):
    """The same node in bypass mode: adapters by hook, which is what the host offers for quantised bases."""

    bypass = True


class OutOfPlace(TorchFunctionMode):
    """`x += y` computes a new tensor: with that, blocks that change activations in place have a plain backward."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.add_:  # what `+=` calls
            return args[0] + args[1]
        return func(*args, **(kwargs or {}))


class Floor(Runner):
    """No adapters and no optimizer: forward through the frozen network and backward to its input, same batch."""

    def run(self, pace: Pace) -> None:
        import comfy.model_management

        from ..host.frozen import aliases
        from ..host.model import HostModel
        from ..training.model import RowCondition

        data = _encoded(self.setup)
        model = HostModel(self.patcher)
        size = data.entries[0].target_size
        rows = [RowCondition(data.conditioning(e), size, (0, 0), size) for e in data.entries]
        batch = self.setup.scenario.batch
        sigma = torch.full((batch,), 0.5)
        mode = OutOfPlace if self.setup.layout.channels == 16 else _nothing
        comfy.model_management.in_training = True
        with torch.inference_mode(False), aliases(self.patcher.model), mode():
            self.patcher.model.requires_grad_(False)
            while True:
                latent = self.setup.samples.latents[:batch].clone().requires_grad_()
                model.predict(latent, sigma, rows[:batch]).square().mean().backward()
                pace()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


class Diffusers(Runner):
    """A plain training script: diffusers' own UNet class with peft's layers inside, AdamW, gradient clipping."""

    TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")

    def load(self) -> None:
        self.unet = diffusers_unet(self.setup.path, self.setup.layout, self.setup.scenario.side)

    def libraries(self) -> None:
        import peft  # noqa: F401

    def run(self, pace: Pace) -> None:
        from peft import LoraConfig

        rank, batch = self.setup.scenario.rank, self.setup.scenario.batch
        self.unet.requires_grad_(False)
        self.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(self.TARGETS)))
        self.unet.train()
        if self.setup.contender.checkpointing:
            self.unet.enable_gradient_checkpointing()
        trained = [p for p in self.unet.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)
        latents = self.setup.samples.latents[:batch]
        text = torch.cat(self.setup.samples.texts[:batch])
        while True:
            noise = torch.randn_like(latents)
            steps = torch.randint(0, 1000, (batch,))
            answer = self.unet(latents + noise, steps, encoder_hidden_states=text).sample
            torch.nn.functional.mse_loss(answer, noise).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            pace()


RUNNERS: dict[str, type[Runner]] = {
    "floor": Floor,
    "ours": Ours,
    "host": Host,
    "bypass": Bypass,
    "diffusers": Diffusers,
}


def timed_libraries(runner: Runner) -> float:
    start = time.perf_counter()
    runner.libraries()
    return time.perf_counter() - start
