"""Feature banks: Gaussian classes, Omniglot (embedded or encoded), feature files, one-hot."""

from coopetition_interp.files.downloads import allow_downloads
from coopetition_interp.tasks.exemplar_label.features.compressed_features import (
    save_compressed_feature_file,
)
from coopetition_interp.tasks.exemplar_label.features.embedded_omniglot import EmbeddedOmniglot
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank, FeatureSplit
from coopetition_interp.tasks.exemplar_label.features.feature_file import (
    FeatureFile,
    FeatureFileError,
    load_feature_file,
    save_feature_file,
)
from coopetition_interp.tasks.exemplar_label.features.gaussian import (
    GaussianFeatures,
    gaussian_features,
)
from coopetition_interp.tasks.exemplar_label.features.omniglot import (
    OmniglotFeatures,
    omniglot_features,
)
from coopetition_interp.tasks.exemplar_label.features.omniglot_folder import OmniglotError
from coopetition_interp.tasks.exemplar_label.features.omniglot_images import OmniglotImages
from coopetition_interp.tasks.exemplar_label.features.one_hot import (
    OneHotFeatures,
    one_hot_features,
)
from coopetition_interp.tasks.exemplar_label.features.sources import FeatureSource, build_bank
from coopetition_interp.tasks.exemplar_label.features.token_clusters import (
    clustered_tokens,
    cosine_k_means,
    read_embedding,
)

__all__ = [
    "EmbeddedOmniglot",
    "FeatureBank",
    "FeatureFile",
    "FeatureFileError",
    "FeatureSource",
    "FeatureSplit",
    "GaussianFeatures",
    "OmniglotError",
    "OmniglotFeatures",
    "OmniglotImages",
    "OneHotFeatures",
    "allow_downloads",
    "build_bank",
    "clustered_tokens",
    "cosine_k_means",
    "gaussian_features",
    "load_feature_file",
    "omniglot_features",
    "one_hot_features",
    "read_embedding",
    "save_compressed_feature_file",
    "save_feature_file",
]
