"""The device of examples/python-device with one fault: python-device-faults.py SOCKET FAULT."""

import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / 'examples' / 'python-device'))

import commands  # noqa: E402
import completions  # noqa: E402
import device  # noqa: E402
import machine  # noqa: E402


def wrong_status():
    """A protection error is told as an operation error."""
    entry = completions.entry

    def other(qpn, wr_id, status, *rest, **more):
        return entry(qpn, wr_id, completions.LOC_QP_OP_ERR if status == completions.LOC_PROT_ERR else status, *rest, **more)

    completions.entry = other


def lost_completion():
    """Every fifth completion is lost."""
    add, count = completions.CompletionQueue.add, itertools.count(1)

    def other(self, data, solicited):
        if next(count) % 5:
            add(self, data, solicited)

    completions.CompletionQueue.add = other


def short_used_length():
    """The used length of a command counts its ack and not its result."""
    execute = machine.execute
    machine.execute = lambda *what: min(1, execute(*what))


def dereg_does_nothing():
    """DEREG_MR answers OK, and the region stays."""
    commands.COMMANDS[8] = (lambda owner, data: commands.named(owner.mrs, data) and None, 4, 0)


FAULTS = {
    'wrong-status': wrong_status,
    'lost-completion': lost_completion,
    'short-used-length': short_used_length,
    'dereg-does-nothing': dereg_does_nothing,
}

if __name__ == '__main__':
    FAULTS[sys.argv[2]]()
    device.serve(sys.argv[1], 'roce')
