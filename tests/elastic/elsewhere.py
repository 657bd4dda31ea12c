"""A process that has every installed package but elasticnas."""

import os
import site
import subprocess
import sys
from pathlib import Path

OURS = ("elasticnas", "easrec", "digits", "charlm")

READS = """
import sys
try:
    import elasticnas
except ImportError:
    pass
else:
    sys.exit("elasticnas is installed here")
import torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
torch.save((model.config.to_dict(), model.state_dict(), model(torch.tensor(eval(sys.argv[2]))).logits), sys.argv[3])
"""


def packages(folder: Path) -> Path:
    """A folder of links to all installed packages but this project's, which may be among them."""
    folder.mkdir()
    for place in site.getsitepackages():
        for entry in sorted(Path(place).iterdir()):
            # neither what belongs to the project nor what adds its checkout to the path (-S reads no .pth anyway)
            ours = entry.name.lower().startswith(OURS) or entry.suffix == ".pth"
            if not ours and not (folder / entry.name).exists():
                (folder / entry.name).symlink_to(entry)
    return folder


def read_without_elasticnas(saved: Path, ids: list[list[int]], folder: Path) -> subprocess.CompletedProcess[str]:
    """Load a causal language model saved by ``save_pretrained``; ``folder/out.pt`` then has config, weights, logits."""
    environment = {**os.environ, "PYTHONPATH": str(packages(folder / "packages")), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-S", "-c", READS, str(saved), repr(ids), str(folder / "out.pt")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
