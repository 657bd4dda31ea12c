"""The parts of the GPU benchmark, in order."""

from types import ModuleType

from gpu_parts import attention, compilation, law, loss, recommender, step, subnetwork

__all__ = ["PARTS"]

PARTS: dict[str, ModuleType] = {
    "law": law,
    "recommender": recommender,
    "step": step,
    "subnetwork": subnetwork,
    "attention": attention,
    "loss": loss,
    "compilation": compilation,
}
"""Each has a ``TITLE``, a ``SHARE`` of the time that it may take, and ``measure(record, device, scale)``; with
``lines(figures)``, it returns its own lines of the page."""
