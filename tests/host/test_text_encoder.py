"""Training the text encoder: right gradients through the whole chain, nothing changed, files that are applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import nodes as host_nodes
import numpy as np
import pytest
import torch
from comfy import sd1_clip, sdxl_clip
from safetensors.torch import save_file
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from danlu.errors import DanluError
from danlu.host.lora import verify
from danlu.host.model import HostModel
from danlu.host.preparation import ModelChoices, prepare
from danlu.host.start_lora import read_start_lora
from danlu.host.text import HostText
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.data import Conditioning, TrainingData
from danlu.training.formats import stems_of, to_format
from danlu.training.loop import StepLog, Trainer
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.run import train_lora
from danlu.training.saving import SaveRequest, save_run
from danlu.training.trained import Trained

from ..families.models import load_family
from ..families.table import KINDS, Kind
from .finite_differences import FP32_MIXED, check_gradients
from .snapshot import Snapshot, snapshot
from .support import HELD, Base, entry, relative, resolved, run, seeded
from .test_start_lora import loras_in


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return loras_in(tmp_path / "loras", monkeypatch)


SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 64}


def weights(layers: int, seed: int) -> dict[str, Tensor]:
    """A small CLIP's, in the layout of the files that people have."""
    width, inner = SMALL["hidden_size"], SMALL["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (49408, width),
        "embeddings.position_embedding.weight": (77, width),
        "final_layer_norm.weight": (width,),
        "final_layer_norm.bias": (width,),
    }
    for layer in range(layers):
        start = f"encoder.layers.{layer}"
        linear: dict[str, tuple[int, ...]] = {f"self_attn.{p}_proj": (width, width) for p in ("q", "k", "v", "out")}
        linear |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
        for name, shape in linear.items():
            shapes |= {f"{start}.{name}.weight": shape, f"{start}.{name}.bias": shape[:1]}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{start}.{name}.weight": (width,), f"{start}.{name}.bias": (width,)}
    stream = np.random.RandomState(seed)
    state = {}
    for name, shape in shapes.items():
        noise = torch.from_numpy(stream.standard_normal(shape)).float()
        plain = noise / shape[-1] ** 0.5 if len(shape) > 1 else 0.1 * noise
        state[f"text_model.{name}"] = 1 + plain if "norm" in name and name.endswith("weight") else plain
    return {**state, "text_projection.weight": torch.eye(width)}


class Target:
    """What the host's loader finds out about files."""

    params: dict[str, Any] = {}

    def __init__(self, clip: type, tokenizer: type) -> None:
        self.clip, self.tokenizer = clip, tokenizer


def small_clip(family: str) -> Any:
    """CLIP-L as SD1.5's, CLIP-L and G as SDXL's; as the host makes them from files, which would fix their sizes."""
    files = [weights(3, 0)]
    target = Target(sd1_clip.SD1ClipModel, sd1_clip.SD1Tokenizer)
    if family == "sdxl":
        # A layer 30 is what the host knows it by.
        files.append({**weights(3, 1), "text_model.encoder.layers.30.mlp.fc1.weight": torch.zeros(64, 32)})
        target = Target(sdxl_clip.SDXLClipModel, sdxl_clip.SDXLTokenizer)
    options = {"clip_l_model_config": SMALL, "clip_g_model_config": SMALL, "dtype": torch.float32}
    with torch.inference_mode():
        return comfy.sd.CLIP(target, state_dict=files, model_options=options)


def kind_of(name: str) -> Kind:
    """The family's small UNet, for the small text encoders' widths."""
    kind = next(kind for kind in KINDS if kind.name == name)
    width = 64 if name == "sdxl" else 32
    unet = {**kind.unet, "context_dim": width}
    if name == "sdxl":
        unet["adm_in_channels"] = 32 + 6 * 256
    return replace(kind, unet=unet, text=(77, width), file=f"{name}-text.safetensors", extras={})


@dataclass(frozen=True)
class Bench:
    base: Base
    clip: Any

    @property
    def text_base(self) -> Base:
        """The text encoder as something to take a snapshot of."""
        return Base("clip", self.clip.patcher)


@cache
def _bench(name: str, folder: Path) -> Bench:
    return Bench(load_family(folder, kind_of(name)), small_clip(name))


@pytest.fixture(params=["sd15", "sdxl"])
def bench(request: pytest.FixtureRequest, model_folder: Path) -> Bench:
    return _bench(request.param, model_folder)


CAPTIONS = ("a red fox", "(blue:1.3) sea")


def encoded(clip: Any, caption: str) -> Conditioning:
    """As a dataset's captions are encoded."""
    with torch.inference_mode():
        cond, extras = clip.encode_from_tokens_scheduled(clip.tokenize(caption))[0]
    kept = {name: value.float().cpu().clone() for name, value in extras.items() if isinstance(value, Tensor)}
    return Conditioning(cond.float().cpu().clone(), kept)


@dataclass(frozen=True)
class Encoded:
    """Latents made up; captions encoded beforehand."""

    texts: dict[str, Conditioning]

    def latent(self, key: str) -> Tensor:
        return seeded(key, 4, 4, 4)

    def conditioning(self, caption: str) -> Conditioning:
        return self.texts[caption]


def is_sdxl(bench: Bench) -> bool:
    return hasattr(bench.clip.cond_stage_model, "clip_g")


def data_of(bench: Bench) -> TrainingData:
    entries = tuple(
        replace(entry(f"p{i}", pixels=32), captions=(text,), class_captions=("a fox",))
        for i, text in enumerate(CAPTIONS)
    )
    cache = Encoded({caption: encoded(bench.clip, caption) for caption in ("", "a fox", *CAPTIONS)})
    return TrainingData(entries, cache, "trig", "fingerprint", 2)


def trainer_of(
    bench: Bench, lora: dict[str, Any] | None = None, moved: bool = True, **training: Any
) -> tuple[Trainer, Trained]:
    settings = resolved(bench.base, {"text_encoder": "on", **(lora or {})}, training)
    text = HostText(bench.clip)
    model = HostModel(bench.base.patcher, text=text)
    trained = Trained.create(model, settings.lora, 0, LoRAConfig(), None, text)
    if moved:
        with torch.inference_mode(False), torch.no_grad():
            for i, parameter in enumerate(trained.parameters()):
                parameter += seeded(str(i), *parameter.shape) * (0.5 / parameter[0].numel() ** 0.5)
    trainer = Trainer(model, data_of(bench), trained.network, settings.training, 0, text=trained.text)
    return trainer, trained


def text_tensors(trained: Trained) -> dict[str, torch.nn.Parameter]:
    assert trained.text
    return {
        f"{path}.{name}": parameter
        for path, adapter in trained.text.adapters.adapters.items()
        for name, parameter in adapter.named_parameters()
    }


def used(name: str) -> bool:
    """SDXL reads CLIP-L's next to last layer: nothing depends on its last one."""
    return not (name.startswith("clip_l") and ".layers.2." in name)


def loaded(bench: Bench) -> tuple[Snapshot, Snapshot]:
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([bench.base.patcher, bench.clip.patcher])
        return snapshot(bench.base), snapshot(bench.text_base)


def test_gradients_reach_every_layer_of_the_text_encoder(bench: Bench) -> None:
    sdxl = is_sdxl(bench)
    # With checkpointing for one of them: the embeddings are inputs of the blocks.
    trainer, trained = trainer_of(bench, gradient_checkpointing="on" if sdxl else "off", **HELD)
    parameters = {n: p for n, p in text_tensors(trained).items() if not sdxl or used(n)}
    assert len(parameters) == (2 * 6 * (3 + 2) if sdxl else 2 * 6 * 3)

    def check(_log: StepLog) -> None:
        gradients = {
            name: parameter.grad.clone() for name, parameter in parameters.items() if parameter.grad is not None
        }
        assert gradients.keys() == parameters.keys()
        # Captions are encoded anew at each call: the loss of the very rows of step 1.
        entries = trainer.plan.rows(0)

        def loss() -> float:
            return float(trainer.loss(trainer.rows.batch(1, 0, entries)).double())

        check_gradients(loss, parameters, gradients, replace(FP32_MIXED, tolerance=2e-2))

    trainer.on_step = check
    run(trainer)


def test_nothing_of_the_text_encoder_is_changed_or_kept(bench: Bench) -> None:
    before = loaded(bench)
    trainer, trained = trainer_of(bench, batch_size=2)
    start = [p.detach().clone() for p in trained.parameters()]
    saved: list[Tensor] = []
    with saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
        run(trainer, 2)
    assert sum(not torch.equal(a, b) for a, b in zip(start, trained.parameters(), strict=True)) > len(start) * 0.8
    pointers = {p.data_ptr() for p in bench.clip.cond_stage_model.parameters()}
    assert not [t.shape for t in saved if t.data_ptr() in pointers]
    with torch.inference_mode():
        after = snapshot(bench.base), snapshot(bench.text_base)
    assert [now.differences(then) for now, then in zip(after, before, strict=True)] == [[], []]


def test_its_own_learning_rate(bench: Bench) -> None:
    def moved(**training: Any) -> tuple[float, float]:
        trainer, trained = trainer_of(bench, moved=False, warmup_steps=0, **training)
        start = [p.detach().clone() for p in trained.parameters()]
        run(trainer, 1)
        change = [float((a - b.detach().cpu()).abs().max()) for a, b in zip(start, trained.parameters(), strict=True)]
        count = len(trained.network.parameters())
        return max(change[:count]), max(change[count:])

    network, text = moved(learning_rate=1e-3, text_encoder_learning_rate=1e-4, weight_decay=0.0)
    assert network == pytest.approx(1e-3, rel=1e-2)
    assert text == pytest.approx(1e-4, rel=1e-2)
    assert moved(learning_rate=1e-3, text_encoder_learning_rate=0.0)[1] == 0.0


def test_lora_loader_applies_both_parts(
    bench: Bench, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the saved file does to the host's own encoding is what the live adapters did."""
    trainer, trained = trainer_of(bench, {"targets": "attention+mlp", "rank": 3, "alpha": 1.5}, **HELD)
    live: list[Tensor] = []

    def encode(_log: StepLog) -> None:
        assert trainer.text
        trained_text = trainer.text.model.encode("a red fox")
        live.append(trained_text.cross_attn.detach().clone())

    trainer.on_step = encode
    run(trainer)
    names = HostModel(bench.base.patcher, text=HostText(bench.clip)).file_names(trained.stems())
    state = trained.state_dict()
    assert {key.split(".")[0] for key in state} == {"diffusion_model", "text_encoders"}
    for format in ("comfy", "kohya"):
        file = to_format(state, format, names.of(format, stems_of(state)))
        if format == "kohya":
            wanted = {"lora_te1", "lora_te2"} if is_sdxl(bench) else {"lora_te"}
            assert {key.split("_text_model")[0] for key in file if key.startswith("lora_te")} == wanted
        save_file(file, folder / f"{format}.safetensors")
        with torch.inference_mode():
            model, clip = host_nodes.LoraLoader().load_lora(
                bench.base.patcher, bench.clip, f"{format}.safetensors", 1.0, 1.0
            )
        assert not [r.getMessage() for r in caplog.records if "not loaded" in r.getMessage().lower()]
        assert len(model.patches) == len(trained.network.adapters)
        assert trained.text and len(clip.patcher.patches) == len(trained.text.adapters.adapters)
        plain = encoded(bench.clip, "a red fox").cross_attn
        baked = encoded(clip, "a red fox").cross_attn
        assert (live[0] - plain).norm() > 0.01 * plain.norm()
        assert relative(baked - plain, live[0].cpu() - plain) < 1e-4


def test_a_whole_run_goes_on_from_its_own_file(bench: Bench, tmp_path: Path, folder: Path) -> None:
    request = TrainRequest(
        model=HostModel(bench.base.patcher, text=HostText(bench.clip)),
        base_identity="base",
        data=data_of(bench),
        runs_folder=tmp_path / "runs",
        steps=2,
        name="x",
        lora=LoRAConfig(rank=2, text_encoder="on"),
        training=TrainingConfig(learning_rate=1e-2, warmup_steps=0, caption_dropout=0.0, gradient_checkpointing="off"),
        text=HostText(bench.clip),
    )
    with torch.inference_mode():
        result = train_lora(request, Reporter())
        path = save_run(result.handle, SaveRequest(folder, "x", "", "kohya", "fp32", "final"), verify)[0]
        with torch.inference_mode(False):
            start = read_start_lora(path.name, bench.base.patcher.model, bench.clip.cond_stage_model)
    assert not start.notes
    stems = {key.rsplit(".lora", 1)[0].removesuffix(".alpha") for key in result.lora}
    assert len(start.layers) == len(stems)
    text = HostText(bench.clip)
    again = Trained.create(
        HostModel(bench.base.patcher, text=text),
        resolved(bench.base, {"text_encoder": "on", "rank": 2}, {}).lora,
        0,
        LoRAConfig(),
        start,
        text,
    )
    found = again.state_dict()
    assert found.keys() == result.lora.keys()
    assert all(torch.allclose(found[key], result.lora[key], atol=1e-6) for key in found)


def test_prior_rows_see_the_text_as_it_was(bench: Bench) -> None:
    trainer, _ = trainer_of(bench, prior_preservation=1.0, **HELD)
    seen: list[tuple[Tensor, Tensor]] = []
    predict = trainer.model.predict

    def noted(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        seen.append((rows[0].text.cross_attn.detach().cpu().float(), torch.tensor(torch.is_grad_enabled())))
        return predict(noisy, sigma, rows)

    trainer.model.predict = noted  # type: ignore[method-assign]
    run(trainer)
    expected = encoded(bench.clip, "a fox").cross_attn
    silent = [text for text, grad in seen if not grad]
    assert silent and all(torch.allclose(text, expected, atol=1e-5) for text in silent)
    assert not any(torch.allclose(text, expected, atol=1e-3) for text, grad in seen if grad)


def test_on_without_a_clip_and_with_another_one(bench: Bench) -> None:
    def prepared(clip: Any) -> Any:
        with torch.inference_mode():
            return prepare(
                bench.base.patcher,
                data_of(bench),
                TrainingConfig(),
                "x",
                ModelChoices(clip=clip),
                LoRAConfig(text_encoder="on"),
            )

    assert prepared(bench.clip).model.text is not None
    with pytest.raises(DanluError, match="clip of Train LoRA .Danlu. is not wired"):
        prepared(None)
    other = small_clip("sdxl" if is_sdxl(bench) else "sd15")
    with torch.inference_mode():
        next(p for n, p in other.cond_stage_model.named_parameters() if n.endswith("position_embedding.weight")).mul_(2)
    with pytest.raises(DanluError, match="not the text encoder that the dataset was encoded with"):
        prepared(other)


def test_wired_but_off_is_told(bench: Bench) -> None:
    with torch.inference_mode():
        found = prepare(
            bench.base.patcher, data_of(bench), TrainingConfig(), "x", ModelChoices(clip=bench.clip), LoRAConfig()
        )
    assert found.model.text is None
    assert any("text encoder is not trained" in note for note in found.notes)
