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
from ..training.memory import Card
from ..training.model import RowCondition
from ..training.objective import Prediction
from .assistant import Assistant
from .conditioning import can_concat, pads_with_grey, row_conditions, takes_references, text_width
from .families import family_of, file_name, takes_start_frame
from .frozen import aliases, borrowed_weight, frozen_layers
from .kernels import plain_kernels
from .memory import card_of
from .names import file_names
from .text import HostText

_NO_BACKWARD = "no autograd formula was registered"
"""What torch says of a fused kernel that the host uses although it was told that it is training."""

_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class HostModel:
    """A MODEL lent by the host: its own weights, on its own device, in whatever dtype they are."""

    def __init__(
        self,
        patcher: ModelPatcher,
        edits: bool = False,
        assistant: Assistant | None = None,
        text: HostText | None = None,
    ) -> None:
        """`edits`: the training data holds pictures to start from, which no weight of an edit model tells.

        `assistant`: stands beside the layers for as long as the model is lent. `text`: is loaded with the model, to
        be trained too.
        """
        self.patcher = patcher
        self.edits = edits
        self.assistant = assistant
        self.text = text

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
        return family_of(self.model, self.prediction, self.file, self.edits)

    @property
    def file(self) -> str:
        """Name of the model's file, "" when it is not known."""
        return file_name(self.patcher)

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
        latents = [data.latent(entry) for entry in data.entries[:1]]
        self._check_latent(latents[0])
        width, wanted = data.empty_conditioning().cross_attn.shape[-1], text_width(self.model)
        if wanted is not None and width != wanted:
            raise DanluError(
                f"training_data holds text embeddings of width {width}, but the model reads {wanted}. "
                "Encode the dataset with the text encoder that belongs to this model."
            )
        self._check_pictures(data)

    def _check_latent(self, latent: Tensor) -> None:
        channels = self.model.latent_format.latent_channels
        if latent.shape[0] != channels:
            raise DanluError(
                f"training_data holds latents of {latent.shape[0]} channels, but the model works on {channels}. "
                "Encode the dataset with the VAE that belongs to this model."
            )
        if latent.ndim == 4 and self.model.latent_format.latent_dimensions == 2:
            raise DanluError(
                "training_data holds latents of video frames, but the model makes single pictures. "
                "Encode the dataset with the VAE that belongs to this model."
            )

    def _check_pictures(self, data: TrainingData) -> None:
        if any(entry.reference_keys for entry in data.entries) and not takes_references(self.model):
            raise DanluError(
                "training_data holds before pictures, but this model does not read any. Wire an edit model "
                "(Flux.1 Kontext, Flux.2, Qwen-Image-Edit), or leave before_folder empty."
            )
        shown = takes_start_frame(self.model)
        if getattr(self.model, "concat_keys", ()) and not shown:
            raise DanluError(
                f"model: {type(self.model).__name__} also reads a masked or a source picture, which Danlu does not "
                "train. Wire the model without inpainting or instructions that it was made from."
            )
        for entry in data.entries if shown and pads_with_grey(self.model) else ():
            start = data.start(entry)
            if start is None or start.shape[2] != data.latent(entry).shape[1]:
                raise DanluError(
                    f"{entry.name}: this model is shown the first frame of each clip followed by grey, which "
                    "training_data does not hold. Encode the dataset again, or train on single frames (frames 1)."
                )

    def card(self) -> Card:
        return card_of(self.patcher)

    def sampling_memory(self, latent_shape: Sequence[int]) -> int:
        return int(self.model.memory_required(list(latent_shape)))

    @contextmanager
    def borrowed(self, precision: str, memory: int) -> Iterator[None]:
        """See `training.model.BaseModel.borrowed`.

        Loading happens in the host's own mode: a LoRA that a test baked in is taken out there by putting the
        original tensors back, while outside of inference mode the host would clone them.
        """
        beside = [self.text.patcher] if self.text else []
        comfy.model_management.load_models_gpu([self.patcher, *beside], memory_required=memory)
        before = comfy.model_management.in_training, self.model.manual_cast_dtype
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(aliases(self.model))
            stack.enter_context(frozen_layers(self.network))
            stack.enter_context(plain_kernels(self.model))
            if self.assistant is not None:
                stack.enter_context(self.assistant.attached(self.network, self.device))
            try:
                comfy.model_management.in_training = True
                self.model.manual_cast_dtype = self._compute_dtype(precision)
                yield
            except RuntimeError as error:
                if _NO_BACKWARD in str(error):
                    raise DanluError(
                        f"model: {type(self.model).__name__} runs a kernel of ComfyUI that has no backward "
                        f"({str(error).splitlines()[0]}). This family cannot be trained on this version of ComfyUI."
                    ) from error
                raise
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
        return file_names(self.model, stems, self.text.network if self.text else None)

    def prepare_latent(self, latent: Tensor) -> Tensor:
        if latent.ndim == 4 and self.model.latent_format.latent_dimensions == 3:
            # A picture from a VAE for pictures: one frame.
            latent = latent.unsqueeze(2)
        return self.model.process_latent_in(latent).to(self.device)

    def groups(self, rows: Sequence[RowCondition], latent_shape: torch.Size) -> list[list[int]]:
        if len(rows) == 1:
            return [[0]]
        noise = torch.empty((1, *latent_shape[1:]), device=self.device)
        groups: list[list[int]] = []
        first: list[dict[str, Any]] = []
        for i, row in enumerate(rows):
            conds = self._conds(noise, row)
            fit = next((g for g, other in enumerate(first) if can_concat(self.model, other, conds)), None)
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
        return row_conditions(self.model, noise, row, self.device)

    def _options(self, sigma: Tensor) -> dict[str, Any]:
        options = dict(self.patcher.model_options.get("transformer_options", {}))
        options["sigmas"] = sigma
        # The host may have picked an attention without a backward (sage) or a slow one (sub-quadratic on a CPU).
        options["optimized_attention_override"] = lambda _picked, *args, **kwargs: attention_pytorch(*args, **kwargs)
        return options
