"""More than one process: data-parallel training through accelerate."""
