"""Clamps: hold part of a circuit while the rest of the network runs or learns.

| clamp | what it sets | where it comes from |
|---|---|---|
| `PreviousTokenHeads` | pattern: `strength` on the previous token, the rest on itself | thesis 4.4.2, C.5.2 |
| `BlockPreviousToken` | scores of the previous token: -1e9 | paper E.1, Fig. 18 |
| `InductionHeads` | query's row of the pattern: `strength` on the right label, the rest on the other | thesis 4.4.2, C.1; paper Fig. 2b |
| `MatchHeads` | query's row of the pattern: softmax of input similarities, on label tokens | the authors' released code |
| `AblateHeads` | values: 0 | thesis 4.3, C.3; paper 4.1 |
| `AblateEmbedding` | token embeddings: 0 | paper 4.1, C.1 |
| `SilenceExemplarAttention` | query's scores of exemplar tokens: -1e9 | paper C.2, Fig. 15b, c |
| `HeadTemperature` | scores of a first pass, divided | paper C.2, Fig. 15b, c |
| `CopyFromHead` | output logits: a head's scores, of a first pass, of the label tokens | thesis C.5.2 |
| `Preserve` | patterns, queries, keys, values: those of a first pass | paper 4.1; thesis C.3 |
| `PerfectLayer0` | what block 1 reads: embeddings, with attention from a first pass on predecessors' | thesis C.5.2 |
| `GraftIn` | embedding and blocks up to a layer: another model's | thesis C.5.1; paper Fig. 3c |
| `GraftOut` | blocks after a layer and unembedding: another model's | paper Fig. 3b, 4a, 4b |

Which clamps can stand in one list, and which has the last word: see `contradictions`.
"""  # noqa: E501

from coopetition_interp.interventions.ablations import AblateEmbedding, AblateHeads
from coopetition_interp.interventions.attention_clamps import (
    BlockPreviousToken,
    InductionHeads,
    MatchHeads,
    PreviousTokenHeads,
    SilenceExemplarAttention,
)
from coopetition_interp.interventions.clamp import Clamp
from coopetition_interp.interventions.grafts import GraftIn, GraftOut
from coopetition_interp.interventions.heads import layer_heads
from coopetition_interp.interventions.run import (
    BoundClamps,
    bind,
    clamped,
    run_clamped,
    run_clamped_with_cache,
)
from coopetition_interp.interventions.serialise import (
    CLAMPS,
    clamp_from_dict,
    clamp_to_dict,
    parse_clamp,
)
from coopetition_interp.interventions.two_pass import (
    CopyFromHead,
    HeadTemperature,
    PerfectLayer0,
    Preserve,
)

__all__ = [
    "CLAMPS",
    "AblateEmbedding",
    "AblateHeads",
    "BlockPreviousToken",
    "BoundClamps",
    "Clamp",
    "CopyFromHead",
    "GraftIn",
    "GraftOut",
    "HeadTemperature",
    "InductionHeads",
    "MatchHeads",
    "PerfectLayer0",
    "Preserve",
    "PreviousTokenHeads",
    "SilenceExemplarAttention",
    "bind",
    "clamp_from_dict",
    "clamp_to_dict",
    "clamped",
    "layer_heads",
    "parse_clamp",
    "run_clamped",
    "run_clamped_with_cache",
]
