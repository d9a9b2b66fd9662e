"""Shipped weights, one safetensors file and one model card each."""
