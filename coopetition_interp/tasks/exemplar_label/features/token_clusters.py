"""Classes made of clusters of a language model's token embeddings (thesis, section 3.3.4).

Tokens are clustered by cosine k-means. Of the clusters that are large enough some are drawn at
random; each becomes a class, and its exemplars are the tokens that lie farthest from its centroid.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from coopetition_interp.files.regular_file import UnreadableFileError
from coopetition_interp.files.tensor_file import not_finite_floats, read_tensor_file
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank

N_ITERATIONS = 25
"""How often centroids are moved."""

_VECTORS_AT_ONCE = 4096


def cosine_k_means(
    vectors: Float[Tensor, "n_vectors d"], n_clusters: int, seed: int
) -> tuple[Float[Tensor, "n_clusters d"], Int64[Tensor, " n_vectors"]]:
    """Lloyd's iteration on the unit sphere, from vectors drawn at random.

    A cluster left without vectors begins anew at the vector that is farthest from its centroid.

    Args:
        vectors: What is clustered; of each its direction alone counts.
        n_clusters: How many clusters.
        seed: Of the vectors that they begin at.

    Returns:
        Centroids of length 1, and the cluster of each vector: that of the most similar centroid.

    Raises:
        ValueError: There are fewer vectors than clusters.
    """
    if not 1 <= n_clusters <= len(vectors):
        raise ValueError(
            f"{len(vectors)} vectors cannot make {n_clusters} clusters: ask for 1 to {len(vectors)}"
        )
    unit = F.normalize(vectors.float(), dim=1)
    order = torch.randperm(len(unit), generator=torch.Generator().manual_seed(seed))
    centroids = unit[order[:n_clusters]]
    for _ in range(N_ITERATIONS):
        similarity, cluster = _nearest(unit, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, cluster, unit)
        empty = (cluster.bincount(minlength=n_clusters) == 0).nonzero()[:, 0]
        sums[empty] = unit[similarity.argsort(stable=True)[: len(empty)]]
        centroids = F.normalize(sums, dim=1)
    return centroids, _nearest(unit, centroids)[1]


def clustered_tokens(
    vectors: Float[Tensor, "n_tokens d"],
    n_clusters: int,
    n_classes: int,
    n_exemplars: int,
    seed: int,
    least_members: int | None = None,
) -> FeatureBank:
    """The bank of classes that are clusters of tokens.

    Args:
        vectors: Embedding of each token.
        n_clusters: Clusters made.
        n_classes: Of these drawn, among those with `least_members` or more.
        n_exemplars: Tokens of each class: those farthest from its centroid, the farthest first.
        seed: Of the clustering and of the draw.
        least_members: By default one more than `n_exemplars`.

    Returns:
        A float32 bank of the tokens' vectors as they are.

    Raises:
        ValueError: Fewer clusters are large enough than classes are asked for, and how many are;
            or a cluster would have fewer members than exemplars.
    """
    least_members = n_exemplars + 1 if least_members is None else least_members
    if least_members < n_exemplars:
        raise ValueError(
            f"clusters of {least_members} tokens cannot give {n_exemplars} exemplars: raise "
            "least_members or lower n_exemplars"
        )
    centroids, cluster = cosine_k_means(vectors, n_clusters, seed)
    large = (cluster.bincount(minlength=n_clusters) >= least_members).nonzero()[:, 0]
    if len(large) < n_classes:
        raise ValueError(
            f"{len(large)} of {n_clusters} clusters hold {least_members} tokens or more, fewer "
            f"than the {n_classes} classes asked for: lower n_classes, n_exemplars or n_clusters"
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = large[torch.randperm(len(large), generator=generator)[:n_classes]]
    unit = F.normalize(vectors.float(), dim=1)
    tokens = []
    for index in drawn.tolist():
        members = (cluster == index).nonzero()[:, 0]
        nearness = unit[members] @ centroids[index]
        tokens.append(members[nearness.argsort(stable=True)[:n_exemplars]])
    return FeatureBank(
        features=vectors.float()[torch.stack(tokens)],
        class_names=tuple(f"cluster {index}" for index in drawn.tolist()),
        provenance={
            "kind": "token_clusters",
            "n_clusters": n_clusters,
            "least_members": least_members,
            "n_large_clusters": len(large),
            "n_iterations": N_ITERATIONS,
            "seed": seed,
        },
    )


def read_embedding(
    path: str | Path, tensor: str | None = None, first: int = 0, stop: int | None = None
) -> tuple[Float[Tensor, "n_tokens d"], dict[str, object]]:
    """An embedding matrix of a safetensors file, and where it is from.

    Args:
        path: The file.
        tensor: The matrix's name; None takes the only one there is.
        first: First token taken.
        stop: Token before which it stops; None takes all.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, or has no such matrix of finite numbers.
    """
    tensors, _ = read_tensor_file(path)
    matrices = {name: value for name, value in tensors.items() if value.ndim == 2}
    if tensor is None and len(matrices) == 1:
        tensor = next(iter(matrices))
    if tensor is None or tensor not in matrices:
        listed = ", ".join(f"{name} {list(value.shape)}" for name, value in matrices.items())
        raise UnreadableFileError(
            f"{path} has no matrix {tensor}; name one of: {listed[:300] or 'it has none'}"
        )
    matrix = matrices[tensor]
    if problem := not_finite_floats({tensor: matrix}):
        raise UnreadableFileError(f"{path} cannot be clustered: {problem}")
    if not 0 <= first < (len(matrix) if stop is None else stop) <= len(matrix):
        raise UnreadableFileError(
            f"{path} has tokens 0 to {len(matrix) - 1}; {first} to {stop} are not among them"
        )
    digest = hashlib.sha256(matrix.contiguous().view(torch.uint8).numpy().data).hexdigest()
    told = {"file": Path(path).name, "tensor": tensor, "sha256": digest}
    return matrix[first:stop].float(), {**told, "first_token": first, "stop_token": stop}


def _nearest(unit: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Each vector's similarity to its most similar centroid, and which that is."""
    found = [(part @ centroids.T).max(dim=1) for part in unit.split(_VECTORS_AT_ONCE)]
    return torch.cat([best.values for best in found]), torch.cat([best.indices for best in found])
