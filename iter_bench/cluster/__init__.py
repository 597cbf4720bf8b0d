"""More than one process: training shared by several, with whole or divided weights, through accelerate and torch."""
