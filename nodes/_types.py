"""The socket types that Danlu's nodes share. Names are for ever: workflows refer to them."""

from __future__ import annotations

from comfy_api.latest import io

DatasetType = io.Custom("DANLU_DATASET")
TrainingDataType = io.Custom("DANLU_TRAINING_DATA")
LoRAConfigType = io.Custom("DANLU_LORA_CONFIG")
TrainingConfigType = io.Custom("DANLU_TRAINING_CONFIG")
RunType = io.Custom("DANLU_RUN")
CheckpointsType = io.Custom("DANLU_CHECKPOINTS")
CaptionerType = io.Custom("DANLU_CAPTIONER")
LoopType = io.Custom("DANLU_LOOP")
LoraModelType = io.Custom("LORA_MODEL")
"""The host's: a dict of tensors that its LoraModelLoader takes."""
LossMapType = io.Custom("LOSS_MAP")
"""The host's: {"loss": [...]}, what its LossGraphNode draws."""

CATEGORY = "Danlu"

AUTO_FAMILY = "-1: auto, from the model's family."
"""End of the tooltip of a number that the family table knows."""
