"""The archive as plain files: a folder, or a bucket by its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


class FileArchive:
    """`root` is a folder, or an address such as `s3://bucket/steward/archive`, read as Arrow reads it."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._opened: tuple[FileSystem, str] | None = None

    def put(self, name: str, content: bytes) -> None:
        files, base = self._files()
        path = f"{base}/{name}"
        try:
            files.create_dir(path.rpartition("/")[0], recursive=True)
            with files.open_output_stream(f"{path}.partial") as stream:
                stream.write(content)
            files.move(f"{path}.partial", path)
        except OSError as error:
            hint = "check the space left and the rights on STEWARD_ARCHIVE"
            raise UnavailableError(f"the archive refuses the file: {error}", where=path, hint=hint) from error

    def get(self, name: str) -> bytes:
        files, base = self._files()
        path = f"{base}/{name}"
        try:
            with files.open_input_stream(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError as error:
            hint = "restore it from the archive's own backup"
            raise NotFoundError("the archive has no such file", where=path, hint=hint) from error
        except OSError as error:
            raise UnavailableError(f"the archive cannot be read: {error}", where=path) from error

    def address(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _files(self) -> tuple[Any, str]:
        from pyarrow import fs

        if self._opened is None:
            if "://" in self.root:
                self._opened = fs.FileSystem.from_uri(self.root)
            else:
                self._opened = (fs.LocalFileSystem(), self.root)
        return self._opened
