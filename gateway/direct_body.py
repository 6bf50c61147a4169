"""A request's body, received into the reader's own buffer instead of through five copies on the way."""

from __future__ import annotations

from os import SEEK_END

from gunicorn.http.body import Body, LengthReader


class DirectBody(Body):  # type: ignore[misc]
    """gunicorn's body of a known length, which can also be read into a buffer."""

    @classmethod
    def of(cls, body: Body) -> Body:
        """The same body with `readinto`; unchanged when its length is not known beforehand."""
        return cls(body.reader) if type(body.reader) is LengthReader else body

    def readinto(self, out: memoryview) -> int:
        """Receive up to len(out) bytes, what is there and at least one; how many, 0 at the body's end."""
        try:
            if self.buf.tell():  # what `read` took beyond what it was asked for
                return self._copied(self.read(len(out)), out)
            size = min(len(out), self.reader.length)
            if not size:
                return 0
            ahead = self.reader.unreader.buf.seek(0, SEEK_END)
            if ahead:  # came along with the headers
                return self._copied(self.reader.read(min(size, ahead)), out)
            got = int(self.reader.unreader.sock.recv_into(out, size))
        except Exception:
            self.failed = True
            raise
        self.reader.length -= got
        return got

    @staticmethod
    def _copied(data: bytes, out: memoryview) -> int:
        out[: len(data)] = data
        return len(data)
