"""The systems that ITER is compared with, behind the same protocol."""
