"""document: what people write about a model. Filing is done in a named person's name, through Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steward.cli import completion
from steward.cli.arguments import ModelOrVersion
from steward.cli.output import Json, print_json, print_table

if TYPE_CHECKING:
    from steward.ledger import FiledDocument

document = typer.Typer(help="Plans, reports and sheets that people write about a model.", no_args_is_help=True)

Kind = Annotated[
    str,
    typer.Option(
        "--kind", help="As stages.yaml names it: use_case, validation_report, …", autocompletion=completion.kinds
    ),
]


def add_to(app: typer.Typer) -> None:
    document.command("file")(file)
    document.command("check")(check)
    document.command("list")(list_documents)
    document.command("show")(show)
    document.command("template")(template)
    app.add_typer(document, name="document")


def file(
    target: ModelOrVersion,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Markdown, finished.")],
    kind: Kind,
    title: Annotated[str | None, typer.Option("--title", help="The file's first heading, if left out.")] = None,
    as_json: Json = False,
) -> None:
    """File a finished document in your name. Exit code 2 names what is unfinished, 3 that you may not file it.

    Example: steward document file loan_approval@3 --kind validation_report report.md
    """
    from steward.cli.door import decide
    from steward.inventory.documents import title_of

    model, version = _target(target)
    text = _checked(kind, path)
    name = title or title_of(text) or kind.replace("_", " ").capitalize()
    answer = decide(model, "documents", kind=kind, title=name, text=text, version=version)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{target}: {answer['message']} ({answer['document'][:12]})")


def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Markdown.")], kind: Kind, as_json: Json = False
) -> None:
    """Say what a document lacks before it is filed. Exit code 2 when there are faults.

    Example: steward document check report.md --kind validation_report
    """
    from steward.inventory.documents import read_sections

    text = _checked(kind, path)
    if as_json:
        print_json({"file": path, "kind": kind, "sections": [each.to_json() for each in read_sections(text)]})
    else:
        typer.echo(f"{path}: complete as a {kind}")


def list_documents(target: ModelOrVersion, as_json: Json = False) -> None:
    """The newest document of each kind, and who filed it when.

    Example: steward document list loan_approval
    """
    found = sorted(_filed(target).values(), key=lambda each: (each.at, each.kind))
    if as_json:
        print_json([each.to_json() for each in found])
        return
    columns = ("kind", "of", "title", "filed by", "at", "digest")
    print_table(columns, ((d.kind, _of(d), d.title, d.by, f"{d.at:%Y-%m-%d %H:%M}", d.digest[:12]) for d in found))


def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST|MODEL[@N]",
            help="A digest in full, or what it is about.",
            autocompletion=completion.versions,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="Which document of the model.",
            autocompletion=completion.kinds,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a filed document, as it was filed.

    Example: steward document show loan_approval@3 --kind validation_report
    """
    from steward import wiring

    digest = _digest_of(target, kind)
    with wiring.database().begin() as tx:
        evidence = tx.evidence.get(digest)
    if evidence.kind != "document":
        from steward.errors import NotFoundError

        raise NotFoundError(f"{digest[:16]} is evidence of {evidence.kind}, not a document", hint=_list_hint(target))
    if as_json:
        print_json({"model": evidence.model, "digest": digest, **evidence.body})
    else:
        typer.echo(evidence.body["text"], nl=False)


def template(
    kind: Annotated[
        str,
        typer.Argument(
            help="The kind of document; without it, all kinds are listed.",
            autocompletion=completion.kinds,
        ),
    ] = "",
    model: Annotated[str, typer.Option("--model", help="Whose name goes into the heading.")] = "MODEL",
    as_json: Json = False,
) -> None:
    """Print a skeleton with the sections a document needs: fill in every hint, then file it.

    Example: steward document template validation_report --model loan_approval@3 > report.md
    """
    from steward import wiring
    from steward.inventory import documents

    forms = wiring.stages().documents
    if kind:
        text = documents.template(wiring.stages().form(kind), model)
        print_json({"kind": kind, "text": text}) if as_json else typer.echo(text, nl=False)
        return
    if as_json:
        print_json({name: form.model_dump(mode="json") for name, form in forms.items()})
        return
    rows = ((name, form.about, ", ".join(form.roles) or "anybody", form.purpose) for name, form in forms.items())
    print_table(("kind", "about", "filed by", "purpose"), rows)


def _target(text: str) -> tuple[str, int | None]:
    from steward.types import VersionRef

    if "@" not in text:
        return text, None
    ref = VersionRef.parse(text)
    return ref.model, ref.number


def _filed(target: str) -> dict[str, FiledDocument]:
    from steward import wiring
    from steward.ledger import documents_of
    from steward.ledger.governance import DOCUMENT_EVENTS

    model, version = _target(target)
    with wiring.database().begin() as tx:
        events = tx.events.read(model=model, types=DOCUMENT_EVENTS)
        known = bool(events) or bool(tx.events.read(model=model, limit=1))
    if not known:
        wiring.specs().module_path(model)  # a name nobody knows is an error, not an empty list
    if "@" in target:
        return documents_of(events, version)
    newest = {}
    for event in events:
        newest[event.body["kind"], event.version] = event
    return {f"{kind} {number}": documents_of([event], number)[kind] for (kind, number), event in newest.items()}


def _digest_of(target: str, kind: str | None) -> str:
    from steward.errors import NotFoundError, RequestError

    if len(target) == 64 and kind is None:
        return target
    if kind is None:
        raise RequestError("name the document: give --kind", hint=_list_hint(target))
    found = [each for each in _filed(target).values() if each.kind == kind]
    if not found:
        raise NotFoundError(f"no {kind} of {target} was filed", hint=_list_hint(target))
    return max(found, key=lambda each: each.at).digest


def _list_hint(target: str) -> str:
    return f"`steward document list {target}` shows what there is" if len(target) != 64 else "see `steward history`"


def _of(filed: FiledDocument) -> str:
    return filed.model if filed.version is None else f"{filed.model}@{filed.version}"


def _checked(kind: str, path: Path) -> str:
    """The text of a finished document, its faults told with the name of the file."""
    from steward import wiring
    from steward.errors import NotFoundError
    from steward.inventory.documents import check_document, plain_text

    form = wiring.stages().form(kind)
    try:
        text = plain_text(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        hint = "save it as UTF-8 text" if isinstance(error, UnicodeDecodeError) else None
        raise NotFoundError(f"the document cannot be read: {error}", where=str(path), hint=hint) from error
    check_document(form, text, str(path))
    return text
