"""Clamps: hold part of a circuit while the rest of the network runs or learns.

README.md says of each what it sets, and where it comes from. By module:

- `attention_clamps`: `PreviousTokenHeads`, `BlockPreviousToken`, `SelfAttentionHeads`,
  `InductionHeads`, `MatchHeads`, `SilenceExemplarAttention`
- `token_clamps`: `TokenInductionHeads`
- `ablations`: `AblateHeads`, `AblateEmbedding`
- `two_pass`: `HeadTemperature`, `CopyFromHead`, `Preserve`, `PerfectLayer0`
- `grafts`: `GraftIn`, `GraftOut`
- `during`: `During`, another clamp for part of a training run

A clamp of your own is a frozen dataclass that subclasses `Clamp`, `HeadsClamp` or `TwoPassClamp`,
in any module.

Which clamps can stand in one list, and which has the last word: see `contradictions`.
"""

from coopetition_interp.interventions.ablations import AblateEmbedding, AblateHeads
from coopetition_interp.interventions.attention_clamps import (
    BlockPreviousToken,
    InductionHeads,
    MatchHeads,
    PreviousTokenHeads,
    SelfAttentionHeads,
    SilenceExemplarAttention,
)
from coopetition_interp.interventions.binding import BoundClamps, Clamps, bind
from coopetition_interp.interventions.claims import Claim
from coopetition_interp.interventions.clamp import (
    Clamp,
    ClampedBatch,
    Edit,
    TwoPassClamp,
    known_clamps,
)
from coopetition_interp.interventions.during import During
from coopetition_interp.interventions.grafts import GraftIn, GraftOut
from coopetition_interp.interventions.heads import layer_heads
from coopetition_interp.interventions.heads_clamp import HeadsClamp
from coopetition_interp.interventions.phases import (
    ByPhase,
    PhasedClamps,
    active_at,
    bind_phases,
    phases,
)
from coopetition_interp.interventions.run import clamped, run_clamped, run_clamped_with_cache
from coopetition_interp.interventions.serialise import (
    clamp_from_dict,
    clamp_to_dict,
    parse_clamp,
)
from coopetition_interp.interventions.stacked_clamps import (
    StackedClamps,
    form_of,
    stack_clamps,
)
from coopetition_interp.interventions.token_clamps import TokenInductionHeads
from coopetition_interp.interventions.two_pass import (
    CopyFromHead,
    HeadTemperature,
    PerfectLayer0,
    Preserve,
)

__all__ = [
    "AblateEmbedding",
    "AblateHeads",
    "BlockPreviousToken",
    "BoundClamps",
    "ByPhase",
    "Claim",
    "Clamp",
    "ClampedBatch",
    "Clamps",
    "CopyFromHead",
    "During",
    "Edit",
    "GraftIn",
    "GraftOut",
    "HeadTemperature",
    "HeadsClamp",
    "InductionHeads",
    "MatchHeads",
    "PerfectLayer0",
    "PhasedClamps",
    "Preserve",
    "PreviousTokenHeads",
    "SelfAttentionHeads",
    "SilenceExemplarAttention",
    "StackedClamps",
    "TokenInductionHeads",
    "TwoPassClamp",
    "active_at",
    "bind",
    "bind_phases",
    "clamp_from_dict",
    "clamp_to_dict",
    "clamped",
    "form_of",
    "known_clamps",
    "layer_heads",
    "parse_clamp",
    "phases",
    "run_clamped",
    "run_clamped_with_cache",
    "stack_clamps",
]
