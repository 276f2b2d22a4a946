"""Study how strategies form, share circuits and fade while small transformers train."""

import warnings

# TransformerLens 3.9 announces, at every construction, that 4.0 drops HookedTransformer. This
# package pins transformer-lens < 4 for that reason (see the README), so the notice is no news.
warnings.filterwarnings(
    "ignore", message="HookedTransformer is deprecated", category=DeprecationWarning
)
