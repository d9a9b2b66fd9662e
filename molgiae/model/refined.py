"""Decoded canonical forms, refined by the encoder: what delta says is where a search begins.

An embedding of D numbers says D things of a conformer, and delta gets some of them wrong: what it decodes does not
embed to what it was decoded from. Conformers that do are a surface of 3 n - 3 - D dimensions, few or none. Of these the
one is sought whose bonds and angles are most like those of training conformers with the same surroundings: a problem of
least squares, solved by Gauss-Newton steps (Nocedal and Wright, Numerical Optimization, 2006, Section 10.3), from the
embedding and the weights of the model alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from molgiae.errors import ConfigError
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud
from molgiae.model.local_lengths import typical
from molgiae.nn.slots import SlotEncoder
from molgiae.nn.vectors import others
from molgiae.tensors import Embedding, Positions

Starts = Callable[[Tensor, int], Positions]

ATTEMPTS, SHAKEN = 40, 0.15
"""Most searches for a conformer; all but the first begin at positions displaced by this deviation, angstrom."""
SOUND, LIMIT = 2.0, 5.0
"""`strangeness` up to which a search has found what was meant, as most conformers of QM9 have less, and beyond which it
has found nothing; in between it has if another search ends there, too. Conformers with no more coordinates than
the embedding has numbers need not look like others."""
SAME = 0.01
"""Difference of `strangeness` up to which two searches have ended at the same conformer."""
ROUNDS = 12
"""Most steps of a search; most conformers take half as many."""
STRIDE, SETTLED = 0.3, 1e-4
"""Angstrom: no atom moves farther in a step, and conformers whose atoms all move less are done."""
PRECISION = 1e-3
"""Deviation of an embedding, and of a centroid in angstrom, that counts as much as bonds and angles do by a spread."""
FREE = 1.0
"""Deviation of an atom from where it was decoded, angstrom, that counts as much: nothing else may hold it."""
STRANGE = 0.3
"""Deviation of a distance, angstrom, beyond which its pair counts less and less, as decoded bonds may be none."""
MISSED = 1e-2
"""Distance from the embedding that is asked for that adds one to `strangeness`."""
WORST, CONTACT = 25.0, 1.8
"""What a pair adds to `strangeness` at most, as one of surroundings that are not known does, and one that shares no
bond nor neighbour but is nearer than this, angstrom."""


def check_refines(model: ConformerAutoencoder) -> None:
    """Refuse models whose decoded canonical forms cannot be refined.

    Raises:
        ConfigError: if the architecture is not "slots".
    """
    if not isinstance(getattr(model.encoder, "slots", None), SlotEncoder):
        why = "decodes without error" if model.nested else "has no encoder of canonical forms to search with"
        raise ConfigError(f"architecture {model.config.architecture} {why}; leave out --refine")


@torch.no_grad()
def refined(
    model: ConformerAutoencoder, decoded: Cloud, embedding: Embedding, starts: Starts | None = None
) -> Cloud:
    """Return decoded canonical forms with refined positions.

    Args:
        model: of architecture "slots".
        decoded: of B embeddings, as `ConformerAutoencoder.decode` gives them.
        embedding: (B, D), what they were decoded from.
        starts: positions (b, S, 3) at which searches but the first begin, of the conformers (b,) that are left, and the
            number of the search; by default near what was decoded or found best.

    Raises:
        ConfigError: if the model cannot be refined.
    """
    check_refines(model)
    encoder: Any = model.encoder.slots
    last = model.config.parts[-1]
    z, start, code = decoded.z, decoded.pos, embedding[:, last.start : last.stop].to(encoder.dtype)
    best, least = start.clone(), strangeness(encoder, z, start, code)
    done, settled = least <= SOUND, 3 * (z > 0).sum(dim=1) <= code.shape[1]
    for attempt in range(ATTEMPTS):
        left = (~done).nonzero()[:, 0]
        if not len(left):
            break
        if attempt and starts is not None:
            origin = starts(left, attempt)
        else:
            # the same for every conformer, so that none depends on the others of its batch
            noise = torch.randn(start.shape[1:], generator=torch.Generator().manual_seed(attempt)).to(start)
            origin = (best if attempt % 2 else start)[left] + (SHAKEN * noise if attempt else 0)
        found = _search(encoder, z[left], origin, code[left])
        strange = strangeness(encoder, z[left], found, code[left])
        again = ((strange - least[left]).abs() < SAME) & ((strange < LIMIT) | settled[left])
        better = strange < least[left]  # false where it is not a number
        best[left[better]], least[left[better]] = found[better], strange[better]
        done[left] = (least[left] <= SOUND) | again
    settled &= _missing(encoder, z, best, code).norm(dim=1) < MISSED  # not with a wrong element
    return Cloud(z, torch.where(((least < LIMIT) | settled)[:, None, None], best, start))


def strangeness(encoder: SlotEncoder, z: Tensor, pos: Positions, code: Tensor) -> Tensor:
    """Return (B,) how unlike what was embedded canonical forms are: about 1 if bonds, angles and embedding are right.

    It is the mean squared deviation of bonds and angles in spreads, plus that of the embedding.
    """
    pos = pos.double()
    length, stiff, near = typical(z, pos)
    distance = torch.cdist(pos, pos)
    off = torch.where(stiff > 0, ((distance - length).square() * stiff).clamp(max=WORST), WORST * near)
    touching = (distance < CONTACT) & ~near & (others(z, pos) > 0)
    pairs = near.sum(dim=(1, 2)).clamp_min(1)
    strange = (off + WORST * touching).sum(dim=(1, 2)) / pairs
    return strange + (_missing(encoder, z, pos, code).norm(dim=1) / MISSED).square()


def _search(encoder: SlotEncoder, z: Tensor, start: Positions, code: Tensor) -> Positions:
    """Return positions (b, S, 3) that embed as asked, from others."""
    first = start.double() * (z > 0)[..., None]
    pos = first.clone()
    active = torch.arange(len(z), device=z.device)
    for _ in range(ROUNDS):
        step = _step(encoder, z[active], pos[active], first[active], code[active])
        longest = step.norm(dim=-1).amax(dim=1)
        pos[active] += step * (STRIDE / longest.clamp_min(STRIDE))[:, None, None]
        active = active[longest > SETTLED]
        if not len(active):
            break
    return pos.to(start)


def _missing(encoder: SlotEncoder, z: Tensor, pos: Positions, code: Tensor) -> Tensor:
    """Return (b, D) what positions lack of embedding as asked, in units of the network."""
    return (code - encoder(z, pos.to(encoder.dtype))).double() / encoder.scale


def toward(encoder: SlotEncoder, z: Tensor, pos: Positions, code: Tensor, tolerance: float) -> Positions:
    """Return positions (b, n, 3) moved as little as brings them nearer to embedding as asked.

    Squared displacements in angstrom are weighed by the tolerance against squared deviations of the embedding.
    """
    slope = _slope(encoder, z, pos).flatten(2)
    matrix = slope @ slope.mT + tolerance * torch.eye(code.shape[1], dtype=slope.dtype, device=slope.device)
    lacking = _missing(encoder, z, pos, code).to(slope)
    return pos + (slope.mT @ torch.linalg.solve(matrix, lacking[..., None])).view_as(pos).to(pos)


def _slope(encoder: SlotEncoder, z: Tensor, pos: Positions) -> Tensor:
    """Return (b, D, n, 3) derivatives of the embedding, in units of the network, 0 where padded."""

    def embedded(z: Tensor, pos: Positions) -> Tensor:
        return encoder(z[None], pos[None])[0] / encoder.scale

    return vmap(jacrev(embedded, argnums=1))(z, pos.to(encoder.dtype)) * (z > 0)[:, None, :, None]


def _step(encoder: SlotEncoder, z: Tensor, pos: Positions, first: Positions, code: Tensor) -> Tensor:
    """Return displacements (b, S, 3) of a Gauss-Newton step, angstrom."""
    there = (z > 0)[..., None].double()
    slope = _slope(encoder, z, pos).double()
    share = there / there.sum(dim=1, keepdim=True).clamp_min(1)  # the centroid is at the origin
    middle = torch.eye(3, dtype=pos.dtype, device=pos.device)[:, None] * share[:, None]
    rows = torch.cat([slope, middle], dim=1).flatten(2)
    lacking = torch.cat([_missing(encoder, z, pos, code), -(pos * share).sum(dim=1)], dim=1)
    force, stiffness = _springs(z, pos)
    force = force + (first - pos) * there / FREE**2
    matrix = stiffness + torch.eye(rows.shape[2], dtype=pos.dtype, device=pos.device) / FREE**2
    matrix = matrix + rows.mT @ rows / PRECISION**2
    right = force.flatten(1) + (rows.mT @ lacking[..., None])[..., 0] / PRECISION**2
    return torch.linalg.solve(matrix, right).view_as(pos) * there


def _springs(z: Tensor, pos: Positions) -> tuple[Tensor, Tensor]:
    """Return forces (b, S, 3) of bonds and angles towards what is `typical`, and their stiffness (b, 3 S, 3 S)."""
    length, stiff, _ = typical(z, pos)
    apart = pos[:, :, None] - pos[:, None]
    distance = apart.norm(dim=-1).clamp_min(0.1)
    unit, off = apart / distance[..., None], distance - length
    weight = stiff / (1 + (off / STRANGE) ** 2)
    blocks = weight[..., None, None] * unit[..., :, None] * unit[..., None, :]
    matrix = -blocks.transpose(2, 3)
    own = torch.arange(z.shape[1], device=z.device)
    matrix[:, own, :, own] += blocks.sum(dim=2).transpose(0, 1)
    return -(weight * off)[..., None].mul(unit).sum(dim=2), matrix.flatten(3).flatten(1, 2)
