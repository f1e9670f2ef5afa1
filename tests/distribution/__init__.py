# SPDX-License-Identifier: Apache-2.0
"""The parts of the /v2 face one by one; the protocol as a whole is in tests/conformance."""
