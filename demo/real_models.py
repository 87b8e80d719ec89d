"""The real models that template workflows name: where each file lies, and where it comes from.

Files that ComfyUI's own templates use have the very address that those give, so that a user has them once.
"""

from __future__ import annotations

from .template_files import Model

_HUB = "https://huggingface.co"
_COMFY = f"{_HUB}/Comfy-Org"


def _split(repository: str, directory: str, name: str) -> Model:
    """Of Comfy-Org's repositories, which have a folder for each kind of file."""
    return Model(name, f"{_COMFY}/{repository}/resolve/main/split_files/{directory}/{name}", directory)


SDXL = Model(
    "sd_xl_base_1.0.safetensors",
    f"{_HUB}/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors?download=true",
    "checkpoints",
)
ILLUSTRIOUS = Model(
    "Illustrious-XL-v1.0.safetensors",
    f"{_HUB}/OnomaAIResearch/Illustrious-XL-v1.0/resolve/main/Illustrious-XL-v1.0.safetensors",
    "checkpoints",
)

FLUX = Model("flux1-dev.safetensors", f"{_COMFY}/flux1-dev/resolve/main/flux1-dev.safetensors", "diffusion_models")
KONTEXT = _split("flux1-kontext-dev_ComfyUI", "diffusion_models", "flux1-dev-kontext_fp8_scaled.safetensors")
_FLUX_TEXT = f"{_HUB}/comfyanonymous/flux_text_encoders/resolve/main"
CLIP_L = Model("clip_l.safetensors", f"{_FLUX_TEXT}/clip_l.safetensors", "text_encoders")
T5 = Model("t5xxl_fp16.safetensors", f"{_FLUX_TEXT}/t5xxl_fp16.safetensors", "text_encoders")
T5_FP8 = Model(
    "t5xxl_fp8_e4m3fn_scaled.safetensors", f"{_FLUX_TEXT}/t5xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders"
)
FLUX_VAE = _split("Lumina_Image_2.0_Repackaged", "vae", "ae.safetensors")

KLEIN = _split("flux2-klein", "diffusion_models", "flux-2-klein-base-4b.safetensors")
KLEIN_TEXT = _split("flux2-klein", "text_encoders", "qwen_3_4b.safetensors")
FLUX2_VAE = _split("flux2-dev", "vae", "flux2-vae.safetensors")

ZIMAGE = _split("z_image_turbo", "diffusion_models", "z_image_turbo_bf16.safetensors")
ZIMAGE_TEXT = _split("z_image_turbo", "text_encoders", "qwen_3_4b.safetensors")
ZIMAGE_VAE = _split("z_image_turbo", "vae", "ae.safetensors")
ZIMAGE_ASSISTANT = Model(
    "zimage_turbo_training_adapter_v2.safetensors",
    f"{_HUB}/ostris/zimage_turbo_training_adapter/resolve/main/zimage_turbo_training_adapter_v2.safetensors",
    "loras",
)

QWEN_EDIT = _split("Qwen-Image-Edit_ComfyUI", "diffusion_models", "qwen_image_edit_2509_fp8_e4m3fn.safetensors")
QWEN_TEXT = _split("Qwen-Image_ComfyUI", "text_encoders", "qwen_2.5_vl_7b_fp8_scaled.safetensors")
QWEN_VAE = _split("Qwen-Image_ComfyUI", "vae", "qwen_image_vae.safetensors")

_WAN = "Wan_2.2_ComfyUI_Repackaged"
WAN_HIGH = _split(_WAN, "diffusion_models", "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors")
WAN_LOW = _split(_WAN, "diffusion_models", "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors")
WAN_TEXT = _split("Wan_2.1_ComfyUI_repackaged", "text_encoders", "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
WAN_VAE = _split(_WAN, "vae", "wan_2.1_vae.safetensors")

NOT_OF_COMFYUI = (ILLUSTRIOUS, ZIMAGE_ASSISTANT)
"""Those that none of ComfyUI's own templates names."""
ALL = tuple(value for value in list(globals().values()) if isinstance(value, Model))
