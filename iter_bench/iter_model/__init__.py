"""The reference ITER: encoder, three heads, nothing autoregressive (Findings of EMNLP 2024)."""
