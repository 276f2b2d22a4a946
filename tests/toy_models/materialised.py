"""The toy losses with every tensor made entry by entry, in torch: the independent computation."""

import torch


def tensor_product(vectors):
    product = vectors[0]
    for vector in vectors[1:]:
        product = product[..., None] * vector
    return product


def err(vectors, targets, *names):
    difference = tensor_product([targets[name] for name in names]) - tensor_product(
        [vectors[name] for name in names]
    )
    return 0.5 * (difference**2).mean()


def size(vectors, *names):
    return 0.5 * (tensor_product([vectors[name] for name in names]) ** 2).mean()


def coopetition_loss(vectors, targets, mu1, alpha):
    return (err(vectors, targets, "a", "b", "c") + mu1) * err(
        vectors, targets, "d", "b", "c"
    ) + alpha * size(vectors, "a", "d")


def of_seed(vectors, row, requires_grad=False):
    """One seed's vectors and targets as torch tensors by name."""
    pairs = vectors.unpadded()
    current = {
        name: torch.tensor(current[row], requires_grad=requires_grad)
        for name, (current, _) in pairs.items()
    }
    targets = {name: torch.tensor(target[row]) for name, (_, target) in pairs.items()}
    return current, targets
