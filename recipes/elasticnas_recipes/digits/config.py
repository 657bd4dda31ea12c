"""Settings of a run."""

from pydantic import BaseModel, ConfigDict, Field

from elasticnas.study import StudySettings

__all__ = ["Config"]


class Config(BaseModel):
    """Settings that ``--set`` can change.

    Attributes:
        batch: Images per training step.
        study: Steps, rates and search, see :class:`elasticnas.study.StudySettings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch: int = Field(default=64, ge=1, le=1_000)
    study: StudySettings = StudySettings(steps=1450, tune_steps=200, weight_lr=4e-3, tune_lr=4e-3)
