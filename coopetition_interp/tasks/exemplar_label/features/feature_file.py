"""Feature banks in files: HDF5 (our own, the authors', anyone's) and safetensors.

A bank is written as the tensor `features` [n_classes, n_exemplars, d_feature] with `class_group`,
`class_transform` (if any), class names and provenance; in HDF5 as datasets and an attribute, in
safetensors as tensors and metadata. Files from elsewhere need no more than the features; if they
name Omniglot characters (`character`, `class_character`, `class_transform`), those become names and
groups.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Literal

import safetensors
import torch

from coopetition_interp.config_class import Config, Count, PathText, Text, config_class
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.hdf5_reading.header import UnusableDataError
from coopetition_interp.files.regular_file import not_there
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file_content import (
    FeatureFileContent,
    bank_of,
)
from coopetition_interp.tasks.exemplar_label.features.hdf5_features import read_hdf5, write_hdf5
from coopetition_interp.tasks.exemplar_label.features.safetensors_features import (
    read_safetensors,
    write_safetensors,
)
from coopetition_interp.tasks.exemplar_label.features.transforms import TransformChoice

_HDF5_SUFFIXES = (".h5", ".hdf5")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SAFETENSORS_SUFFIX = ".safetensors"
_LONGEST_MESSAGE = 590


class FeatureFileError(ValueError):
    """A feature file that cannot be read as a bank; the message names the file and the mend."""


@config_class
class FeatureFile(Config):
    """Features read from an HDF5 or safetensors file.

    Attributes:
        path: The file.
        dataset: Name of the features inside it; None looks for `DEFAULT_DATASETS`.
        transforms: "unrotated" keeps only classes of transform 0, if the file tells.
        classes_per_group: For files that do not say which classes belong together: so many
            neighbouring classes make a group (8 for the authors' file, where the orientations of
            a character follow each other).
    """

    kind: Literal["feature_file"] = field(default="feature_file", kw_only=True, repr=False)
    path: PathText
    dataset: Text | None = None
    transforms: TransformChoice = "all"
    classes_per_group: Count = 1

    def load(self) -> FeatureBank:
        """Reads the bank."""
        bank = load_feature_file(self.path, self.dataset, self.classes_per_group)
        if self.transforms != "unrotated":
            return bank
        try:
            return bank.unrotated()
        except ValueError as error:
            raise FeatureFileError(f"{self.path}, transforms='unrotated': {error}") from error


def load_feature_file(
    path: str | Path, dataset: str | None = None, classes_per_group: int = 1
) -> FeatureBank:
    """Reads a bank from HDF5 or safetensors, in the file's own floating-point dtype.

    A file that `save_feature_file` wrote is held to the SHA-256 of its content; one from elsewhere
    has none, and is checked for sanity. HDF5 is read in a process of its own, with bounds on time,
    memory and size, and nothing is read that lies in other files.

    Args:
        path: A file that `save_feature_file` wrote, or any other holding an array
            [n_classes, n_exemplars, d_feature].
        dataset: Name of that array; None looks for `DEFAULT_DATASETS`.
        classes_per_group: Neighbouring classes that belong together, where the file has no groups
            of its own.

    Returns:
        The bank. Its provenance is the one saved with it; for files from elsewhere, the file's
        name, SHA-256, dataset and attributes.

    Raises:
        FileNotFoundError: There is no such file.
        FeatureFileError: It is no regular file, is truncated or corrupt, lacks the dataset, or
            its contents do not make a bank (rank, dtype, NaN, magnitude, groups).
    """
    path = Path(path)

    def read() -> FeatureFileContent:
        _check_regular(path)
        return _read(path, dataset)

    return bank_or_error(path, read, classes_per_group)


def bank_or_error(
    path: Path, read: Callable[[], FeatureFileContent], classes_per_group: int = 1
) -> FeatureBank:
    """The bank of what `read` gives, or one error that names the file.

    Raises:
        FeatureFileError: `read` refused the file, or its content makes no bank.
    """
    try:
        content = read()
        try:
            return bank_of(content, path, classes_per_group)
        except UnusableDataError:
            raise
        except ValueError as error:
            raise UnusableDataError(
                f"is not usable, dataset {content.dataset!r}: {error}"
            ) from error
    except UnusableDataError as error:
        message = " ".join(f"{path} {error}".split())
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[: _LONGEST_MESSAGE - 150]} ... {message[-145:]}"
        raise FeatureFileError(message) from error


def _check_regular(path: Path) -> None:
    """Refuses what is not there or, before it is opened, what may block or never end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{not_there('feature file', path)}: check the path") from None
    except (OSError, ValueError) as error:
        raise UnusableDataError(f"cannot be read ({error}): check the path") from error
    if not stat.S_ISREG(mode):
        raise UnusableDataError(
            "is no regular file (but a folder, pipe, socket or device): give an HDF5 or "
            "safetensors file"
        )


def _read(path: Path, dataset: str | None) -> FeatureFileContent:
    if "\0" in (dataset or ""):
        raise UnusableDataError(f"has no dataset {dataset!r}: name another")
    try:
        if path.suffix in _HDF5_SUFFIXES or _is_hdf5(path):
            return read_hdf5(path, dataset)
        if path.suffix == _SAFETENSORS_SUFFIX:
            return read_safetensors(path, dataset)
    except PermissionError as error:
        raise UnusableDataError("may not be read: change its permissions") from error
    except MemoryError as error:
        raise UnusableDataError(
            "does not fit into this machine's memory: keep fewer classes, or a shorter dtype"
        ) from error
    except UnusableDataError:
        raise
    except (OSError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise UnusableDataError(
            f"is truncated or corrupt ({error}): make or copy it again"
        ) from error
    raise UnusableDataError(f"is neither HDF5 nor named *{_SAFETENSORS_SUFFIX}: convert it")


def _is_hdf5(path: Path) -> bool:
    """Whether HDF5's signature is at the start, or where it may be after a block of the user's."""
    size = path.stat().st_size
    place = 0
    with open(path, "rb") as file:
        while place < size:
            file.seek(place)
            if file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE:
                return True
            place = max(512, 2 * place)
    return False


def save_feature_file(bank: FeatureBank, path: str | Path) -> None:
    """Writes a bank so that `load_feature_file` gives an equal one; the write is atomic.

    Args:
        bank: The bank.
        path: Where to; the suffix (.h5, .hdf5 or .safetensors) chooses the format.

    Raises:
        ValueError: Another suffix, or a dtype that HDF5 has not (bfloat16).
        OSError: The file could not be written.
    """
    path = Path(path)
    if path.suffix == _SAFETENSORS_SUFFIX:
        write = write_safetensors
    elif path.suffix in _HDF5_SUFFIXES:
        write = write_hdf5
        if bank.features.dtype == torch.bfloat16:
            raise ValueError(f"HDF5 has no bfloat16: save {path.stem} as *{_SAFETENSORS_SUFFIX}")
    else:
        known = ", ".join((*_HDF5_SUFFIXES, _SAFETENSORS_SUFFIX))
        raise ValueError(
            f"cannot tell a feature file's format from {path.name!r}: end it in {known}"
        )
    with atomic_file(path) as temporary:
        try:
            write(bank, temporary)
        except (RuntimeError, safetensors.SafetensorError) as error:
            raise OSError(str(error)) from error  # how both libraries report a full disk
