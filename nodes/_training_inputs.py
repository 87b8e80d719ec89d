"""The inputs of Training Config (Danlu)."""

from __future__ import annotations

from comfy_api.latest import io

from ._types import AUTO_FAMILY


def training_inputs() -> list[io.Input]:
    """All but `base`. Saved graphs know them by their order: new ones go to the end."""
    return [*_main_inputs(), *_advanced_inputs()]


def _main_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "learning_rate",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=1e-7,
            round=False,
            tooltip=f"How far each step moves the weights; 1e-4 can be typed. {AUTO_FAMILY}",
        ),
        io.Int.Input(
            "batch_size",
            default=-1,
            min=-1,
            max=1024,
            tooltip="Pictures a step, each with its own caption. -1: auto, 1.",
        ),
        io.Combo.Input(
            "lr_scheduler",
            options=["auto", "constant", "linear", "cosine", "cosine_with_restarts", "polynomial"],
            default="auto",
            tooltip="How the learning rate changes over the run. auto: constant after the warmup.",
        ),
        io.Int.Input(
            "gradient_accumulation",
            default=-1,
            min=-1,
            max=1024,
            tooltip="Batches added up before each step: a larger batch without its memory. -1: auto, 1.",
        ),
    ]


def _advanced_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "optimizer",
            options=[
                "auto",
                "adamw",
                "adamw8bit",
                "adafactor",
                "lion",
                "prodigy",
                "schedulefree",
                "sgd",
                "other",
            ],
            default="auto",
            tooltip=(
                "What turns gradients into steps. adamw8bit, prodigy, schedulefree need a package of their own, and "
                "say which. prodigy finds its learning rate itself. other: any of torch.optim, by optimizer_args. "
                "auto: AdamW."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "weight_decay",
            default=-1.0,
            min=-1.0,
            max=10.0,
            step=0.001,
            round=False,
            tooltip=f"Pull of the LoRA's weights towards zero. {AUTO_FAMILY}",
            advanced=True,
        ),
        io.Int.Input(
            "schedule_steps",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="Steps over which the schedule runs. -1: auto, the steps of the run.",
            advanced=True,
        ),
        io.Int.Input(
            "warmup_steps",
            default=-1,
            min=-1,
            max=10_000_000,
            tooltip="Steps in which the learning rate rises to its full value. -1: auto, 2 % of the schedule.",
            advanced=True,
        ),
        io.Combo.Input(
            "precision",
            options=["auto", "fp32", "bf16", "fp16"],
            default="auto",
            tooltip=(
                "What the model computes in. auto: what ComfyUI chose for it, but never fp16. fp16: gradients are "
                "scaled, for cards without bf16. The LoRA itself is always fp32."
            ),
            advanced=True,
        ),
        io.Combo.Input(
            "gradient_checkpointing",
            options=["auto", "on", "off"],
            default="auto",
            tooltip=(
                "Recompute activations instead of keeping them: much less memory, slower. auto: on where memory "
                "would not do without."
            ),
            advanced=True,
        ),
        io.Combo.Input(
            "timestep_sampling",
            options=[
                "auto",
                "uniform",
                "sigmoid",
                "shift",
                "resolution_shift",
                "logit_normal",
                "high_noise",
                "low_noise",
            ],
            default="auto",
            tooltip=(
                "Which noise levels are trained most. sigmoid: the middle. high_noise: form; low_noise: detail. shift, "
                "logit_normal, resolution_shift: towards noise, by timestep_shift or by the picture's size. auto: "
                "what suits the model's family."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "max_grad_norm",
            default=-1.0,
            min=-1.0,
            max=1e6,
            step=0.1,
            tooltip="Gradients longer than this are shortened to it. 0: never. -1: auto, 1.0.",
            advanced=True,
        ),
        io.Float.Input(
            "caption_dropout",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.01,
            tooltip="Share of pictures trained with an empty caption. -1: auto, 0.05.",
            advanced=True,
        ),
        *_later_inputs(),
    ]


def _later_inputs() -> list[io.Input]:
    """Optional: a graph in the API format from before they came runs as it did."""
    return [
        io.Float.Input(
            "prior_preservation",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=0.1,
            optional=True,
            tooltip=(
                "Weight of what keeps the model as it was where the trigger is not asked for: on regularisation "
                "pictures, else on captions without the trigger. Costs a third more time. 0: none. -1: auto, 1 with "
                "regularisation pictures, else 0."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "timestep_shift",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=0.05,
            optional=True,
            tooltip=(
                "How far the timestep samplings shift and logit_normal move towards noise; 1: not at all. -1: auto, "
                "what the model's family is trained with."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "sigma_min",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.005,
            optional=True,
            tooltip="Lowest noise level that is trained, as a share of the schedule: 0 is clean. -1: auto, 0.",
            advanced=True,
        ),
        io.Float.Input(
            "sigma_max",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.005,
            optional=True,
            tooltip="Highest noise level that is trained, as a share of the schedule: 1 is pure noise. -1: auto, 1.",
            advanced=True,
        ),
        *_loss_inputs(),
        *_optimizer_inputs(),
        *_validation_inputs(),
    ]


def _loss_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "loss",
            options=["auto", "mse", "huber", "smooth_l1", "l1"],
            default="auto",
            optional=True,
            tooltip="How errors count. huber, smooth_l1, l1: large ones less, for uneven pictures. auto: mse.",
            advanced=True,
        ),
        io.Combo.Input(
            "loss_weighting",
            options=["auto", "none", "min_snr", "debiased", "sigma_sqrt", "cosmap"],
            default="auto",
            optional=True,
            tooltip=(
                "How much each noise level counts. min_snr, debiased: for SD1.5, SDXL and others that predict noise "
                "or v; sigma_sqrt, cosmap: for flow models. auto: what suits the model's family."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "min_snr_gamma",
            default=-1.0,
            min=-1.0,
            max=1000.0,
            step=0.5,
            optional=True,
            tooltip="Of min_snr: smaller counts clean levels less. -1: auto, 5.",
            advanced=True,
        ),
        io.Float.Input(
            "noise_offset",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="Noise that makes whole pictures lighter and darker, for very dark or bright ones; 0.03 to 0.1 is "
            "usual, and not for flow models. -1: auto, 0.",
            advanced=True,
        ),
        io.Float.Input(
            "multires_noise",
            default=-1.0,
            min=-1.0,
            max=0.99,
            step=0.01,
            optional=True,
            tooltip="Coarser noise on top, each level so much weaker than the last; 0.1 to 0.4 is usual. -1: auto, 0.",
            advanced=True,
        ),
        io.Float.Input(
            "unmasked_weight",
            default=-1.0,
            min=-1.0,
            max=1.0,
            step=0.05,
            optional=True,
            tooltip="With masks: how much the part around them counts. -1: auto, 0.",
            advanced=True,
        ),
    ]


def _optimizer_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "optimizer_args",
            default="",
            placeholder="betas=(0.9, 0.99), eps=1e-8",
            optional=True,
            tooltip=(
                "More settings of the optimizer, as name=value, separated by commas. With the optimizer other, "
                "class=NAdam names the class of torch.optim."
            ),
            advanced=True,
        ),
        io.Float.Input(
            "text_encoder_learning_rate",
            default=-1.0,
            min=-1.0,
            max=100.0,
            step=1e-7,
            round=False,
            optional=True,
            tooltip="Where the text encoder is trained too. -1: auto, half the learning rate.",
            advanced=True,
        ),
        io.Float.Input(
            "lora_plus_ratio",
            default=-1.0,
            min=-1.0,
            max=1000.0,
            step=1.0,
            optional=True,
            tooltip="LoRA+: how much faster the second factor (B) learns than the first; 4 to 16 is common. Auto: 1.",
            advanced=True,
        ),
        io.Float.Input(
            "ema_decay",
            default=-1.0,
            min=-1.0,
            max=0.999999,
            step=0.001,
            round=False,
            optional=True,
            tooltip=(
                "Saves a moving average of the LoRA in place of its last state: smoother, for long runs. 0.99 to "
                "0.999 is usual. 0: off. -1: auto, 0."
            ),
            advanced=True,
        ),
        io.Int.Input(
            "lr_cycles",
            default=-1,
            min=-1,
            max=1000,
            optional=True,
            tooltip="With lr_scheduler cosine_with_restarts: how often it falls. -1: auto, 3.",
            advanced=True,
        ),
    ]


def _validation_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "validation",
            options=["auto", "on", "off"],
            default="auto",
            optional=True,
            tooltip=(
                "Measures each checkpoint, for the advisor. auto: from 12 images on, one of ten is held out, never "
                "trained on; or wire a folder of its own to Encode Dataset (Danlu). on: also of fewer. off: all images "
                "are trained on, and nothing tells which checkpoint is over-trained."
            ),
            advanced=True,
        ),
        io.Int.Input(
            "early_stop",
            default=-1,
            min=-1,
            max=1000,
            optional=True,
            tooltip=(
                "Ends the training when so many checkpoints in a row are over-trained. Set to 0 again, it goes on. "
                "-1: auto, never."
            ),
            advanced=True,
        ),
    ]
