"""Each Sandbox against the contract."""

from __future__ import annotations

from isocenter.adapters.memory.sandbox import InProcessSandbox
from isocenter.adapters.processes import ProcessSandbox
from isocenter.ports.sandbox import Sandbox
from isocenter.testing.sandbox_contract import SandboxContract


class TestInProcessSandbox(SandboxContract):
    def make_sandbox(self) -> Sandbox:
        return InProcessSandbox()


class TestProcessSandbox(SandboxContract):
    def make_sandbox(self) -> Sandbox:
        return ProcessSandbox(2, 2**28)
