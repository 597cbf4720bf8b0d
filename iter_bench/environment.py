"""On what a number was measured: code, package versions, processor, memory, GPU, operating system, command.

What can't be found out is None, never guessed. Host name, user name and absolute paths of the machine stay out, since
records are published.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


class Git(BaseModel):
    """The checkout that the code ran from; ``dirty``: with changes that no commit holds (results aside).

    Of a run that went on after an interruption it is the checkout that the run began in, dirty too if it went on in another.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    dirty: bool


class Gpu(BaseModel):
    """One GPU as its driver describes it; memory in bytes, ``cuda`` the newest version the driver supports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    memory: int
    driver: str
    cuda: str


class Environment(BaseModel):
    """The machine and the software of a run.

    Attributes:
        git: None where the code is not that of a checkout, as after an install from a wheel.
        packages: version by package name; a package that is not installed is missing.
        python: interpreter and version.
        os: name, release and architecture.
        cpu: model name.
        cores: logical cores of the machine.
        usable_cores: those that this process may use.
        memory: main memory in bytes.
        threads: threads of one torch operation; None where torch was not loaded.
        torch_cuda: CUDA version that torch was built with; None for a CPU build, or where torch was not loaded.
        gpus: all that the driver lists.
        command: the command line, absolute paths cut to their last part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    git: Git | None
    packages: dict[str, str]
    python: str
    os: str
    cpu: str | None
    cores: int | None
    usable_cores: int | None
    memory: int | None
    threads: int | None
    torch_cuda: str | None
    gpus: list[Gpu]
    command: str

    def hardware(self, device: str) -> str:
        """The hardware in a few words, for captions and to tell machines apart; ``device`` is the one torch used.

        Cores are those that the process could keep busy: on a CPU no more than torch had threads, however many were free.
        """
        gpus = ([gpu.name for gpu in self.gpus] or ["unknown GPU"]) if device.startswith("cuda") else []
        busy = self.usable_cores if gpus else min(filter(None, (self.usable_cores, self.threads)), default=None)
        cores = "1 core" if busy == 1 else f"{busy or '?'} cores"
        return ", ".join([*dict.fromkeys(gpus), f"{self.cpu or 'unknown CPU'} ({cores})"])


def describe() -> Environment:
    """Describes this process's environment; loads no library that isn't loaded."""
    torch = sys.modules.get("torch")
    return Environment(
        git=git_state(Path(__file__)),
        packages=_versions(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
        cores=os.cpu_count(),
        usable_cores=len(usable_cores()),
        memory=psutil.virtual_memory().total,
        threads=torch.get_num_threads() if torch else None,
        torch_cuda=torch.version.cuda if torch else None,
        gpus=_gpus(),
        command=command_line(sys.argv),
    )


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use; under Slurm and the like fewer than the machine has."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def git_state(file: Path) -> Git | None:
    """The state of the checkout that tracks ``file``; None if none does, or git is not there."""

    # Git's hooks set variables that would point every call at the repository of the hook.
    env = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=file.parent, env=env, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        # A package installed below somebody's checkout is not part of it: only tracked files have its commit.
        git("ls-files", "--error-unmatch", file.name)
        changed = git("status", "--porcelain", "--", ":/", ":(top,exclude)results")
        return Git(commit=git("rev-parse", "HEAD"), dirty=bool(changed))
    except (OSError, subprocess.SubprocessError):
        return None


def command_line(argv: list[str]) -> str:
    """The command as typed, with absolute paths cut to ``…/name``."""
    program = Path(argv[0])
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([name, *(_without_paths(argument) for argument in argv[1:])])


def _without_paths(argument: str) -> str:
    def cut(match: re.Match[str]) -> str:
        return f"{match[1]}…/{PurePath(match[2]).name}"

    # A path stands at the start or after a separator; the second slash of an address (https://) starts none.
    return re.sub(r"""(^|[=,:;\s"'\[(])(~?/(?!/)[^,:;\s"'\])]*)""", cut, argument)


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu() -> str | None:
    try:
        if match := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return match[1].strip()
    except OSError:
        pass
    return platform.processor() or None


def _gpus() -> list[Gpu]:
    """Asks the driver through NVML; without the driver or the package there are none."""
    try:
        import pynvml as nvml
    except ImportError:
        return []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        version = nvml.nvmlSystemGetCudaDriverVersion_v2()
        shared: dict[str, Any] = {
            "driver": nvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{version // 1000}.{version % 1000 // 10}",
        }
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        return [
            Gpu(name=nvml.nvmlDeviceGetName(handle), memory=nvml.nvmlDeviceGetMemoryInfo(handle).total, **shared)
            for handle in handles
        ]
    finally:
        nvml.nvmlShutdown()
