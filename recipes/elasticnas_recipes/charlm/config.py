"""Settings of a run."""

from pydantic import BaseModel, ConfigDict, Field

from elasticnas.study import StudySettings

__all__ = ["Config"]


class Config(BaseModel):
    """Settings that ``--set`` can change.

    Attributes:
        length: N, length of an input window in bytes.
        batch: Windows per training step.
        most_bytes: Maximum number of bytes of text to read.
        validation_windows: Windows of N bytes per evaluation on validation data; a search evaluates about a hundred
            architectures.
        test_windows: Windows of N bytes in the test.
        study: Steps, rates and search, see :class:`elasticnas.study.StudySettings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    length: int = Field(default=64, ge=1, le=65_536)
    batch: int = Field(default=32, ge=1, le=65_536)
    most_bytes: int = Field(default=8_000_000, ge=100, le=10**10)
    validation_windows: int = Field(default=128, ge=1)
    test_windows: int = Field(default=1024, ge=1)
    study: StudySettings = StudySettings(steps=600, tune_steps=100, weight_lr=4e-3, tune_lr=4e-3, trials=50)
