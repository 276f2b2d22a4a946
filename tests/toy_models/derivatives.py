"""Inner products and gradients at given vectors, by the closed forms that are tested."""

import numpy as np

from coopetition_interp.toy_models import InnerProducts
from coopetition_interp.toy_models.simulate import chain_rule


def inner_products(vectors):
    return InnerProducts(
        dims=vectors.dims,
        squared_norms=np.sum(vectors.current * vectors.current, axis=-1),
        overlaps=np.sum(vectors.current * vectors.targets, axis=-1),
        target_squared_norms=np.sum(vectors.targets * vectors.targets, axis=-1),
    )


def gradients(loss, vectors):
    """Of each seed's loss, [seeds, dimension] by name."""
    derivatives = loss.differentiate(inner_products(vectors))
    padded = chain_rule(derivatives, vectors.current, vectors.targets)
    return {name: padded[:, place, :dim] for place, (name, dim) in enumerate(vectors.dims.items())}
