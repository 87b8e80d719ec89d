"""Installing the pack never changes a package that the host has: an older host, a new one, a crowded one."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from danlu.devtools.places import cache_root

from .small_hosts import SmallHost, canonical, install_apart, link_packages

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
USED = """
import transformers, huggingface_hub, numpy, torch, peft
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_density_for_timestep_sampling
model = torch.nn.Sequential(torch.nn.Linear(4, 4))
peft.inject_adapter_in_model(peft.LoraConfig(r=2, target_modules=["0"]), model)
get_scheduler("cosine", torch.optim.AdamW(model.parameters()), num_warmup_steps=1, num_training_steps=4)
EMAModel(model.parameters())
print(transformers.__version__)
"""

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.name == "nt", reason="links to folders need a privilege on Windows"),
]


def older_host(folder: Path) -> SmallHost:
    """What a valid ComfyUI 0.30.0 with transformers 4 looks like."""
    kept = cache_root() / "test-hosts" / f"transformers-4.57-python{sys.version_info[0]}.{sys.version_info[1]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    install_apart(kept, "transformers==4.57.6", "huggingface_hub==0.36.2", "tokenizers==0.22.2")
    links = link_packages(folder / "packages", without={"transformers", "huggingface-hub", "tokenizers"})
    return SmallHost(folder / "venv", [kept, links])


def new_host(folder: Path) -> SmallHost:
    return SmallHost(folder / "venv", [link_packages(folder / "packages")])


def crowded_host(folder: Path) -> SmallHost:
    """A new host on which another pack has installed the newest diffusers."""
    kept = cache_root() / "test-hosts" / "diffusers-0.42.1"
    kept.parent.mkdir(parents=True, exist_ok=True)
    install_apart(kept, "diffusers==0.42.1")
    return SmallHost(folder / "venv", [kept, link_packages(folder / "packages")])


@pytest.mark.parametrize("make", [older_host, new_host, crowded_host], ids=lambda make: make.__name__)
def test_no_package_of_the_host_changes(make, tmp_path: Path) -> None:
    host = make(tmp_path)
    host.create()
    before = host.versions()
    report = tmp_path / "report.json"
    host.pip("install", "--dry-run", "--report", str(report), "-r", str(REQUIREMENTS))
    plan = {canonical(item["metadata"]["name"]) for item in json.loads(report.read_text(encoding="utf-8"))["install"]}
    assert not plan & set(before), "pip would change a package that the host has"

    host.pip("install", "--no-compile", "-r", str(REQUIREMENTS))
    after = host.versions()
    assert {name: after.get(name) for name in before} == before
    assert host.run(USED).splitlines()[-1] == before["transformers"]


def test_the_environments_are_what_they_stand_for(tmp_path: Path) -> None:
    """Guards the test above: without its first lines the list does change an older host."""
    host = older_host(tmp_path)
    host.create()
    report = tmp_path / "report.json"
    host.pip("install", "--dry-run", "--report", str(report), "peft>=0.17", "diffusers>=0.33")
    names = {item["metadata"]["name"].lower() for item in json.loads(report.read_text(encoding="utf-8"))["install"]}
    assert {"transformers", "huggingface_hub"} <= names
    assert host.versions()["transformers"].startswith("4.57")


def test_no_version_of_the_hosts_packages_is_asked_for() -> None:
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()]
    names = {re.split(r"[<>=!~\[; ]", line)[0]: line for line in lines if line}
    assert not {"torch", "torchvision", "torchaudio", "numpy", "Pillow", "pillow"} & set(names)
    for name in ("transformers", "huggingface_hub", "safetensors"):
        assert names[name] == name
    assert not [line for line in lines if "==" in line or "<" in line]
