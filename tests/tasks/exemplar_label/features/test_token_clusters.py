"""Clusters of token embeddings are found, chosen and read as the rule says."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from coopetition_interp.command_line import main
from coopetition_interp.tasks.exemplar_label.features import (
    clustered_tokens,
    cosine_k_means,
    load_feature_file,
)

N_DIRECTIONS, N_EACH = 12, 9


def tokens():
    """Bundles of vectors of any length about a few directions, shuffled; and which is whose."""
    directions = F.normalize(torch.randn(N_DIRECTIONS, 16), dim=1)
    which = torch.arange(N_DIRECTIONS).repeat_interleave(N_EACH)[torch.randperm(12 * N_EACH)]
    vectors = directions[which] + 0.05 * torch.randn(len(which), 16)
    return vectors * (0.1 + 10 * torch.rand(len(which), 1)), which


def test_clusters_are_a_fixed_point_and_the_same_each_time():
    vectors, _ = tokens()
    unit = F.normalize(vectors, dim=1)
    for seed in range(3):
        centroids, cluster = cosine_k_means(vectors, N_DIRECTIONS, seed)
        assert torch.equal(cluster, (unit @ centroids.T).argmax(1))
        for index in cluster.unique():
            middle = F.normalize(unit[cluster == index].sum(0), dim=0)
            torch.testing.assert_close(centroids[index], middle)
        assert torch.equal(cosine_k_means(vectors, N_DIRECTIONS, seed)[0], centroids)


def test_two_bundles_of_any_length_are_told_apart():
    vectors, which = tokens()
    two = vectors[which < 2]
    for seed in range(8):
        _, cluster = cosine_k_means(two, 2, seed)
        assert len(set(zip(which[which < 2].tolist(), cluster.tolist(), strict=True))) == 2


def test_no_cluster_stays_empty_where_there_are_as_many_vectors():
    vectors = torch.cat([torch.ones(5, 3), torch.eye(3), -torch.eye(3)])
    _, cluster = cosine_k_means(vectors, 7, seed=3)
    assert len(cluster.unique()) == 7


def test_exemplars_are_the_farthest_of_clusters_that_are_large_enough():
    vectors, _ = tokens()
    centroids, cluster = cosine_k_means(vectors, 30, seed=1)
    bank = clustered_tokens(vectors, n_clusters=30, n_classes=4, n_exemplars=3, seed=1)
    assert bank.features.shape == (4, 3, 16)
    unit = F.normalize(vectors, dim=1)
    for name, features in zip(bank.class_names, bank.features, strict=True):
        index = int(name.removeprefix("cluster "))
        members = vectors[cluster == index]
        assert len(members) > 3
        farness = -(unit[cluster == index] @ centroids[index])
        assert torch.equal(features, members[farness.argsort(descending=True)[:3]])
    other = clustered_tokens(vectors, n_clusters=30, n_classes=4, n_exemplars=3, seed=2)
    assert other.class_names != bank.class_names


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"n_clusters": 109}, "108 vectors cannot make 109 clusters"),
        ({"n_classes": 13}, r"of 12 clusters hold 4 tokens or more, fewer than the 13"),
        ({"least_members": 2}, "clusters of 2 tokens cannot give 3 exemplars"),
    ],
)
def test_what_cannot_be_had_is_refused(changes, told):
    asked = {"n_clusters": 12, "n_classes": 4, "n_exemplars": 3, "seed": 0, **changes}
    with pytest.raises(ValueError, match=told):
        clustered_tokens(tokens()[0], **asked)


def test_the_command_makes_a_feature_file(tmp_path, capsys):
    source, out = tmp_path / "embedding.safetensors", tmp_path / "tokens.safetensors"
    vectors, _ = tokens()
    save_file({"embedding.weight": vectors.half(), "bias": torch.zeros(3)}, source)
    words = ["clusters", out, "--from", source, "--clusters", 12, "--classes", 3, "--exemplars", 2]
    assert main([*map(str, words), "--tokens", "8", "108"]) == 0
    assert "3 classes x 2 x 16" in capsys.readouterr().out
    bank = load_feature_file(out)
    assert bank.provenance["source"]["first_token"] == 8
    rows = {tuple(row) for row in vectors.half().float()[8:].tolist()}
    assert {tuple(row) for row in bank.features.flatten(0, 1).tolist()} <= rows
    for wrong, told in (
        (["--tensor", "bias"], "has no matrix bias; name one of: embedding.weight"),
        (["--tokens", "8", "109"], "has tokens 0 to 107"),
        (["--tokens", "0", "0"], "has tokens 0 to 107"),
    ):
        assert main([*map(str, words), *wrong]) != 0
        assert told in capsys.readouterr().err
