"""Lengths of bonds and shares of elements in the training data of the shipped models.

Made by ``python benchmarks/training_ranges.py``, which says how, from
qm9.npz, zinc.sdf, zinc_uff.sdf, made.sdf, made_uff.sdf, train.smi, made.smi.
"""

from __future__ import annotations

BOND_LENGTHS = {
    (1, 6): (1.061, 1.118),  # H-C, 1128846
    (1, 7): (1.002, 1.103),  # H-N, 68883
    (1, 8): (0.959, 1.019),  # H-O, 46614
    (1, 16): (1.340, 1.346),  # H-S, 75
    (5, 6): (1.563, 1.606),  # B-C, 198
    (5, 8): (1.451, 1.463),  # B-O, 322
    (5, 9): (1.454, 1.457),  # B-F, 111
    (6, 6): (1.199, 1.642),  # C-C, 741126
    (6, 7): (1.153, 1.623),  # C-N, 223008
    (6, 8): (1.178, 1.527),  # C-O, 237729
    (6, 9): (1.315, 1.388),  # C-F, 2346
    (6, 14): (1.840, 2.148),  # C-Si, 1460
    (6, 15): (1.748, 1.928),  # C-P, 784
    (6, 16): (1.611, 1.904),  # C-S, 4911
    (6, 17): (1.690, 1.829),  # C-Cl, 1161
    (6, 35): (1.847, 1.982),  # C-Br, 355
    (6, 53): (2.044, 2.169),  # C-I, 544
    (7, 7): (1.139, 1.520),  # N-N, 11349
    (7, 8): (1.210, 1.769),  # N-O, 6927
    (7, 15): (1.626, 1.759),  # N-P, 24
    (7, 16): (1.558, 1.764),  # N-S, 506
    (7, 17): (1.716, 1.716),  # N-Cl, 1
    (7, 35): (1.861, 1.861),  # N-Br, 1
    (8, 14): (1.663, 1.768),  # O-Si, 72
    (8, 15): (1.488, 1.727),  # O-P, 650
    (8, 16): (1.439, 1.682),  # O-S, 1454
    (15, 16): (1.963, 1.963),  # P-S, 4
    (16, 16): (2.042, 2.066),  # S-S, 6
}
"""Least and largest length, angstrom, of bonds between two elements, the lesser first; and how many."""

LARGEST_SHARES = {
    5: 0.053,  # B
    6: 1.000,  # C
    7: 1.000,  # N
    8: 1.000,  # O
    9: 0.556,  # F
    14: 0.059,  # Si
    15: 0.072,  # P
    16: 0.445,  # S
    17: 0.375,  # Cl
    35: 0.167,  # Br
    53: 0.250,  # I
}
"""Largest share of an element among the atoms of a molecule that are no hydrogen."""
