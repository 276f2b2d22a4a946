"""Analyses: from models, runs or curves, and sequences, to tidy pandas tables.

| module | what it measures |
|---|---|
| `attention_strengths` | induction and previous-token strength; attention from query and labels |
| `attention_patterns` | whole patterns, averaged, also over the checkpoints of a run |
| `right_label_places` | sequences chosen by where in context their right label is |
| `ablation` | heads switched off, one or all but one; paths between layers and heads cut |
| `perfected_heads` | each head alone, with its match or its copy perfected |
| `mistakes` | mistakes by label, by head; heads on another head's mistakes |
| `weight_composition` | composition scores of pairs of heads, from weights |
| `checkpoints` | any of these, or metrics under clamps, over the checkpoints of a run |
| `phase_change` | whether a loss curve has a phase change or falls like an exponential |
| `peaks` | height, onset, fall and slope of a curve; means over a part of a run |
| `moments`, `evaluator_curve` | when a strategy rises, peaks and fades in a run's metrics |
| `skip_trigrams` | whether heads copy the label they attend to |
| `head_temperature` | heads sharpened or blurred, alone and together |
| `weight_swaps` | one half of the network fixed to a checkpoint of the same run |
| `icl_heads` | which heads of layer 0 carry in-context learning |
| `seed_intervals` | a number of each seed: mean and interval |
| `thin_run` | a run's small copy, with a few checkpoints |
| `curves` | where a curve crosses a level and stays; smoothing |
| `rises`, `divot`, `divots_across_seeds` | when a curve rises, its divots, whether they coincide |
| `paired_divot` | a loss's rise while another strategy forms, paired sequence by sequence |

Import from the modules: those that read curves alone do without torch.
"""
