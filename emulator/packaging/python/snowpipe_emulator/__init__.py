"""The program ``snowpipe-emulator``, a local server of Snowpipe Streaming, for tests in Python."""

from ._emulator import Emulator, EmulatorError, program

__all__ = ["Emulator", "EmulatorError", "program"]
