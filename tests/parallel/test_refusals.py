"""What two processes refuse is one line on every rank, with its way out."""

import pytest
import torch

from elasticnas.errors import ConfigError
from elasticnas.parallel import refuse, wrap
from elasticnas.run import Run
from elasticnas.search import Problem, SupernetTrainer, TrainerSettings
from tests.parallel.cells import batches, loss, network
from tests.parallel.launching import launched, torchrun
from tests.parallel.refusals import REFUSED

PLAIN = 'runs on 2 processes, and each would have its own Net: give Run(parallel="ddp") or Run(parallel="fsdp"), or'
EXPECTED = {
    "a plain model, trained": f"ConfigError: SupernetTrainer {PLAIN}",
    "a plain model, searched": f"ConfigError: darts {PLAIN}",
    "a plain model, RandomSearch": f"ConfigError: random {PLAIN}",
    "a plain model, evolved": f"ConfigError: evolve {PLAIN}",
    "order=2": "ConfigError: darts with order=2 runs in one process, and there are 2: use order=1",
    "Latency": "ConfigError: darts with the measured cost 'latency' (Latency) runs in one process, and there are 2: "
    "search by Flops, or measure before and give a cost of your own",
    "compiled": "ConfigError: head is Linear and compiled: SupernetTrainer on 2 processes needs a model without",
    "BatchNorm": "ConfigError: norm is BatchNorm1d: every process would have its own statistics; use LayerNorm or",
    "FSDP1": "ConfigError: the model is FullyShardedDataParallel: wrap the whole model, in DistributedDataParallel or",
    "a part in DDP": "ConfigError: head is DistributedDataParallel: wrap the whole model, in DistributedDataParallel",
    "partly sharded": "ConfigError: first.weight is not sharded, and its gradients would differ: call fully_shard",
    "sharded after the trainer was made": "ConfigError: the model's parameters were replaced after SupernetTrainer was",
    "a storage": "ConfigError: Evolve with a storage runs in one process, and there are 2: leave storage out",
    "wrapped otherwise": "ConfigError: Run(parallel='fsdp'): the model is wrapped as 'ddp' already; leave parallel out",
    "other settings on a rank": "SearchError: model, settings or data differ between the ranks (digests ",
    "other logits on a rank": "SearchError: the architecture parameters differ between the ranks (digests ",
    "other data on a rank": "SearchError: model, settings or data differ between the ranks (digests ",
    "a loss that goes round DDP": "SearchError: the weights differ between the ranks (digests ",
    "a loss that goes round DDP, searched": "SearchError: the weights differ between the ranks (digests ",
    "other metrics on a rank": "SearchError: the metrics that evaluate returns differ between the ranks (digests ",
    "unequal held-out batches, sharded": "SearchError: held_out has more batches on some ranks than on others: fully_",
    "architectures per process, sharded": "ConfigError: per_process=True: processes that share sharded weights must "
    "run the same layers; use DDP, or leave it",
    "equal batches, a warning": "ConfigError: train: all 2 processes get the same batch; give each its part, as by D",
    "Adafactor, sharded": "ConfigError: Adafactor cannot step on sharded weights (RuntimeError: aten.pow_",
    "weights of sum 0": "SearchError: the weights that loss returns have the sum 0.0: a positive, finite one is needed",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    launched("tests.parallel.refusals", [folder], torchrun())
    return [torch.load(folder / f"refused-{rank}") for rank in (0, 1)]


@pytest.mark.parametrize("name", REFUSED)
def test_every_rank_refuses(name, found):
    for of_rank in found:
        assert of_rank[name].startswith(EXPECTED[name])
        assert "\n" not in of_rank[name]
    assert found[0][name] == found[1][name]


@pytest.fixture
def started_by_torchrun(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)


def test_without_a_group_each_process_would_train_its_own_model(started_by_torchrun):
    trainer = SupernetTrainer(Problem(network(False), loss, batches(0)), TrainerSettings(steps=1))
    with pytest.raises(ConfigError) as error:
        trainer.run()
    assert str(error.value) == (
        "torchrun started 2 processes, and SupernetTrainer would run in each on its own: give "
        'Run(parallel="ddp") or Run(parallel="fsdp"), or start it without torchrun'
    )


def test_refuse_counts_processes_without_a_group(started_by_torchrun):
    with pytest.raises(ConfigError, match=r"^a thing runs in one process, and there are 2: do another$"):
        refuse("a thing", "do another")


def test_one_process_has_nothing_to_wrap():
    with pytest.raises(ConfigError, match=r"^parallel\.wrap needs several processes: start the program by torchrun"):
        wrap(network(False), "ddp")
    with pytest.raises(ConfigError, match=r'^parallel\.wrap\(model, .dp.\): choose "ddp" or "fsdp"$'):
        wrap(network(False), "dp")
    with pytest.raises(ConfigError, match=r'^parallel=.dp.: give "ddp" or "fsdp", or None$'):
        Run(parallel="dp")
    assert Run(parallel="ddp").parallel == "ddp"
    refuse("a thing", "do another")


def test_tasks_of_srun_without_torchrun_do_not_know_each_other(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ConfigError, match=r"^srun started 4 tasks that do not know each other: one task per node, and"):
        Run(parallel="ddp")
    Run()
