"""Devices that wait for each other: a ring all-reduce, and the link that a group of devices has.

Pure formulas over a described machine; what is sent and when is for harness/cost.py to say.
"""

from harness.errors import UserError
from harness.hardware import Link, Machine


def ring_bytes(size: float, devices: int) -> float:
    """Bytes that each of n devices sends in a ring all-reduce of `size` bytes: 2 (n-1)/n of them."""
    return 2 * (devices - 1) / devices * size


def ring_seconds(size: float, devices: int, link: Link, messages: float = 1) -> float:
    """An all-reduce of `size` bytes in so many messages."""
    if devices == 1:
        return 0.0
    return ring_bytes(size, devices) / link.bytes_per_second + 2 * (devices - 1) * link.seconds * messages


def joined(machine: Machine, devices: int, apart: int) -> Link:
    """The slowest link in a ring of so many devices, every `apart`-th one of its node. Raises UserError without one.

    Between nodes as many rings run side by side as a node has members, each over an adapter of its own.
    """
    inside = devices * apart <= machine.node_devices
    link = machine.link if inside else machine.network
    if link is None or machine.link is None:
        raise UserError(f"{machine.title} states no {'link' if inside else 'network'} between devices; use fewer")
    if inside:
        return link
    rate = min(machine.link.bytes_per_second, link.bytes_per_second * max(machine.node_devices // apart, 1))
    return Link(bytes_per_second=rate, seconds=link.seconds)
