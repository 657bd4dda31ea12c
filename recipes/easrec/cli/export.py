"""``export``: export a saved network as one file for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from easrec.cli.folder import recommender_of
from elasticnas.cli.options import Out, path_option

__all__ = ["export"]


def export(
    to: Annotated[Path, path_option(help="File to write, such as model.onnx or model.pt2.")],
    out: Out = Path("runs/easrec"),
    format: Annotated[
        Literal["onnx", "torch"], typer.Option(help="onnx, or torch for a .pt2 file of torch.export.")
    ] = "onnx",
) -> None:
    """Export the saved network as one file, and check it.

    Input: item numbers (batch, length), padded on the right with 0. Output: scores (batch, items + 1). Batch and length
    are dynamic, up to the length of the model; causal LinRec needs exactly that length.
    """
    from easrec.export import export as export_to  # the exporter takes a second to import
    from easrec.export import fixed_length

    recommender = recommender_of(out)
    written = export_to(recommender, format, to)
    length = f"{'exactly' if fixed_length(recommender) else 'up to'} {recommender.config.model.length} ids a row"
    size = f"{written.size_bytes / 1e6:.2f} MB"
    typer.echo(f"{to}: {size}, {length}, scores differ from the network's by at most {written.largest_difference:.1e}")
