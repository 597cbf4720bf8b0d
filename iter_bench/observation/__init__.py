"""What a prediction lets others see of itself, at next to no cost while nobody looks: its parts, and what it decides from."""
