"""What ``torchrun`` or ``accelerate launch`` told this process; without them it is the only one. Imports no torch by itself."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta

LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""What gloo and NCCL say then."""


def number() -> int:
    """Number of this process among those that train together, from 0."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def sharded() -> bool:
    """Whether they divide the weights among themselves, as ``accelerate launch --use_fsdp`` says."""
    return count() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1")


def silence_others() -> None:
    """Leaves the terminal to the first process."""
    if number() > 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


def let_first_speak() -> None:
    """Keeps another process back: a launcher ends the first one unheard as soon as any other fails."""
    if number() > 0:
        time.sleep(10)


def lost_another(error: Exception) -> bool:
    """Whether it says that the connection to another process broke."""
    return count() > 1 and isinstance(error, RuntimeError) and any(words in str(error) for words in LOST)


def tells_of_error() -> bool:
    """Whether this process, which ends with an error, is the first of all to do so, and so the one to say why.

    The others fail because of it: their connections to it close only after it asked here.
    """
    if count() == 1:
        return True
    from torch.distributed import TCPStore

    try:
        place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        store = TCPStore(*place, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=10))
        first = store.add("iter-bench: processes with an error", 1) == 1
    except Exception:  # there's nobody to ask: rather twice than never
        first = True
    if first:
        sys.stderr = sys.__stderr__
    return first
