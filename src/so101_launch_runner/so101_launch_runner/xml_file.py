# SPDX-License-Identifier: Apache-2.0
"""Launch XML as elements that know their line."""

import xml.parsers.expat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from so101_launch_runner.errors import LaunchFileError


@dataclass(slots=True)
class Element:
    """One tag: attributes as written, children in order."""

    file: Path
    line: int
    tag: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)

    def error(self, message: str) -> LaunchFileError:
        """Return the error to raise, with this element's place."""
        return LaunchFileError(self.file, self.line, message)

    def required(self, name: str) -> str:
        """Return an attribute that must be there."""
        if name not in self.attributes:
            raise self.error(f"<{self.tag}> needs the attribute {name}")
        return self.attributes[name]

    def allow(self, attributes: Collection[str], children: Collection[str] = ()) -> None:
        """Refuse attributes and children that are not named here."""
        for name in self.attributes:
            if name not in attributes:
                raise self.error(f"<{self.tag} {name}=...> is not supported; attributes known: {', '.join(attributes)}")
        for child in self.children:
            if child.tag not in children:
                raise child.error(f"<{child.tag}> is not supported inside <{self.tag}>")


def read(file: Path) -> Element:
    """Parse a launch file. Raises LaunchFileError, also for a file that cannot be read."""
    stack: list[Element] = []
    roots: list[Element] = []
    parser = xml.parsers.expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(file, parser.CurrentLineNumber, tag, attributes)
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)

    def end(tag: str) -> None:
        del tag
        stack.pop()

    def text(data: str) -> None:
        if data.strip():
            raise LaunchFileError(file, parser.CurrentLineNumber, f"unexpected text {data.strip()!r}")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(file.read_bytes(), True)
    except OSError as error:
        raise LaunchFileError(file, 0, f"cannot be read: {error.strerror}") from error
    except xml.parsers.expat.ExpatError as error:
        reason = xml.parsers.expat.errors.messages[error.code]
        raise LaunchFileError(file, error.lineno, f"not well-formed XML: {reason}") from error
    if roots[0].tag != "launch":
        raise roots[0].error(f"the outermost tag must be <launch>, not <{roots[0].tag}>")
    return roots[0]
