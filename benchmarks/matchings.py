"""Ways to match decoded slots with atoms, for the network of Appendix D; `appendix_d.py` compares them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from molgiae.canonical.completion import complete
from molgiae.config import ModelConfig
from molgiae.data.conformer import offset_of
from molgiae.groups import Permutation, SE3xSn
from molgiae.model.architectures import ARCHITECTURES
from molgiae.model.autoencoder import ConformerAutoencoder, Encoding
from molgiae.model.cloud import Cloud, as_numpy
from molgiae.nn.slots import SlotPrediction
from molgiae.tensors import Embedding, Scores, Vectors

ROUNDS = 20
"""Of Sinkhorn: rows, then columns."""


class Matched(ConformerAutoencoder):
    """The network of Appendix D with another matching.

    Args:
        config: of the network.
        how: "sinkhorn": scores as in the paper, gradients of a doubly stochastic matrix in place of SoftSort's;
            "assignment": slots and atoms are matched at least cost, in use as well, so scores do nothing;
            "fixed": slots are in the order of the bond graph.
    """

    def __init__(self, config: ModelConfig, how: str) -> None:
        paper = ARCHITECTURES["appendix-d"](config)
        super().__init__(config, paper.encoder, paper.decoder)
        self.how = how

    def encode(self, x: Cloud) -> Encoding[Cloud, SE3xSn]:
        """Eta and psi, the permutation of which is that of the matching."""
        encoding = super().encode(x)
        if self.how == "sinkhorn":
            return encoding
        order = self.order(in_frame(x, encoding.action), encoding.embedding)
        return replace(encoding, action=SE3xSn(encoding.action.motion, order))

    def prediction_and_target(self, x: Cloud, tau: float) -> tuple[SlotPrediction, Cloud, Vectors | None]:
        """As of `ConformerAutoencoder`, in the order of the input or, if there are no scores, of the slots."""
        y, shared = self.encoder.equivariant(x)
        action = self.xi(self.complete(x, y)[0])
        target = in_frame(x, action)
        embedding = self.encoder.invariant(shared, target)
        if self.how == "sinkhorn":
            soft = sinkhorn(y.scores, tau).mT
            hard = action.permutation.matrix.to(soft.dtype)
            return (
                self.decoder(embedding, (hard + soft - soft.detach()) * x.mask[..., None]),
                target,
                y.vectors,
            )
        back = self.order(target, embedding).inverse()
        ordered = Cloud(back.act(target.z, dim=-1), back.act(target.pos))
        return self.slots(embedding, x), ordered, y.vectors

    def slots(self, embedding: Embedding, x: Cloud) -> SlotPrediction:
        """As many as the conformers have atoms, in their own order."""
        prediction: SlotPrediction = self.decoder(embedding, torch.diag_embed(x.mask.float()))
        return prediction

    @torch.no_grad()
    def order(self, x: Cloud, embedding: Embedding) -> Permutation:
        """Of atoms in the canonical frame."""
        if self.how == "fixed":
            mask, place = as_numpy(x.mask), torch.full(x.z.shape, torch.inf, dtype=torch.float64)
            axes = np.broadcast_to(np.eye(3)[:2], (len(x), 2, 3))
            offset = offset_of(mask.sum(axis=1))
            found = complete(as_numpy(x.z)[mask], as_numpy(x.pos)[mask], offset, vectors=axes)
            place[x.mask.cpu()] = torch.from_numpy(found.place).double()
            return Permutation.from_equivariant(place.to(x.z.device))
        prediction, kind = self.slots(embedding, x), torch.searchsorted(self.element, x.z.contiguous())
        n = x.z.shape[1]
        entropy = -prediction.logits[:, :n].log_softmax(dim=-1).gather(2, kind[:, None].expand(-1, n, -1))
        cost = torch.cdist(prediction.pos[:, :n].float(), x.pos.float()).square() + entropy
        index = torch.arange(n).repeat(len(x), 1)
        for row, each, count in zip(index, cost.cpu().numpy(), x.mask.sum(dim=1).tolist(), strict=True):
            row[:count] = torch.from_numpy(linear_sum_assignment(each[:count, :count])[1])
        return Permutation(index.to(x.z.device))


def in_frame(x: Cloud, action: SE3xSn) -> Cloud:
    """Conformers in the canonical frame, in the order of the input, float32."""
    return Cloud(x.z, (action.motion.inverse().act(x.pos) * x.mask[..., None]).float())


def sinkhorn(scores: Scores, tau: float) -> Tensor:
    """(B, n, n) SoftSort's logits made doubly stochastic (Mena et al., ICLR 2018); 0 between atoms and padding."""
    there = torch.isfinite(scores)
    place = scores.masked_fill(~there, 0.0)
    row, column = place.masked_fill(~there, torch.inf).sort(dim=-1).values.nan_to_num(posinf=0.0), place
    both = there[:, :, None] == there[:, None]  # padding comes last, sorted or not
    logits = (-(row[:, :, None] - column[:, None]).abs() / tau).masked_fill(~both, -1e9)
    for _ in range(ROUNDS):
        logits = logits.log_softmax(dim=2).log_softmax(dim=1)
    return logits.exp()
