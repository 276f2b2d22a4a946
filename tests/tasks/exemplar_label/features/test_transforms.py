"""The eight transforms of an image."""

import numpy as np
import pytest
import torch

from coopetition_interp.tasks.exemplar_label.features.transforms import (
    TRANSFORM_NAMES,
    n_transforms,
    transform_images,
    transformed_class_name,
)

IMAGE = torch.tensor([[1.0, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("transform", range(8))
def test_rotation_is_counter_clockwise_then_comes_the_flip(transform):
    expected = np.rot90(IMAGE.numpy(), transform // 2)
    expected = np.fliplr(expected) if transform % 2 else expected
    assert transform_images(IMAGE, transform).tolist() == expected.tolist()
    assert ("flip" in TRANSFORM_NAMES[transform]) == bool(transform % 2)
    assert (f"rot{90 * (transform // 2)}" in TRANSFORM_NAMES[transform]) == (transform > 1)


def test_rot90_puts_the_top_right_corner_top_left():
    assert transform_images(IMAGE, 2)[0, 0] == IMAGE[0, -1]


def test_the_eight_transforms_differ():
    square = torch.arange(9.0).reshape(3, 3)
    assert len({tuple(transform_images(square, t).flatten().tolist()) for t in range(8)}) == 8


def test_transforms_apply_to_every_image_of_a_batch():
    batch = torch.randn(4, 3, 3)
    for transform in range(8):
        for image, transformed in zip(batch, transform_images(batch, transform), strict=True):
            assert torch.equal(transformed, transform_images(image, transform))


def test_class_names():
    name = "images_background/Futurama/character05"
    assert transformed_class_name(name, 3) == "Futurama/character05 rot90 flip"
    assert transformed_class_name(name, 0) == "Futurama/character05"


def test_choices_of_transforms():
    assert (n_transforms("all"), n_transforms("unrotated")) == (8, 1)
