"""Groups broken on purpose: each breaks the laws named beside it, and every law is broken by some group."""

from __future__ import annotations

import pytest
import torch

from molgiae.errors import MolgiaeError
from molgiae.groups import SE3, SO2, SO3, Permutation, Product, Translation
from tests.groups.laws import LAWS, Case, Law
from tests.groups.laws import arithmetic_is_float64 as float64
from tests.groups.laws import batch_is_singles as batches
from tests.groups.laws import distance_is_a_metric as metric
from tests.groups.laws import distance_is_left_invariant as left_invariance
from tests.groups.laws import elements_are_valid as validity
from tests.groups.laws import identity_acts_trivially as trivial_action
from tests.groups.laws import identity_is_neutral as neutrality
from tests.groups.laws import inverse_undoes_on_both_sides as inversion
from tests.groups.laws import product_acts_as_composition as action
from tests.groups.laws import product_acts_on_y_as_composition as action_on_y
from tests.groups.laws import product_is_associative as associativity
from tests.groups.laws import single_broadcasts_over_batch as broadcasting
from tests.groups.laws import xi_finds_the_element_that_moved_the_reference as xi_of_reference
from tests.groups.laws import xi_is_equivariant as xi_equivariance


class WrongOrder(SO3):
    def __matmul__(self, other):
        return type(self)(other.matrix @ self.matrix)


class TurnsBackwards(SO3):
    def act(self, x):
        return x.double() @ self.matrix


class NotAssociative(SO3):
    def __matmul__(self, other):
        return type(self)(self.matrix @ other.matrix.mT)


class InverseIsSelf(SO3):
    def inverse(self):
        return self


class IdentityTurns(SO2):
    @classmethod
    def identity(cls, *batch_shape, **_):
        return cls.from_angle(torch.ones(batch_shape))


class ThreeVectors(SO3):
    """Gram-Schmidt of three vectors: all of O(3), determinant -1 for half of the inputs."""

    @classmethod
    def reference(cls, *batch_shape, **_):
        return torch.eye(3, dtype=torch.float64).expand(*batch_shape, 3, 3)

    @classmethod
    def from_equivariant(cls, y):
        q, r = torch.linalg.qr(y.double().mT)
        return cls(q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :])

    def act_equivariant(self, y):
        return self.act(y)


class SwappedVectors(SO3):
    @classmethod
    def from_equivariant(cls, y):
        return super().from_equivariant(y.flip(-2))


class FrameOfColumnsAsRows(SO3):
    @classmethod
    def from_equivariant(cls, y):
        return super().from_equivariant(y).inverse()


class Float32Xi(SO3):
    @classmethod
    def from_equivariant(cls, y):
        return super().from_equivariant(y.float()).to(dtype=y.dtype)


class DirectionBlindToSign(SO2):
    @classmethod
    def from_equivariant(cls, y):
        return super().from_equivariant(torch.stack([y[..., 0].abs(), y[..., 1]], dim=-1))


class FirstOfBatchActs(SO3):
    def act(self, x):
        return x.double() @ self.matrix.reshape(-1, 3, 3)[0].mT


class WeightedDistance(SO3):
    def distance(self, other):
        weight = torch.arange(1, 10, dtype=torch.float64).view(3, 3)
        return torch.linalg.matrix_norm(weight * (self.matrix - other.matrix))


class ForgetsToTurnTranslation(SE3):
    def __matmul__(self, other):
        return type(self)(self.rotation @ other.rotation, self.translation @ other.translation)


class InverseForgetsToTurnTranslation(SE3):
    def inverse(self):
        return type(self)(self.rotation.inverse(), self.translation.inverse())


class RotationOnlyDistance(SE3):
    def distance(self, other):
        return self.rotation.distance(other.rotation)


class SquaredDistance(Translation):
    def distance(self, other):
        return super().distance(other) ** 2


class Transposed(Permutation):
    def act(self, x, dim=-2):
        return Permutation(self.index).inverse().act(x, dim)


class IndexComposedBackwards(Permutation):
    def __matmul__(self, other):
        return type(self)(other.index.gather(-1, self.index))


class WithoutBroadcast(Permutation):
    def __matmul__(self, other):
        return type(self)(self.index.gather(-1, other.index))


class SoftmaxRows(Permutation):
    """Row-wise nearest target of unsorted scores: not a bijection."""

    @classmethod
    def from_equivariant(cls, y):
        ranks = torch.arange(y.shape[-1], dtype=torch.float64)
        return cls((y[..., None, :] - ranks[:, None]).abs().argmin(dim=-1))


class InverseOfFirstFactorOnly(Product):
    factor_types = (SO3, Permutation)

    def inverse(self):
        return type(self)(self.factors[0].inverse(), self.factors[1])


class ActionsThatDoNotCommute(Product):
    factor_types = (Translation, SO3)


BROKEN: tuple[tuple[Case, set[Law]], ...] = (
    (Case(WrongOrder), {action, action_on_y, xi_equivariance}),
    (Case(TurnsBackwards), {action, action_on_y, xi_of_reference, xi_equivariance}),
    (Case(NotAssociative), {associativity, neutrality, inversion}),
    (Case(InverseIsSelf), {inversion, metric}),
    (Case(IdentityTurns, d=2), {neutrality, trivial_action, inversion, xi_of_reference}),
    (Case(ThreeVectors), {validity}),
    (Case(SwappedVectors), {xi_of_reference}),
    (Case(FrameOfColumnsAsRows), {xi_of_reference, xi_equivariance}),
    (Case(Float32Xi), {float64}),
    (Case(DirectionBlindToSign, d=2), {xi_equivariance}),
    (Case(FirstOfBatchActs), {batches, broadcasting}),
    (Case(WeightedDistance), {left_invariance}),
    (Case(ForgetsToTurnTranslation), {action, inversion}),
    (Case(InverseForgetsToTurnTranslation), {inversion}),
    (Case(RotationOnlyDistance), {metric}),
    (Case(SquaredDistance), {metric}),
    (Case(Transposed), {action, action_on_y, xi_of_reference, xi_equivariance}),
    (Case(IndexComposedBackwards), {action, action_on_y, xi_equivariance}),
    (Case(WithoutBroadcast), {broadcasting}),
    (Case(SoftmaxRows), {validity}),
    (Case(InverseOfFirstFactorOnly), {inversion}),
    (Case(ActionsThatDoNotCommute), {action}),
)


def is_broken(law: Law, case: Case) -> bool:
    try:
        law(case, (2, 3), 0)
    except (AssertionError, RuntimeError, MolgiaeError):
        return True
    return False


@pytest.mark.parametrize(
    ("case", "laws"), BROKEN, ids=lambda value: str(value) if isinstance(value, Case) else ""
)
def test_broken_group_breaks_laws(case: Case, laws: set[Law]) -> None:
    broken = {law for law in LAWS if is_broken(law, case)}
    assert {law.__name__ for law in laws - broken} == set()


def test_every_law_bites() -> None:
    assert {law.__name__ for law in LAWS} == {law.__name__ for _, laws in BROKEN for law in laws}
