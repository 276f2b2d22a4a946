"""Clamps: hold part of a circuit while the rest of the network runs or learns.

| clamp | what it sets | where it comes from |
|---|---|---|
| `PreviousTokenHeads` | pattern: `strength` on the previous token, the rest on itself | thesis 4.4.2, C.5.2 |
| `BlockPreviousToken` | scores of the previous token: -1e9 | paper E.1 |
| `SelfAttentionHeads` | pattern: all on the token itself | sibling of `BlockPreviousToken` |
| `InductionHeads` | query's row of the pattern: `strength` on the right label, the rest on the other | thesis 4.4.2, C.1; paper 4.1 |
| `MatchHeads` | query's row of the pattern: softmax of input similarities, on label tokens | the authors' released code |
| `AblateHeads` | values: 0 | thesis 4.3, C.3; paper 4.1 |
| `AblateEmbedding` | token embeddings: 0 | paper 4.1, C.1 |
| `SilenceExemplarAttention` | query's scores of exemplar tokens: -1e9 | paper C.2 |
| `HeadTemperature` | scores of a first pass, divided | paper C.2 |
| `CopyFromHead` | output logits: a head's scores, of a first pass, of the label tokens | thesis C.5.2 |
| `Preserve` | patterns, queries, keys, values: those of a first pass | paper 4.1; thesis C.3 |
| `PerfectLayer0` | what block 1 reads: embeddings, with attention from a first pass on predecessors' | thesis C.5.2 |
| `GraftIn` | embedding and blocks up to a layer: another model's | thesis C.5.1; paper 5.1 |
| `GraftOut` | blocks after a layer and unembedding: another model's | paper 5.1 |
| `During` | another clamp, for part of a training run | |

A clamp of your own is a frozen dataclass that subclasses `Clamp`, `HeadsClamp` or `TwoPassClamp`, in
any module.

Which clamps can stand in one list, and which has the last word: see `contradictions`.
"""  # noqa: E501

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
