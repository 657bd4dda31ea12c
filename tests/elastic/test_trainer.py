"""Hugging Face's Trainer on a supernet."""

import inspect
import random
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from elasticnas import Space, axes_of, elastify
from elasticnas.elastic import ElasticModel

pytest.importorskip("accelerate")
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments


class Sizes(Space):
    inner: Literal[64, 32]
    depth: Literal[2, 1]


def supernet(tied):
    def build(inner, depth):
        sizes = {"vocab_size": 50, "n_embd": 32, "n_head": 2, "n_inner": inner, "n_layer": depth, "n_positions": 16}
        return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, tie_word_embeddings=tied))

    torch.manual_seed(0)
    return elastify(build, Sizes)


class Elastic(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **more):
        with axes_of(model).at(Sizes.sample(RNG)):
            outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


RNG = random.Random(0)
ROWS = [{"input_ids": row, "labels": row} for row in torch.randint(0, 50, (16, 9))]


@pytest.mark.parametrize("tied", [True, False])
def test_it_trains_saves_and_resumes(tied, tmp_path):
    def trainer(model, steps):
        arguments = TrainingArguments(
            str(tmp_path), max_steps=steps, per_device_train_batch_size=4, report_to=[], use_cpu=True, save_steps=3,
            disable_tqdm=True, logging_strategy="no", label_names=["labels"],
        )  # fmt: skip
        return Elastic(model=model, args=arguments, train_dataset=ROWS, eval_dataset=ROWS)

    first = supernet(tied)
    before = first.network.transformer.wte.weight.detach().clone()
    trainer(first, 3).train()
    assert not torch.equal(first.network.transformer.wte.weight, before)
    stored = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert ("network.lm_head.weight" in stored) is not tied
    assert torch.equal(stored["network.transformer.wte.weight"], first.network.transformer.wte.weight)

    second = supernet(tied)
    again = trainer(second, 3)
    again.train(resume_from_checkpoint=True)  # nothing is left to train: these are the stored weights
    for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert (second.network.lm_head.weight is second.network.transformer.wte.weight) is tied
    assert 0 < again.evaluate()["eval_loss"] < 10


def test_forward_has_the_signature_of_the_network():
    model = supernet(True)
    assert isinstance(model, ElasticModel) and type(model).__name__ == "ElasticModel"
    expected = inspect.signature(GPT2LMHeadModel.forward)
    assert inspect.signature(type(model).forward) == expected
    assert list(inspect.signature(model.forward).parameters) == list(expected.parameters)[1:]


def test_state_dicts_name_tied_weights_once_and_load_either_way():
    model, other = supernet(True), supernet(True)
    state = model.state_dict()
    assert "network.lm_head.weight" not in state
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    missing = other.load_state_dict(state)
    assert not missing.missing_keys and torch.equal(other.network.lm_head.weight, model.network.lm_head.weight)
    both = {**state, "network.lm_head.weight": state["network.transformer.wte.weight"]}
    assert not supernet(True).load_state_dict(both).unexpected_keys
    with pytest.raises(RuntimeError, match=r"Missing key.*wte"):
        other.load_state_dict({name: value for name, value in state.items() if "wte" not in name})
