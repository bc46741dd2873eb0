"""Untrusted pickles: a file can name only what its reader offers, and reading is bounded in time and memory."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAX_OPERATIONS = 2_000_000
"""Operations of one pickle; each makes one small object at most."""

Names = Mapping[tuple[str, str], Any]
"""(module, name) in the file -> the class or function to use in its place."""


class Refused(pickle.UnpicklingError):
    """The pickle is damaged, or contains something that its reader does not accept; the message names it."""


class ForeignName(Refused):
    """The pickle asks for a class or function that its reader does not offer."""


class StandIn:
    """Placeholder for an instance that a pickle asks for: it keeps its state and does nothing."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep the state."""
        self.state = state


class OrderedStandIn(dict[Any, Any], StandIn):
    """`collections.OrderedDict`; attributes set on it are ignored."""

    def __init__(self, pairs: Iterable[Any] = ()) -> None:
        super().__init__()
        for key, value in pairs:
            self[plain_key(key)] = value


ORDERED: Names = {("collections", "OrderedDict"): OrderedStandIn}


def plain_key(key: Any) -> Any:
    """Return a key of a dictionary if it is a string or a small integer.

    Others could be chosen to collide, so that a dictionary of a megabyte takes hours to fill.

    Raises:
        Refused: it is neither.
    """
    if type(key) is str or (type(key) is int and abs(key) < 2**31):
        return key
    raise Refused("it holds a dictionary with keys that are neither strings nor small numbers")


class SafeUnpickler(pickle._Unpickler):
    """Reader of plain values and of what `names` offers, in any protocol, Python 2's included.

    Args:
        file: open for reading bytes; a whole file in memory, so that a length in it cannot ask for more.
        names: what the file may use.
        persistent: what to make of the persistent ids in the file; None refuses them.
        encoding: of Python 2 strings.
    """

    # Of the base class, which typeshed leaves out.
    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    readline: Callable[[], bytes]

    def __init__(
        self, file: Any, names: Names, persistent: Callable[[Any], Any] | None = None, encoding: str = "latin1"
    ) -> None:
        super().__init__(file, encoding=encoding)
        self.names, self.persistent = names, persistent
        self.operations, self.most = 0, MAX_OPERATIONS
        self.dispatch = _Operations(self)  # type: ignore[misc, assignment]

    def load(self) -> Any:
        """Return what the pickle holds.

        Raises:
            ForeignName: it asks for something that is not offered.
            Refused: it is damaged, or holds something else.
        """
        try:
            return super().load()
        except Refused:
            raise
        except Exception:  # a damaged pickle may raise almost anything
            raise Refused("it is not a whole pickle") from None

    def find_class(self, module: str, name: str) -> Any:
        """Return what is offered under a name."""
        if (module, name) not in self.names:
            raise ForeignName(f"it asks for {f'{module}.{name}'!r}")
        return self.names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Return what a persistent id means."""
        if self.persistent is None:
            raise Refused("it refers to something outside itself")
        return self.persistent(pid)

    def look_up(self) -> None:
        """Push what is offered under the name of two lines."""
        module, name = self.readline(), self.readline()
        if not name.endswith(b"\n"):
            raise Refused("it is cut off within a name")
        self.append(self.find_class(module[:-1].decode(), name[:-1].decode()))

    def call(self) -> None:
        """Call what is offered; each entry of its arguments is one operation more, for it may be read again."""
        arguments = self.stack[-1]
        self.count(sum(len(argument) for argument in arguments if isinstance(argument, (list, tuple, dict))))
        pickle._Unpickler.dispatch[pickle.REDUCE[0]](self)  # type: ignore[arg-type]

    def count(self, operations: int) -> None:
        """Count operations.

        Raises:
            Refused: there are too many.
        """
        self.operations += operations
        if self.operations > self.most:
            raise Refused(f"it holds more than {self.most} objects")

    def build(self) -> None:
        """Give a stand-in its state; nothing else has one that a file may set."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], StandIn):
            raise Refused("it changes something that it did not make")
        self.stack[-1].__setstate__(state)

    def set_item(self) -> None:
        """Store one value in a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._dictionary()[self.key(key)] = value

    def set_items(self) -> None:
        """Store several values in a dictionary."""
        items = self.pop_mark()
        dictionary = self._dictionary()
        for key, value in zip(items[::2], items[1::2], strict=True):
            dictionary[self.key(key)] = value

    def make_dict(self) -> None:
        """Make a dictionary of the values since the mark (protocol 0)."""
        items = self.pop_mark()
        self.append({self.key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def key(self, key: Any) -> Any:
        """Return what a key of a dictionary becomes."""
        return plain_key(key)

    def _dictionary(self) -> dict[Any, Any]:
        if not isinstance(self.stack[-1], dict):
            raise Refused("it stores a key in something that is no dictionary")
        return self.stack[-1]


class _Operations:
    """The operations of a pickle that are read, counted."""

    def __init__(self, reader: SafeUnpickler) -> None:
        self.reader = reader

    def __getitem__(self, code: int) -> Callable[[SafeUnpickler], None]:
        self.reader.count(1)
        return _KNOWN[code]


_KNOWN: dict[int, Callable[[Any], None]] = {
    operation[0]: pickle._Unpickler.dispatch[operation[0]]
    for operation in (
        *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.DUP),
        *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2),
        *(pickle.LONG, pickle.LONG1, pickle.FLOAT, pickle.BINFLOAT, pickle.STRING, pickle.BINSTRING),
        *(pickle.SHORT_BINSTRING, pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
        *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
        *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
        *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT),
        *(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.GET, pickle.BINGET, pickle.LONG_BINGET),
        *(pickle.STACK_GLOBAL, pickle.INST, pickle.OBJ, pickle.NEWOBJ),
        pickle.BINPERSID,
    )
}
_KNOWN |= {
    pickle.GLOBAL[0]: SafeUnpickler.look_up,
    pickle.REDUCE[0]: SafeUnpickler.call,
    pickle.BUILD[0]: SafeUnpickler.build,
    pickle.SETITEM[0]: SafeUnpickler.set_item,
    pickle.SETITEMS[0]: SafeUnpickler.set_items,
    pickle.DICT[0]: SafeUnpickler.make_dict,
}
