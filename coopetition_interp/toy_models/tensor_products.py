"""Losses on tensor products of vectors, in closed form.

A loss is an expression built from ``Err`` (distance of a tensor product from its target), ``Size``
(size of a tensor product) and constants, with ``+`` and ``*``. The tensors themselves are never
made: the squared norm of a tensor product is the product of its factors' squared norms, and the
inner product of two tensor products is the product of the factors' inner products. So every such
loss depends on a vector x with target x* only through |x|^2, <x, x*> and |x*|^2, and its gradient
lies in the span of x and x*:

    dL/dx = 2 (dL/d|x|^2) x + (dL/d<x, x*>) x*

All values are float64: an ``Err`` is a difference of terms of order one, and float32 would lose
the last digits of an error near the early-stopping threshold of 1e-6.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import mul

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True)
class InnerProducts:
    """All that a loss on tensor products needs to know of its vectors.

    Attributes:
        dims: Name and dimension of each vector, in the order of the arrays' last axis.
        squared_norms: |x|^2 of each vector.
        overlaps: <x, x*> of each vector with its target.
        target_squared_norms: |x*|^2; broadcasts against the other two, so that a whole trajectory
            (steps, seeds, vectors) shares one (seeds, vectors) array.
    """

    dims: Mapping[str, int]
    squared_norms: Float64[np.ndarray, "*batch vectors"]
    overlaps: Float64[np.ndarray, "*batch vectors"]
    target_squared_norms: Float64[np.ndarray, "... vectors"]

    def index(self, name: str) -> int:
        """Place of the vector ``name`` on the arrays' last axis.

        Raises:
            ValueError: There is no such vector.
        """
        for place, known in enumerate(self.dims):
            if known == name:
                return place
        raise ValueError(f"no vector named {name!r}; the vectors are {', '.join(self.dims)}")

    def at_zero(self) -> InnerProducts:
        """The same vectors and targets at the saddle: every vector set to zero."""
        zeros = np.zeros_like(self.target_squared_norms)
        return replace(self, squared_norms=zeros, overlaps=zeros)

    def with_vector(
        self, name: str, squared_norm: np.ndarray, overlap: np.ndarray
    ) -> InnerProducts:
        """The same, with the vector ``name`` exchanged for one of these inner products.

        Args:
            name: The vector.
            squared_norm: Its new |x|^2; broadcasts against the batch.
            overlap: Its new <x, x*>.
        """
        place = self.index(name)
        squared_norms, overlaps = self.squared_norms.copy(), self.overlaps.copy()
        squared_norms[..., place] = squared_norm
        overlaps[..., place] = overlap
        return replace(self, squared_norms=squared_norms, overlaps=overlaps)

    def at_target(self, name: str, sign: int = 1) -> InnerProducts:
        """The same, with the vector ``name`` set to its target (+1) or minus it (-1)."""
        target = self.target_squared_norms[..., self.index(name)]
        return self.with_vector(name, target, sign * target)


@dataclass(frozen=True)
class Derivatives:
    """An expression's value and its derivatives with respect to the inner products."""

    value: Float64[np.ndarray, "*batch"]
    by_squared_norms: Float64[np.ndarray, "*batch vectors"]
    by_overlaps: Float64[np.ndarray, "*batch vectors"]


class Expression(ABC):
    """A differentiable function of the inner products; combine with ``+`` and ``*``."""

    @abstractmethod
    def names(self) -> frozenset[str]:
        """Names of the vectors the expression depends on."""

    @abstractmethod
    def value(self, products: InnerProducts) -> Float64[np.ndarray, "*batch"]:
        """The expression at ``products``, for every batch entry."""

    @abstractmethod
    def differentiate(self, products: InnerProducts) -> Derivatives:
        """Value and derivatives at ``products``, for every batch entry."""

    def __add__(self, other: Expression | float | int) -> Expression:
        return Sum(self, _as_expression(other))

    def __mul__(self, other: Expression | float | int) -> Expression:
        return Product(self, _as_expression(other))

    __radd__ = __add__
    __rmul__ = __mul__


def _as_expression(term: Expression | float | int) -> Expression:
    return term if isinstance(term, Expression) else Constant(float(term))


def _without_rounding_below_zero(
    value: Float64[np.ndarray, "*batch"],
) -> Float64[np.ndarray, "*batch"]:
    # A mean of squares; only cancellation near the target makes it -1e-17.
    return np.maximum(value, 0.0)


class _TensorProductTerm(Expression):
    """What ``Err`` and ``Size`` share: the factors' names and the tensor's number of entries."""

    def __init__(self, *factors: str):
        if not factors:
            raise ValueError(
                f"{type(self).__name__} needs the name of at least one vector, as in "
                f'{type(self).__name__}("a", "b")'
            )
        self.factors = factors

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.factors))})"

    def names(self) -> frozenset[str]:
        """Names of the factors."""
        return frozenset(self.factors)

    def _places(self, products: InnerProducts) -> list[int]:
        return [products.index(name) for name in self.factors]

    def _entries(self, products: InnerProducts) -> int:
        return math.prod(products.dims[name] for name in self.factors)


def _columns(array: np.ndarray, places: list[int]) -> list[np.ndarray]:
    return [array[..., place] for place in places]


def _product_of_others(columns: list[np.ndarray], left_out: int) -> np.ndarray | float:
    return reduce(mul, columns[:left_out] + columns[left_out + 1 :], 1.0)


class Err(_TensorProductTerm):
    """Half the mean squared entry of ``x* (x) y* (x) ...`` minus ``x (x) y (x) ...``.

    The mean (rather than the sum of the thesis's Section 4.4.2) is the scaled Frobenius norm of
    the coopetition paper's Appendix D, with which a learning rate of 1 suits any dimensions.

    Args:
        *factors: Names of the vectors in the tensor product.
    """

    def value(self, products: InnerProducts) -> Float64[np.ndarray, "*batch"]:
        """(prod |x*|^2 - 2 prod <x, x*> + prod |x|^2) / (2 * number of entries)."""
        places = self._places(products)
        target, overlap, size = (
            reduce(mul, _columns(array, places))
            for array in (products.target_squared_norms, products.overlaps, products.squared_norms)
        )
        return _without_rounding_below_zero(
            (target - 2.0 * overlap + size) / (2.0 * self._entries(products))
        )

    def differentiate(self, products: InnerProducts) -> Derivatives:
        """Value and derivatives; a factor named twice gets the sum over its places."""
        places = self._places(products)
        entries = self._entries(products)
        sizes = _columns(products.squared_norms, places)
        overlaps = _columns(products.overlaps, places)
        by_squared_norms = np.zeros_like(products.squared_norms)
        by_overlaps = np.zeros_like(products.overlaps)
        for factor, place in enumerate(places):
            by_squared_norms[..., place] += _product_of_others(sizes, factor) / (2.0 * entries)
            by_overlaps[..., place] -= _product_of_others(overlaps, factor) / entries
        return Derivatives(self.value(products), by_squared_norms, by_overlaps)


class Size(_TensorProductTerm):
    """Half the mean squared entry of ``x (x) y (x) ...``: the competition term of the paper.

    Args:
        *factors: Names of the vectors in the tensor product.
    """

    def value(self, products: InnerProducts) -> Float64[np.ndarray, "*batch"]:
        """(prod |x|^2) / (2 * number of entries)."""
        columns = _columns(products.squared_norms, self._places(products))
        return reduce(mul, columns) / (2.0 * self._entries(products))

    def differentiate(self, products: InnerProducts) -> Derivatives:
        """Value and derivatives; a factor named twice gets the sum over its places."""
        places = self._places(products)
        sizes = _columns(products.squared_norms, places)
        by_squared_norms = np.zeros_like(products.squared_norms)
        for factor, place in enumerate(places):
            by_squared_norms[..., place] += _product_of_others(sizes, factor) / (
                2.0 * self._entries(products)
            )
        return Derivatives(self.value(products), by_squared_norms, np.zeros_like(products.overlaps))


@dataclass(frozen=True)
class Constant(Expression):
    """A number; plain floats and ints in a sum or product become one."""

    number: float

    def names(self) -> frozenset[str]:
        """No vectors."""
        return frozenset()

    def value(self, products: InnerProducts) -> Float64[np.ndarray, "*batch"]:
        """The number, once per batch entry."""
        return np.full(products.squared_norms.shape[:-1], self.number)

    def differentiate(self, products: InnerProducts) -> Derivatives:
        """The number, and derivatives of zero."""
        zeros = np.zeros_like(products.squared_norms)
        return Derivatives(self.value(products), zeros, zeros)


@dataclass(frozen=True)
class Sum(Expression):
    """``left + right``."""

    left: Expression
    right: Expression

    def names(self) -> frozenset[str]:
        """Names in either part."""
        return self.left.names() | self.right.names()

    def value(self, products: InnerProducts) -> Float64[np.ndarray, "*batch"]:
        """Sum of the values."""
        return self.left.value(products) + self.right.value(products)

    def differentiate(self, products: InnerProducts) -> Derivatives:
        """Sum of the derivatives."""
        left, right = self.left.differentiate(products), self.right.differentiate(products)
        return Derivatives(
            left.value + right.value,
            left.by_squared_norms + right.by_squared_norms,
            left.by_overlaps + right.by_overlaps,
        )


@dataclass(frozen=True)
class Product(Expression):
    """``left * right``."""

    left: Expression
    right: Expression

    def names(self) -> frozenset[str]:
        """Names in either part."""
        return self.left.names() | self.right.names()

    def value(self, products: InnerProducts) -> Float64[np.ndarray, "*batch"]:
        """Product of the values."""
        return self.left.value(products) * self.right.value(products)

    def differentiate(self, products: InnerProducts) -> Derivatives:
        """The product rule."""
        left, right = self.left.differentiate(products), self.right.differentiate(products)
        of_left, of_right = left.value[..., None], right.value[..., None]
        return Derivatives(
            left.value * right.value,
            of_right * left.by_squared_norms + of_left * right.by_squared_norms,
            of_right * left.by_overlaps + of_left * right.by_overlaps,
        )
