"""``iter-bench figures``: every figure again from the records alone, or Figure 1 for a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import DataDir, Results

app = typer.Typer()


@app.callback(invoke_without_command=True)
def figures(context: typer.Context, results: Results = Path("results")) -> None:
    """Draw every figure of RESULTS/figures again from the records, and RESULTS/README.md; or Figure 1 for any sentence."""
    if context.invoked_subcommand is not None:
        return
    from iter_bench import summary
    from iter_bench.report import write_all_figures
    from iter_bench.tables.catalogue import load_recorded

    written = write_all_figures(load_recorded(results), results / "figures")
    typer.echo(f"{len(written)} files in {results / 'figures'}, all on one page in {summary.write(results)}")


@app.command()
def steps(
    text: Annotated[str | None, typer.Argument(help="Text to extract from, with --system.", show_default=False)] = None,
    system: Annotated[
        str | None, typer.Option(help="Folder of a trained system, or a checkpoint's folder or hub name; without: gold.")
    ] = None,
    document: Annotated[str | None, typer.Option(help="Instead of a text: the id of a document of --dataset.")] = None,
    dataset: Annotated[str, typer.Option(help="Data set; `iter-bench ls datasets`.")] = "synthetic",
    split: Annotated[str, typer.Option(help="Split.")] = "test",
    output: Annotated[Path, typer.Option(help="Files to write, without the suffixes .png, .svg and .md.")] = Path("steps"),
    data_dir: DataDir = None,
) -> None:
    """Draw ITER's three steps (Figure 1) for a text or a document, as a system predicts them or as gold has them."""
    from iter_bench import data, plots, systems
    from iter_bench.errors import UserError
    from iter_bench.text import document_from_text

    if (text is None) == (document is None):
        raise UserError("give either a text or --document")
    if text is not None:
        if system is None:
            raise UserError("a text has no gold annotation: name a --system")
        drawn, _ = document_from_text(text, "the text", systems.word_rule(system))
        if not drawn.words:
            raise UserError("the text has no word")
    else:
        documents = {d.id: d for d in data.load(dataset, split, data_dir=data_dir).documents}
        if document not in documents:
            raise UserError(f"{dataset}, {split}: no document {document!r}; the first is {next(iter(documents))!r}")
        drawn = documents[document]
    if system is None:
        plot = plots.steps(drawn)
    else:
        extractor = systems.load_system(system)
        source = f"predicted by {plots.look(extractor.name).label}"
        plot = plots.steps(drawn, extractor.predict([drawn])[0], source=source)
    for path in plots.save(plot, output.parent, output.name):
        typer.echo(path)
