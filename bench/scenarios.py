"""What is measured: scenarios, and in each the contenders that take turns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

MODELS = ("sd15", "flux", "tiny-sd15", "tiny-flux")


@dataclass(frozen=True)
class Contender:
    """One way to train (or, for the floor, only to compute), in a process of its own."""

    kind: str
    """`floor`, `ours`, `host`, `bypass` or `diffusers`."""
    checkpointing: bool = False
    default_attention: bool = False
    """The attention that the host picks by itself, where all others use torch's."""

    @property
    def name(self) -> str:
        extras = [" + checkpointing"] * self.checkpointing + [" + host's attention"] * self.default_attention
        return self.kind + "".join(extras)


@dataclass(frozen=True)
class Scenario:
    """Model, size and batch that its contenders share."""

    name: str
    model: str
    side: int
    """Height and width of the latents."""
    batch: int
    contenders: tuple[Contender, ...]
    rank: int = 16
    left_out: dict[str, str] = field(default_factory=dict)
    """Contender -> why it is not here."""


FLOOR, OURS, HOST, BYPASS, DIFFUSERS = map(Contender, ("floor", "ours", "host", "bypass", "diffusers"))
EVERYONE = (FLOOR, OURS, HOST, BYPASS, DIFFUSERS)
BATCH_OF_ROWS = "calls the network with batch x batch rows: more memory than a small machine has"
CRASHES = "crashes on Flux without checkpointing: blocks change tensors that autograd keeps"
NOT_CONVERTED = "diffusers is measured on the SD1.5 layout"


def _with(contender: Contender, checkpointing: bool = True) -> Contender:
    return replace(contender, checkpointing=checkpointing)


SCENARIOS = (
    Scenario("sd15-16", "sd15", 16, 1, EVERYONE),
    Scenario("sd15-32", "sd15", 32, 1, EVERYONE),
    Scenario("sd15-16-b4", "sd15", 16, 4, EVERYONE),
    Scenario("sd15-32-b4", "sd15", 32, 4, (FLOOR, OURS, DIFFUSERS), left_out={"host, bypass": BATCH_OF_ROWS}),
    Scenario(
        "flux-32",
        "flux",
        32,
        1,
        (FLOOR, OURS, _with(HOST), _with(BYPASS)),
        left_out={"host, bypass": CRASHES, "diffusers": NOT_CONVERTED},
    ),
    Scenario(
        "flux-32-b4",
        "flux",
        32,
        4,
        (FLOOR, OURS),
        left_out={"host, bypass": f"{BATCH_OF_ROWS}; {CRASHES}", "diffusers": NOT_CONVERTED},
    ),
    Scenario("checkpointing-sd15-16", "sd15", 16, 1, (OURS, _with(OURS), _with(HOST), _with(DIFFUSERS))),
    Scenario("checkpointing-sd15-32", "sd15", 32, 1, (OURS, _with(OURS), _with(HOST), _with(DIFFUSERS))),
    Scenario("checkpointing-sd15-32-b4", "sd15", 32, 4, (OURS, _with(OURS), _with(DIFFUSERS))),
    Scenario("checkpointing-flux-32", "flux", 32, 1, (OURS, _with(OURS), _with(HOST))),
    Scenario(
        "attention-sd15-32",
        "sd15",
        32,
        1,
        (OURS, HOST, replace(HOST, default_attention=True), replace(BYPASS, default_attention=True)),
    ),
    # Seconds in all: for a first look, and for the test of this bench.
    Scenario("tiny-sd15", "tiny-sd15", 4, 1, EVERYONE),
    Scenario("tiny-flux", "tiny-flux", 4, 2, (FLOOR, OURS, _with(OURS), _with(HOST))),
)
ENCODE, CAPTION = "encode", "caption"
TINY = ("tiny-sd15", "tiny-flux")


def chosen(names: list[str]) -> list[Scenario]:
    """The named scenarios (a name stands for all that begin with it); none named: all but the tiny ones."""
    if not names:
        return [scenario for scenario in SCENARIOS if scenario.name not in TINY]
    return [s for s in SCENARIOS if any(s.name == n or s.name.startswith(f"{n}-") for n in names)]
