"""Room on disks, and who may write a file."""

import fcntl
import os
import resource

from ..errors import StorageError
from .storage import beside

BALLAST = 512 * 1024  # bytes set aside so that a file on a full disk can still be closed
MARGIN = 512 * 1024  # bytes that must stay free after a commit


def free_at(where):
    """Free bytes on the disk of a folder or an open file."""
    disk = os.statvfs(where)
    return disk.f_bavail * disk.f_frsize


def room_at(where, size):
    """Bytes by which a file of `size` bytes can grow, as far as the system tells (not quotas)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return free_at(where) if limit == resource.RLIM_INFINITY else min(free_at(where), limit - size)


def _is_open_as(fd, path):
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def check_space(name, need):
    """Refuse to begin a file for which there is no room."""
    room = room_at(os.path.dirname(name), 0)
    if room < need:
        raise StorageError(
            f"cannot write {name}: {room} bytes free, {need} needed to begin; make room or choose another disk"
        )


def claimed(name):
    try:
        return Claim(name)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {name}: {error}") from error


class Claim:
    """The hidden file beside a raster that holds the lock of its writer, and some space in reserve."""

    def __init__(self, name):
        self.path = beside(name, "ballast")
        self.fd = self._locked(name)
        try:
            self.empty()
            # Not zeros: file systems that compress would not set anything aside.
            data = os.urandom(BALLAST)
            while data:
                data = data[os.write(self.fd, data) :]
        except BaseException:
            self.release()
            raise

    def _locked(self, name):
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owned = False
        except OSError:
            return fd  # a file system without locks: better to write unguarded than not at all
        else:
            owned = _is_open_as(fd, self.path)  # not so if its writer removed it between our two calls
        if not owned:
            os.close(fd)
            raise StorageError(
                f"cannot write {name}: another writer has it open; close that one first, or choose another name"
            )
        return fd

    def empty(self):
        """Give the space in reserve back to the disk; the lock stays."""
        os.ftruncate(self.fd, 0)

    def release(self):
        """Remove the file and let go of the lock; can be called again, as after an interrupt."""
        if self.fd is None:
            return
        # Remove first, and only our own: once the lock is gone there may be one of the next writer.
        if _is_open_as(self.fd, self.path):
            os.unlink(self.path)
        fd, self.fd = self.fd, None
        os.close(fd)
