"""More than one process: training shared by several, through accelerate and torch; a matrix on Ray."""
