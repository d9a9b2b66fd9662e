"""Properties learned from embeddings: labels, splits, references, baselines, the network and its use."""
