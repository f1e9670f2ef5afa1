# SPDX-License-Identifier: Apache-2.0
"""Measures Moorage beside Debian's docker-registry, with nginx as the limit of the machine.

Everything here speaks HTTP to servers that run as they are installed: nothing is imported from
Moorage, so a figure can only come from what a client sees and what the kernel counts.
"""
