"""The host's MODEL as the trainer sees it (`training.model.BaseModel`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..errors import DanluError
from ..training.data import TrainingData
from ..training.formats import FileNames
from ..training.model import RowCondition
from ..training.objective import Prediction
from .frozen import aliases, borrowed_weight, frozen_layers
from .names import file_names

FLUX_GUIDANCE = 1.0
"""Guidance-distilled models are trained at 1.0 by every trainer; the host fills in 3.5 when nothing is said."""

TRAINING_MEMORY_FACTOR = 4
"""Memory to keep free, in units of what the host estimates for sampling the same batch (a guess: not run on CUDA)."""

_FAMILIES: tuple[tuple[type, str], ...] = (
    (comfy.model_base.Flux, "flux"),
    (comfy.model_base.SDXL, "generic"),
    (comfy.model_base.SD21UNCLIP, "generic"),
    (comfy.model_base.BaseModel, "generic"),
)
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class HostModel:
    """A MODEL lent by the host: its own weights, on its own device, in whatever dtype they are."""

    def __init__(self, patcher: ModelPatcher) -> None:
        self.patcher = patcher

    @property
    def model(self) -> Any:
        return self.patcher.model

    @property
    def network(self) -> nn.Module:
        return self.model.diffusion_model

    @property
    def device(self) -> torch.device:
        return torch.device(self.patcher.load_device)

    @property
    def family(self) -> str:
        if type(self.model) is comfy.model_base.BaseModel and self._context_width() == 768:
            return "sd15"
        return next(name for kind, name in _FAMILIES if isinstance(self.model, kind))

    @property
    def sampling(self) -> Any:
        return self.patcher.get_model_object("model_sampling")

    @property
    def prediction(self) -> Prediction:
        """The objective, read off `model_sampling`; raises DanluError for kinds that have no known one."""
        kinds = comfy.model_sampling
        unknown = (kinds.X0, kinds.EDM, kinds.IMG_TO_IMG_FLOW)
        if not isinstance(self.sampling, unknown):
            if isinstance(self.sampling, kinds.CONST) and getattr(self.sampling, "noise_scale", 1.0) == 1.0:
                return Prediction.FLOW
            if isinstance(self.sampling, kinds.V_PREDICTION):
                return Prediction.V
            if isinstance(self.sampling, kinds.EPS):
                return Prediction.EPS
        raise DanluError(
            f"model: {type(self.model).__name__} predicts in a way that Danlu cannot train yet. "
            "Wire a model that predicts noise (eps), velocity (v) or flow."
        )

    @property
    def sigmas(self) -> Tensor | None:
        return None if self.prediction is Prediction.FLOW else self.sampling.sigmas.detach().clone().cpu()

    @property
    def shift(self) -> float:
        if self.prediction is not Prediction.FLOW:
            return 1.0
        # Half way through the schedule: s / (1 + s). Flux keeps mu = log(s) where others keep s.
        middle = float(self.sampling.percent_to_sigma(0.5))
        return middle / (1.0 - middle)

    def tokens(self, latent_shape: Sequence[int]) -> int:
        """(B, channels, height, width) or (B, channels, frames, height, width) in the network's patches."""
        size = getattr(self.network, "patch_size", getattr(self.network, "patch", 1))
        patch = list(size) if isinstance(size, (list, tuple)) else [size, size]
        sides = latent_shape[2:]
        patch = [1] * (len(sides) - len(patch)) + patch[-len(sides) :]
        return math.prod(-(-side // step) for side, step in zip(sides, patch, strict=True))

    def check_fits(self, data: TrainingData) -> None:
        """Raises DanluError when the training data was encoded for another kind of model."""
        channels = self.model.latent_format.latent_channels
        found = data.latent(data.entries[0]).shape[0]
        if found != channels:
            raise DanluError(
                f"training_data holds latents of {found} channels, but the model works on {channels}. "
                "Encode the dataset with the VAE that belongs to this model."
            )
        width, wanted = data.empty_conditioning().cross_attn.shape[-1], self._context_width()
        if wanted is not None and width != wanted:
            raise DanluError(
                f"training_data holds text embeddings of width {width}, but the model reads {wanted}. "
                "Encode the dataset with the text encoder that belongs to this model."
            )

    def _context_width(self) -> int | None:
        config: Mapping[str, Any] = self.model.model_config.unet_config
        return config.get("context_in_dim", config.get("context_dim"))

    @contextmanager
    def borrowed(self, precision: str, latent_shape: Sequence[int]) -> Iterator[None]:
        """See `training.model.BaseModel.borrowed`.

        Loading happens in the host's own mode: a LoRA that a test baked in is taken out there by putting the
        original tensors back, while outside of inference mode the host would clone them.
        """
        activations = TRAINING_MEMORY_FACTOR * self.model.memory_required(list(latent_shape))
        comfy.model_management.load_models_gpu([self.patcher], memory_required=activations)
        before = comfy.model_management.in_training, self.model.manual_cast_dtype
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(aliases(self.model))
            stack.enter_context(frozen_layers(self.network))
            try:
                comfy.model_management.in_training = True
                self.model.manual_cast_dtype = self._compute_dtype(precision)
                yield
            finally:
                comfy.model_management.in_training, self.model.manual_cast_dtype = before

    def _compute_dtype(self, precision: str) -> torch.dtype | None:
        if precision in _PRECISIONS:
            return _PRECISIONS[precision]
        if self.model.get_dtype_inference() is torch.float16:
            # Gradients of a mean over a picture's elements lie below fp16's range.
            return torch.bfloat16 if comfy.model_management.should_use_bf16(self.device) else torch.float32
        return self.model.manual_cast_dtype

    def lend(self, layer: nn.Module, like: Tensor) -> AbstractContextManager[tuple[Tensor, Tensor | None]]:
        return borrowed_weight(layer, like)

    def file_names(self, stems: Sequence[str]) -> FileNames:
        return file_names(self.model, stems)

    def prepare_latent(self, latent: Tensor) -> Tensor:
        return self.model.process_latent_in(latent).to(self.device)

    def groups(self, rows: Sequence[RowCondition], latent_shape: torch.Size) -> list[list[int]]:
        if len(rows) == 1:
            return [[0]]
        noise = torch.empty((1, *latent_shape[1:]), device=self.device)
        groups: list[list[int]] = []
        first: list[dict[str, Any]] = []
        for i, row in enumerate(rows):
            conds = self._conds(noise, row)
            fit = next((g for g, other in enumerate(first) if _can_concat(other, conds)), None)
            if fit is None:
                groups.append([i])
                first.append(conds)
            else:
                groups[fit].append(i)
        return groups

    def predict(self, noisy: Tensor, sigma: Tensor, rows: Sequence[RowCondition]) -> Tensor:
        per_row = [self._conds(noisy[i : i + 1], row) for i, row in enumerate(rows)]
        conds = {key: per_row[0][key].concat([row[key] for row in per_row[1:]]) for key in per_row[0]}
        answer: list[Tensor] = []
        # `apply_model` turns the answer into x0; the objective is on the answer itself.
        handle = self.network.register_forward_hook(lambda _module, _args, output: answer.append(output))
        try:
            self.model.apply_model(noisy, sigma, transformer_options=self._options(sigma), **conds)
        finally:
            handle.remove()
        return answer[0]

    def _conds(self, noise: Tensor, row: RowCondition) -> dict[str, Any]:
        """One row's conditioning, through the model's own `extra_conds`, as `comfy.samplers.encode_model_conds`."""
        height, width = row.target_size
        conds = self.model.extra_conds(
            **{name: value.to(self.device) for name, value in row.text.extras.items()},
            cross_attn=row.text.cross_attn.to(self.device),
            noise=noise,
            device=self.device,
            width=row.original_size[1],
            height=row.original_size[0],
            crop_w=row.crop[1],
            crop_h=row.crop[0],
            target_width=width,
            target_height=height,
            guidance=FLUX_GUIDANCE,
            prompt_type="positive",
        )
        return {key: cond.process_cond(batch_size=1, device=self.device, area=None) for key, cond in conds.items()}

    def _options(self, sigma: Tensor) -> dict[str, Any]:
        options = dict(self.patcher.model_options.get("transformer_options", {}))
        options["sigmas"] = sigma
        # The host may have picked an attention without a backward (sage) or a slow one (sub-quadratic on a CPU).
        options["optimized_attention_override"] = lambda _picked, *args, **kwargs: attention_pytorch(*args, **kwargs)
        return options


def _can_concat(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(a[key].can_concat(b[key]) for key in a)
