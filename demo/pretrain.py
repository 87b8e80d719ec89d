"""Makes the bundled base model again: `python -m demo.pretrain vae`, then `python -m demo.pretrain flux`.

Every step draws from its own seeded generator, and both parts go on from their own state in `--work`.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "models"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("vae", "flux"))
    parser.add_argument("--comfyui", help="the host's folder; left out, DANLU_COMFYUI says it")
    parser.add_argument("--work", type=Path, required=True, help="folder for states and caches")
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--set", nargs="*", default=[], help="other settings as name=value")
    return parser.parse_args()


def configure(cls: Any, args: argparse.Namespace) -> Any:
    types: dict[str, Any] = {f.name: type(f.default) for f in fields(cls)}
    given = dict(item.split("=", 1) for item in args.set)
    values = {name: value == "True" if types[name] is bool else types[name](value) for name, value in given.items()}
    if args.steps:
        values["steps"] = args.steps
    return cls(precision=args.precision, **values)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = arguments()
    from .host_setup import add_host

    add_host(args.comfyui)
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.part == "vae":
        from .pretrain_vae import VaeConfig, train

        train(configure(VaeConfig, args), args.work / "vae-state.safetensors", args.out / "danlu-demo-vae.safetensors")
    else:
        from .pretrain_flux import FluxConfig, train_flux

        train_flux(configure(FluxConfig, args), args.work, args.out)


if __name__ == "__main__":
    main()
