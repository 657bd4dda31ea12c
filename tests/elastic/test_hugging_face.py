"""An extracted Hugging Face model leaves elasticnas behind."""

import os
import site
import subprocess
import sys

import torch

from elasticnas import extract
from tests.elastic.families import IDS
from tests.elastic.test_families import supernet

READS = """
import sys
try:
    import elasticnas
except ImportError:
    pass
else:
    sys.exit("elasticnas is installed here")
import torch
from transformers import GPT2LMHeadModel
model = GPT2LMHeadModel.from_pretrained(sys.argv[1])
assert (model.config.n_head, model.config.n_embd, model.config.n_layer) == (2, 16, 1)
torch.save((model.state_dict(), model(torch.tensor(eval(sys.argv[2]))).logits), sys.argv[3])
"""


def test_saved_by_save_pretrained_and_loaded_where_elasticnas_is_not(tmp_path):
    model = supernet("GPT-2").float()
    arch = model.space(heads=2, inner=24, depth=1)
    plain = extract(model, arch, {"input_ids": IDS})
    plain.save_pretrained(tmp_path / "found")
    # -S leaves out what an editable install adds to the path; the packages themselves are named instead
    packages = [*site.getsitepackages()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(packages), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-S", "-c", READS, str(tmp_path / "found"), repr(IDS.tolist()), str(tmp_path / "out.pt")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    weights, logits = torch.load(tmp_path / "out.pt")
    assert weights.keys() == plain.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in plain.state_dict().items())
    # another process may add up in another order (threads, alignment of the loaded file): equal to float32 rounding
    torch.testing.assert_close(logits, plain(IDS).logits, atol=1e-6, rtol=1e-6)
    assert plain.lm_head.weight is plain.transformer.wte.weight
