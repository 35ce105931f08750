"""Files that come in a form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from studio.errors import ContractMismatch, FileTooLarge, MissingRequiredField


async def files_of(request: Request, most: int, *, most_files: int, together: bool = False) -> list[tuple[str, bytes]]:
    """Names and bytes of the `file` fields of multipart/form-data, at most `most` bytes each, or `together`.

    Raises ContractMismatch, MissingRequiredField or FileTooLarge.
    """
    async with _form(request, most_files) as form:
        return await _files(form, most, together=together)


async def file_and_text(request: Request, most: int, field: str) -> tuple[str, bytes, str]:
    """Name and bytes of the one `file` of multipart/form-data, and the text of another field beside it, empty where there is none.

    Raises as `files_of` does.
    """
    async with _form(request, 2) as form:
        (name, data), *more = await _files(form, most)
        if more:
            raise ContractMismatch("One file is wanted, and there are several.", field="file", remedy="Send them one by one.")
        text = form.get(field)
        return name, data, text if isinstance(text, str) else ""


@asynccontextmanager
async def _form(request: Request, most_files: int) -> AsyncIterator[FormData]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise ContractMismatch("Files come as multipart/form-data.", remedy="Send each in a field called “file”.")
    try:
        async with request.form(max_files=most_files, max_fields=most_files) as form:
            yield form
    except HTTPException as error:
        if error.status_code != HTTPStatus.BAD_REQUEST:
            raise
        raise ContractMismatch(f"The form can't be read: {error.detail}", remedy="Let your client build it, boundary and all.") from error


async def _files(form: FormData, most: int, *, together: bool = False) -> list[tuple[str, bytes]]:
    files = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
    if not files:
        raise MissingRequiredField("There is no file in the form.", field="file", remedy="Send it in a field called “file”.")
    read: list[tuple[str, bytes]] = []
    for part in files:
        data = await bounded(part, most)
        most -= len(data) if together else 0
        read.append((part.filename or "", data))
    return read


async def bounded(part: UploadFile, most: int) -> bytes:
    """The bytes of one file. Raises FileTooLarge."""
    if part.size is not None and part.size > most:
        raise FileTooLarge(f"The file is larger than {most // 2**20} MB.", field="file")
    return await part.read()
