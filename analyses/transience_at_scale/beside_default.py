"""Runs of a role beside the default run, over the length of the shortest role."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analyses.chapters_2_and_3.curves import PEAKS_LATER, planned_curves, up_to
from coopetition_interp.analysis.peaks import shape_of
from coopetition_interp.reporting.study import Study


def beside_default(study: Study, role: str, default: dict[str, Any], **about: Any) -> pd.DataFrame:
    """Metrics of a role's runs, and of the default run as one more value of what was swept.

    Args:
        study: The study.
        role: Of the runs compared.
        default: What the columns of the role say of the default run.
        **about: What else must be so of the role's runs.

    Returns:
        Planned runs of the seeds that both have, each up to where the shorter role ends; see
        `planned_curves` for those that are not finished. The column `PEAKS_LATER` tells of the
        default run whether its ICL is highest only after that. Changed on 2026-11-30, after the
        default run was seen and before any other: such a run counted as one that does not fall.
    """
    varied = planned_curves(study, role, **about)
    plain = planned_curves(study, "default").assign(**default)
    both = pd.concat([varied, plain], ignore_index=True)
    seeds = set(varied["init_seed"]) & set(plain["init_seed"])
    ends = [runs["sequences_seen"].max() for runs in (varied, plain)]
    end = min(ends)
    later = {
        seed: shape_of(run).peak > end
        for seed, run in plain.dropna(subset="evaluator").groupby("init_seed")
    }
    of_default = both["role"] == "default"
    both[PEAKS_LATER] = of_default & both["init_seed"].map(later).fillna(False).astype(bool)
    return up_to(both[both["init_seed"].isin(seeds)], end)


def default_of(study: Study, *fields: str) -> dict[str, Any]:
    """What the default run's config says of some fields, by the last part of their names."""
    found: dict[str, Any] = {}
    for name in fields:
        value: Any = study.require("default")[0].config
        for part in name.split("."):
            value = getattr(value, part)
        found[name.rpartition(".")[2]] = value
    return found
