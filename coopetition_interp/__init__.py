"""Study how strategies form, share circuits and fade while small transformers train.

    import coopetition_interp as ci

gives what a notebook needs; nearly every name is imported when it is first used.

Threads of torch that wait for each other sleep instead of spinning, so that a busy machine is not
made busier: OMP_WAIT_POLICY is set to PASSIVE here unless it, or GOMP_SPINCOUNT, is set already.
OpenMP reads it when torch is loaded, so this acts only if the package is imported before torch.
"""

import importlib
import os
import warnings
from importlib.metadata import version
from typing import Any

__version__ = version("coopetition-interp")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# TransformerLens 3.9 announces, at every construction, that 4.0 drops HookedTransformer. This
# package pins transformer-lens < 4 for that reason (see the README), so the notice is no news.
warnings.filterwarnings(
    "ignore", message="HookedTransformer is deprecated", category=DeprecationWarning
)

_ROOMS = {
    "analysis.checkpoints": ("evaluate_checkpoints", "over_checkpoints"),
    "analysis.attention_strengths": ("head_strengths",),
    "files.downloads": ("allow_downloads",),
    "interventions": (
        "AblateEmbedding",
        "AblateHeads",
        "BlockPreviousToken",
        "Clamp",
        "CopyFromHead",
        "During",
        "GraftIn",
        "GraftOut",
        "HeadTemperature",
        "HeadsClamp",
        "InductionHeads",
        "MatchHeads",
        "PerfectLayer0",
        "Preserve",
        "PreviousTokenHeads",
        "SelfAttentionHeads",
        "SilenceExemplarAttention",
        "TokenInductionHeads",
        "TwoPassClamp",
        "active_at",
        "clamped",
        "layer_heads",
        "run_clamped",
        "run_clamped_with_cache",
    ),
    "reporting.checkpoint_explorer": ("checkpoint_explorer",),
    "reporting.evaluators": ("evaluator_curves",),
    "reporting.live_curves": ("LiveCurves",),
    "sweeps": ("PlannedRun", "run_sweep_locally"),
    "tasks.exemplar_label": ("ExemplarLabelConfig",),
    "tasks.exemplar_label.evaluation": ("evaluate",),
    "tasks.exemplar_label.features": ("EmbeddedOmniglot",),
    "tasks.presets": ("preset",),
    "tasks.tokens": ("RepeatedTokens", "TokenConfig", "save_tokens"),
    "training": (
        "OptimizerConfig",
        "RunConfig",
        "Schedule",
        "Task",
        "TrainingStep",
        "load_run",
        "resume",
        "train",
        "train_together",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

# At once and not when it is first used: its submodule of that name would stand in its place. What
# else is in there is imported from it as from any other.
from coopetition_interp.config_class import config_class as config_class  # noqa: E402

__all__ = ["__version__", "config_class", *sorted(_ROOM_OF)]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(
            f"coopetition_interp has no {name!r}; it has {', '.join(sorted(_ROOM_OF))}, and its "
            "rooms have the rest"
        )
    return getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
